import type { Reconciliation } from '../../connectors/dicom/write/reconcile.js';
import type { Queryable } from '../store/database.js';
import { findResource, toResource } from '../store/resources.js';
import { studyInstanceUidOf } from '../imaging/study-uid.js';
import { basisEnd } from './basis-end.sql.js';
import { countInstances, planInstances } from './instances.sql.js';
import { reconciliationFor } from './local-identity.js';
import { localPatient, numbersAt } from './local-patient.js';
import type { Permission } from './permission.js';
import type { DeliveryJob } from './queue.sql.js';
import { recipientArchive } from './recipient-archive.sql.js';
import { deliveryInput } from './task-details.js';

/** What a delivery comes to, by the index and the identities as they stand. */
export interface Plan {
  custodianId: string;
  studyInstanceUid: string;
  to: Reconciliation;
  patientIds: string[];
  /** When the basis ends by itself. */
  allowedUntil: Date | undefined;
}

/** Enters the objects that are to go, and finds what they become; or why nothing can go. */
export async function planDelivery(
  tx: Queryable,
  job: DeliveryJob,
  { study, series }: Permission & { allowed: true },
): Promise<Plan | { why: string }> {
  const studyInstanceUid = job.study_instance_uid;
  const task = await findResource(tx, 'Task', job.task_id);
  if (!task || studyInstanceUidOf(study.row) !== studyInstanceUid) return { why: 'The study is no longer indexed.' };
  const local = await localPatient(tx, job.recipient_id, study.row.patient_id, job.local_patient_id);
  if ('why' in local) return local;
  const archive = await recipientArchive(tx, job.recipient_id);
  if (archive?.connectorId !== job.connector_id) return { why: 'The archive no longer keeps deliveries.' };
  await planInstances(tx, job.task_id, { custodianId: job.custodian_id, studyInstanceUid, series });
  const { total } = await countInstances(tx, job.task_id);
  if (total === 0) return { why: 'The custodian has described the study and connected no archive that holds it.' };
  return {
    custodianId: job.custodian_id,
    studyInstanceUid,
    to: await reconciliationFor(tx, job, local, archive, deliveryInput(toResource(task))),
    patientIds: await numbersAt(tx, job.custodian_id, study.row.patient_id),
    allowedUntil: await basisEnd(tx, study.decision.evidence, { custodianId: job.custodian_id, recipientId: job.recipient_id }),
  };
}
