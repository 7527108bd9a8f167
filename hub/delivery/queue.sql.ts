import type { Caller } from '../access/caller.js';
import { type HeldJob, jobQueue } from '../jobs/queue.sql.js';
import type { Queryable } from '../store/database.js';
import { sql } from '../store/sql.js';

/** What is delivered, to whom, and in whose right. */
export interface Delivery {
  study_id: string;
  study_instance_uid: string;
  /** Patient of the study, as its custodian has it. */
  patient_id: string;
  custodian_id: string;
  recipient_id: string;
  /** The archive of the recipient. */
  connector_id: string;
  /** The recipient's own Patient. */
  local_patient_id: string;
  /** Series Instance UIDs; null: all that is opened. */
  series: string[] | null;
  caller: Caller;
  /** Where the request came from. */
  address: string;
}

export interface DeliveryJob extends HeldJob, Delivery {
  created: Date;
}

export const deliveryQueue = jobQueue<DeliveryJob>({
  table: 'delivery_job',
  columns: [
    'study_id',
    'study_instance_uid',
    'patient_id',
    'custodian_id',
    'recipient_id',
    'connector_id',
    'local_patient_id',
    'series',
    'caller',
    'address',
    'created',
  ],
});

/** @param job `appointmentId`: the Appointment before which it is delivered. */
export async function insertDelivery(
  tx: Queryable,
  job: Delivery & { taskId: string; priority: number; appointmentId?: string },
): Promise<void> {
  await tx.query(sql`
    insert into delivery_job (task_id, study_id, study_instance_uid, patient_id, custodian_id, recipient_id, connector_id, local_patient_id, series, caller, address, appointment_id, priority)
    values (${job.taskId}, ${job.study_id}, ${job.study_instance_uid}, ${job.patient_id}, ${job.custodian_id}, ${job.recipient_id}, ${job.connector_id}, ${job.local_patient_id},
      ${job.series}, ${JSON.stringify(job.caller)}, ${job.address}, ${job.appointmentId ?? null}, ${job.priority})`);
}

/** The Task of a delivery of this study to this hospital that is not over. */
export async function openDelivery(on: Queryable, studyId: string, recipientId: string): Promise<string | undefined> {
  const [row] = await on.query<{ task_id: string }>(
    sql`select task_id from delivery_job where study_id = ${studyId} and recipient_id = ${recipientId} and state in ('queued', 'running')`,
  );
  return row?.task_id;
}

/** Begins a delivery that failed again, in another's right: what failed is tried again, what arrived is not. */
export async function retryDelivery(
  tx: Queryable,
  taskId: string,
  { caller, address, connector_id, local_patient_id }: Pick<Delivery, 'caller' | 'address' | 'connector_id' | 'local_patient_id'>,
): Promise<void> {
  await tx.query(sql`
    update delivery_job set caller = ${JSON.stringify(caller)}, address = ${address}, connector_id = ${connector_id}, local_patient_id = ${local_patient_id}
    where task_id = ${taskId} and state = 'failed'`);
  await retryFailed(tx, taskId);
}

/** The same in the right of whoever asked for it. */
export async function retryFailed(tx: Queryable, taskId: string): Promise<void> {
  await tx.query(sql`
    update delivery_job set state = 'queued', attempts = 0, run_after = now(), created = now(), finished = null, last_error = null
    where task_id = ${taskId} and state = 'failed'`);
  await tx.query(
    sql`update delivery_instance set state = 'pending', attempts = 0, detail = null, settled = null where task_id = ${taskId} and state = 'failed'`,
  );
}
