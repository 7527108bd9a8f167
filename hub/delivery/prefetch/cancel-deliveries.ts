import type { Audit } from '../../audit/vocabulary.js';
import { inState, lockTask, moveTask } from '../../jobs/task-state.js';
import type { Queryable } from '../../store/database.js';
import { idOf } from '../../store/fhir-elements.js';
import { toResource } from '../../store/resources.js';
import { entryOf } from '../entry.js';
import { deliveryQueue } from '../queue.sql.js';
import { callerByRule, HUB_ADDRESS } from './caller-by-rule.js';
import { openDeliveriesBefore } from './plans.sql.js';

/** What was to go before an appointment that is called off does not. What has arrived stays a copy like any other. */
export async function cancelDeliveries(tx: Queryable, audit: Audit, record: string): Promise<void> {
  for (const taskId of await openDeliveriesBefore(tx, record)) {
    const task = await lockTask(tx, taskId);
    if (!task) continue;
    await deliveryQueue.cancel(tx, taskId);
    await moveTask(tx, task, {
      status: 'cancelled',
      businessStatus: inState('cancelled'),
      statusReason: { text: 'It is no longer needed.' },
    });
    const about = {
      caller: callerByRule(task.custodian_id),
      address: HUB_ADDRESS,
      study_id: idOf(toResource(task).focus, 'ImagingStudy') ?? '',
      patient_id: task.patient_id,
      custodian_id: task.custodian_id,
    };
    await audit.append(tx, [{ ...entryOf(taskId, about), subtype: 'delivery-cancel', action: 'U', outcome: 0 }]);
  }
}
