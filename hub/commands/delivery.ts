import { insertEntries } from '../audit/insert-entries.sql.js';
import { COMMAND_LINE } from '../audit/vocabulary.js';
import { failedDeliveries, retryFailedDelivery } from '../delivery/failed-deliveries.js';
import type { Queryable } from '../store/database.js';
import { table, withDatabase } from './operate.js';

const SHOWN = 500;

/** `hub delivery failures [HOSPITAL]`: what could not be delivered to a hospital, with the reason. */
export async function listFailures(hospital?: string): Promise<void> {
  const of = hospital ? { recipientId: hospital } : {};
  const failed = await withDatabase((db) => failedDeliveries(db, { count: SHOWN, ...of }));
  if (failed.length === 0) return console.log('no delivery has failed');
  console.log(table(failed.map(({ created: _, ...delivery }) => delivery)));
  if (failed.length === SHOWN) console.log(`the newest ${SHOWN}`);
}

/** `hub delivery retry TASK...`: begins failed deliveries again, in the right of whoever asked for them. Exit status 1 when one of them is none. */
export async function retryDeliveries(taskIds: string[]): Promise<void> {
  await withDatabase(async (db) => {
    for (const taskId of taskIds) {
      const isBegun = await db.transaction((tx) => retry(tx, taskId));
      console.log(
        isBegun ? `${taskId} is queued again` : `${taskId} is no delivery that failed, or another delivers the study by now`,
      );
      if (!isBegun) process.exitCode = 1;
    }
  });
}

async function retry(tx: Queryable, taskId: string): Promise<boolean> {
  const task = await retryFailedDelivery(tx, taskId);
  if (!task) return false;
  await tx.query(
    insertEntries([
      {
        ...COMMAND_LINE,
        type: 'export',
        subtype: 'delivery-request',
        action: 'U',
        outcome: 0,
        patientId: task.patient_id,
        custodianId: task.custodian_id,
        entity: [`Task/${taskId}`],
      },
    ]),
  );
  return true;
}
