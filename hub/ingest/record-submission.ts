import { systems } from '../../fhir-profiles/index.js';
import type { decidedBy } from '../access/write-request.js';
import type { Audit, AuditEntry } from '../audit/vocabulary.js';
import type { Queryable } from '../store/database.js';
import { createResources, newId, type ResourceRow } from '../store/resources.js';
import { agentOfSource, type Origin } from './quarantine.js';
import type { StoredStudy } from './store-study.js';

/** What the policy said to it, for the audit, where it was asked. */
export type Decided = Pick<AuditEntry, 'role' | 'purpose'> & ReturnType<typeof decidedBy>;

/** Provenance and audit of a submission that changed a study, in its transaction. `act` is the audit's word for what was done. */
export async function recordSubmission(
  tx: Queryable,
  audit: Audit,
  { custodianId, connectorId, requestId }: Origin,
  { row, created }: Pick<StoredStudy, 'row' | 'created'>,
  { act = 'submit', detail, decided }: { act?: string; detail: string; decided?: Decided },
): Promise<void> {
  await createResources(tx, [
    {
      resource: provenanceOf(row, connectorId),
      custodianId,
      scope: { modality: row.modality, bodySite: row.body_site, ...(row.date_from ? { started: row.date_from } : {}) },
    },
  ]);
  await audit.append(tx, [
    {
      type: 'ingest',
      subtype: act,
      action: row.deleted ? 'D' : created ? 'C' : 'U',
      outcome: 0,
      agent: agentOfSource(connectorId),
      organizationId: custodianId,
      patientId: row.patient_id,
      custodianId,
      entity: [`ImagingStudy/${row.id}`],
      detail,
      requestId,
      ...decided,
    },
  ]);
}

/** FHIR Provenance of one version of a study: the custodian's archive said so, the hub's connector took it down. */
function provenanceOf(row: ResourceRow, connectorId: string | undefined) {
  const custodian = { reference: `Organization/${row.custodian_id}` };
  const participant = (code: string) => ({ coding: [{ system: systems.provenanceParticipantType, code }] });
  return {
    resourceType: 'Provenance',
    id: newId(),
    target: [{ reference: `ImagingStudy/${row.id}/_history/${row.version}` }],
    recorded: row.last_updated.toISOString(),
    activity: {
      coding: [
        {
          system: 'http://terminology.hl7.org/CodeSystem/v3-DataOperation',
          code: row.deleted ? 'DELETE' : row.version === 1 ? 'CREATE' : 'UPDATE',
        },
      ],
    },
    agent: [
      { type: participant('custodian'), who: custodian },
      {
        type: participant('assembler'),
        who: { display: connectorId ? `connector ${connectorId}` : 'hub' },
        onBehalfOf: custodian,
      },
    ],
  };
}
