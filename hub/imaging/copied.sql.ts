import { type Sql, sql } from '../store/sql.js';

/** Condition: of a study a copy was delivered to the hospital, or is on its way to it. @param custodianId as a value or in SQL. @param uids the Study Instance UIDs, as a text array in SQL */
export const areCopied = (custodianId: string | Sql, uids: Sql): Sql => sql`exists (
  select from delivery_job j where j.recipient_id = ${custodianId} and j.study_instance_uid = any(${uids})
    and (j.state in ('queued', 'running') or exists (select from delivery_instance i where i.task_id = j.task_id and i.state = 'delivered')))`;
