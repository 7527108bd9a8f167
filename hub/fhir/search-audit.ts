import { agentOf, decidedBy } from '../access/write-request.js';
import type { Decision, RowWithEvidence } from '../access/decision.js';
import type { AuditEntry } from '../audit/vocabulary.js';
import type { FhirRequest } from './exchange.js';
import type { Judged } from './includes.js';
import type { Withheld } from './withheld.js';

/** Records whose existence was counted for the caller. */
export type Counted = Pick<RowWithEvidence, 'patient_id' | 'custodian_id'>;

/** What a search showed of whom. */
export interface Shown {
  type: string;
  matches: readonly Judged[];
  included: readonly Judged[];
  counted: readonly Counted[];
  withheld: readonly Withheld[];
}

/** One entry for each patient in the result (IHE BALP), included resources too; one without a patient when there is none. */
export function searchEntries(request: FhirRequest, shown: Shown): AuditEntry[] {
  const base = {
    ...agentOf(request.caller, request.context),
    type: 'rest',
    subtype: 'search-type',
    action: 'E',
    outcome: 0,
    query: queryText(request),
  } as const;
  const byPatient = new Map<string, AuditEntry>();
  const decisionsOf = new Map<string, Decision[]>();
  const decidedFor = (key: string, decision: Decision): void => {
    const decisions = decisionsOf.get(key);
    if (decisions) decisions.push(decision);
    else decisionsOf.set(key, [decision]);
  };
  for (const { row, decision } of [...shown.matches, ...shown.included]) {
    const key = `${row.patient_id} ${row.custodian_id}`;
    const entry = byPatient.get(key) ?? {
      ...base,
      patientId: row.patient_id,
      custodianId: row.custodian_id,
      entity: [],
    };
    decidedFor(key, decision);
    if (entry.entity && entry.entity.length < 100) entry.entity.push(`${row.type}/${row.id}`);
    byPatient.set(key, entry);
  }
  for (const { patient_id: patientId, custodian_id: custodianId } of shown.counted)
    byPatient.set(`${patientId} ${custodianId}`, { ...base, patientId, custodianId, entity: [shown.type], detail: 'counted' });
  for (const { row, decision } of shown.withheld) {
    const { rule, evidence } = decision;
    const key = `withheld ${row.patient_id} ${row.custodian_id} ${rule} ${JSON.stringify(evidence)}`;
    const entry = byPatient.get(key) ?? {
      ...base,
      outcome: 4,
      patientId: row.patient_id,
      custodianId: row.custodian_id,
      detail: 'withheld',
    };
    decidedFor(key, decision);
    byPatient.set(key, { ...entry, entity: [...(entry.entity ?? []), `${row.type}/${row.id}`] });
  }
  const entries = [...byPatient].map(([key, entry]) => ({ ...entry, ...decidedBy(...(decisionsOf.get(key) ?? [])) }));
  return entries.length > 0 ? entries : [{ ...base, entity: [shown.type] }];
}

const queryText = (request: FhirRequest): string =>
  `${request.path[0]}?${request.query.map(([n, v]) => `${n}=${v}`).join('&')}`.slice(0, 4000);
