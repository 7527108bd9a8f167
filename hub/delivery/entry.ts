import type { Decision } from '../access/decision.js';
import { agentOf, decidedBy } from '../access/write-request.js';
import type { AuditEntry } from '../audit/vocabulary.js';
import type { Delivery } from './queue.sql.js';

/** What every audit entry about a delivery says: who asked for it, whose study it is. */
export const entryOf = (
  taskId: string,
  {
    caller,
    address,
    patient_id,
    custodian_id,
    study_id,
  }: Pick<Delivery, 'caller' | 'address' | 'patient_id' | 'custodian_id' | 'study_id'>,
): Omit<AuditEntry, 'subtype' | 'action' | 'outcome'> => ({
  ...agentOf(caller, { requestId: `Task/${taskId}`, address }),
  type: 'export',
  patientId: patient_id,
  custodianId: custodian_id,
  entity: [`ImagingStudy/${study_id}`, `Task/${taskId}`],
});

/**
 * The disclosure: a copy goes to another hospital, on this basis and until it ends.
 * @param until when the basis ends by itself.
 */
export const disclosureOf = (taskId: string, delivery: Delivery, decision: Decision, until: Date | undefined): AuditEntry => {
  const { evidence = [], ...decided } = decidedBy(decision) as { evidence?: object[] };
  return {
    ...entryOf(taskId, delivery),
    ...decided,
    subtype: 'deliver',
    action: 'R',
    outcome: 0,
    evidence: [...evidence, ...(until ? [{ kind: 'until', id: until.toISOString() }] : [])],
    detail: `to Endpoint ${delivery.connector_id}`,
  };
};
