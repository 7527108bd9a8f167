import { systems } from '../../fhir-profiles/codes.js';
import type { AuditEntry } from '../audit/vocabulary.js';
import type { Queryable } from '../store/database.js';
import { createResources, newId, type ResourceRow } from '../store/resources.js';

/** By whose word, and by what message. */
export interface SaidBy {
  custodianId: string;
  agent: Pick<AuditEntry, 'agent' | 'organizationId' | 'custodianId' | 'requestId'>;
  what: string;
}

/** Targets of one Provenance; more are named by further ones. */
const MOST_TARGETS = 500;

/** Provenance of a merge or a move: each record in the version that it made. From it the change can be taken back. */
export async function recordIdentityChange(
  tx: Queryable,
  { custodianId, agent, activity, rows }: Omit<SaidBy, 'what'> & { activity: 'merge' | 'move'; rows: readonly ResourceRow[] },
): Promise<void> {
  const custodian = { reference: `Organization/${custodianId}` };
  const participant = (code: string) => ({ coding: [{ system: systems.provenanceParticipantType, code }] });
  const [first] = rows;
  const parts = Array.from({ length: Math.ceil(rows.length / MOST_TARGETS) }, (_, i) =>
    rows.slice(i * MOST_TARGETS, (i + 1) * MOST_TARGETS),
  );
  await createResources(
    tx,
    parts.map((part) => ({
      resource: {
        resourceType: 'Provenance',
        id: newId(),
        target: part.map((row) => ({ reference: `${row.type}/${row.id}/_history/${row.version}` })),
        recorded: first?.last_updated.toISOString(),
        activity: {
          coding: [
            {
              system: 'http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle',
              code: activity === 'merge' ? 'merge' : 'amend',
            },
          ],
        },
        agent: [
          { type: participant('custodian'), who: custodian },
          { type: participant('assembler'), who: { display: agent.agent }, onBehalfOf: custodian },
        ],
      },
      custodianId,
    })),
  );
}

/** An entry for each Patient, with the records that were filed anew. */
export const identityEntries = ({
  agent,
  subtype,
  patientIds,
  records,
  detail,
}: {
  agent: SaidBy['agent'];
  subtype: string;
  patientIds: readonly string[];
  records: readonly ResourceRow[];
  detail: string;
}): AuditEntry[] =>
  patientIds.map((patientId) => ({
    ...agent,
    type: 'identity',
    subtype,
    action: 'U',
    outcome: 0,
    patientId,
    entity: records.map((row) => `${row.type}/${row.id}`),
    detail,
  }));
