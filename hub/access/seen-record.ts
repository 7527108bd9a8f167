import type { AuditEntry } from '../audit/vocabulary.js';
import type { Decision, RowWithEvidence } from './decision.js';
import { decidedBy } from './write-request.js';

/** A record that a caller asked for by its id, with what policy says of reading it; undefined where there is none. */
export type SeenRecord = { row: RowWithEvidence; decision: Decision } | undefined;

/** The part of an audit entry that tells of the record and the decision, whatever was asked. */
export function outcomeOf(
  seen: SeenRecord,
): Pick<AuditEntry, 'outcome' | 'patientId' | 'custodianId' | 'concealed' | 'detail' | keyof ReturnType<typeof decidedBy>> {
  if (!seen) return { outcome: 4, detail: 'not-found' };
  const { row, decision } = seen;
  return {
    outcome: decision.allowed ? 0 : 4,
    patientId: row.patient_id,
    custodianId: row.custodian_id,
    concealed: !decision.mayKnow,
    ...decidedBy(decision),
    detail: decision.allowed ? undefined : decision.reason,
  };
}
