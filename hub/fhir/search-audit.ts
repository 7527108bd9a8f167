import { agentOf, decidedBy } from '../access/write-request.js';
import type { Decision, RowWithEvidence } from '../access/decision.js';
import type { AuditEntry } from '../audit/vocabulary.js';
import { invalid } from '../outcomes.js';
import type { FhirRequest } from './exchange.js';
import type { Judged } from './includes.js';
import type { Withheld } from './withheld.js';

/** Records whose existence was counted for the caller. */
export type Counted = Pick<RowWithEvidence, 'patient_id' | 'custodian_id'>;

/** A search as far as the audit keeps it. */
export type Search = Pick<FhirRequest, 'path' | 'query' | 'caller' | 'context'>;

/** What a search showed of whom. */
export interface Shown {
  type: string;
  matches: readonly Judged[];
  included: readonly Judged[];
  counted: readonly Counted[];
  withheld: readonly Withheld[];
}

/** One entry for each patient in the result (IHE BALP), included resources too; one without a patient when there is none. */
export function searchEntries(request: Search, shown: Shown): AuditEntry[] {
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
    entry.entity?.push(`${row.type}/${row.id}`);
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

/** A search as it was asked, so that it can't be read as another one: what separates parameters is escaped inside them. */
export const queryText = (request: Pick<Search, 'path' | 'query'>): string =>
  `${request.path[0]}?${request.query.map(([n, v]) => `${escaped(n)}=${escaped(v)}`).join('&')}`;

const escaped = (text: string): string => text.replace(/[%&]/g, encodeURIComponent);

/** Characters of all parameters together: what the audit keeps of a search. A longer one could hide in what is cut what it is for. */
const LONGEST = 8000;
export const MOST_PARAMETERS = 40;

/** @throws Refusal 400 for a search that is too long to be on record as it is. */
export function assertRecordable(request: Pick<Search, 'path' | 'query'>): void {
  if (request.query.length > MOST_PARAMETERS) throw invalid(`At most ${MOST_PARAMETERS} parameters are taken.`);
  if (queryText(request).length <= LONGEST) return;
  const [longest] = [...request.query].sort(([, a], [, b]) => b.length - a.length);
  throw invalid(`The parameters are longer than ${LONGEST} characters together.`, longest?.[0].slice(0, 100));
}
