import { type Sql, sql } from '../store/sql.js';

/**
 * Condition on an object `i` of a delivery `j`: it may lie in the recipient's archive as a copy. What was sent to an archive that did not answer, or to a hub
 * that died, may be there whatever is on record: `delivered_copy` names its series before the first object of it leaves. What was entered and never left
 * is not there; what the recipient had before is its own.
 */
export const mayBeCopied: Sql = sql`(i.state = 'delivered'
    or exists (select from delivered_copy c where c.task_id = i.task_id and i.series_instance_uid = any(c.series)))
  and not exists (
    select from imaging_instance own where own.custodian_id = j.recipient_id and own.sop_instance_uid = i.sop_instance_uid)`;

/**
 * Condition: of a study a copy may have been delivered to the hospital, is on its way to it, or was found there. @param custodianId as a value or in SQL.
 * @param uids the Study Instance UIDs, as a text array in SQL
 */
export const areCopied = (custodianId: string | Sql, uids: Sql): Sql => sql`(exists (
  select from delivery_job j where j.recipient_id = ${custodianId} and j.study_instance_uid = any(${uids})
    and (j.state in ('queued', 'running') or exists (select from delivery_instance i where i.task_id = j.task_id and ${mayBeCopied})))
  or exists (select from found_copy f where f.custodian_id = ${custodianId} and f.study_instance_uid = any(${uids})))`;
