import { asCaller, asRemembered } from '../access/as-caller.js';
import type { Caller } from '../access/caller.js';
import type { Access } from '../access/access.js';
import type { RequestAccess, RowWithEvidence } from '../access/decision.js';
import type { Database } from '../store/database.js';
import { type Sql, sql } from '../store/sql.js';
import { columns } from '../store/resources.js';
import { type JudgedStudy, judgedStudy } from './find-study.js';

/**
 * What the policy as it stands says of retrieving a study: one statement, as long as no fact about the caller changed. Undefined when there is no such
 * study any more. @param chosen columns of `r`, the whole row unless less will do (`judgedColumns`).
 */
export async function judgeNow(
  { db, access }: { db: Database; access: Access },
  caller: Caller,
  studyId: string,
  chosen: (access: RequestAccess) => Sql = () => columns,
): Promise<JudgedStudy | undefined> {
  const current = (under: RequestAccess): Sql =>
    sql`select ${chosen(under)}, ${under.evidence} from resource r where r.type = 'ImagingStudy' and r.id = ${studyId} and not r.deleted`;
  const { access: under, rows } =
    (await asRemembered<RowWithEvidence>(db, access, caller, current)) ??
    (await db.snapshot((tx) => asCaller<RowWithEvidence>(tx, access, caller, current)));
  return rows[0] && judgedStudy(under, rows[0]);
}
