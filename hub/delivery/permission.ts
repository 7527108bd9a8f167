import { isStanding, type Standings } from '../access/authentication/standing.js';
import type { Access } from '../access/access.js';
import type { Decision } from '../access/decision.js';
import { isSamePerson } from '../access/write-rules.js';
import type { JudgedStudy } from '../imaging/find-study.js';
import { judgeNow } from '../imaging/judge-now.js';
import { seriesOf } from '../access/policy/part-terms.js';
import type { Database } from '../store/database.js';
import type { Delivery } from './queue.sql.js';

export interface PermissionDeps {
  db: Database;
  access: Access;
  standings: Standings;
}

/** The study as it may be delivered now, and which of its series; or why it may not. */
export type Permission =
  | { allowed: true; study: JudgedStudy; series: string[] }
  | {
      allowed: false;
      /** Reason class (denial-reason), or `account`, `identity`, `withdrawn`. */
      why: string;
      decision?: Decision;
    };

/** The hub's own deliveries, by a hospital's standing rule. */
export const BY_RULE = 'Device/hub';

/**
 * Whether a delivery may go on: whoever asked for it is still who he was, the policy lets him retrieve the study, and study and local Patient are one
 * person's. The same predicate and consents as any retrieval.
 */
export async function permissionNow(
  deps: PermissionDeps,
  of: Pick<Delivery, 'caller' | 'study_id' | 'series' | 'local_patient_id'>,
): Promise<Permission> {
  if (of.caller.id !== BY_RULE && !(await isStanding(deps.standings, of.caller))) return { allowed: false, why: 'account' };
  return copyPermission(deps, of);
}

/** The same of a copy that is there already: it is the hospital's, whoever of its people asked for it. */
export async function copyPermission(
  deps: Pick<PermissionDeps, 'db' | 'access'>,
  { caller, study_id, series, local_patient_id }: Pick<Delivery, 'caller' | 'study_id' | 'series' | 'local_patient_id'>,
): Promise<Permission> {
  const study = await judgeNow(deps, caller, study_id);
  if (!study) return { allowed: false, why: 'withdrawn' };
  const { decision, row } = study;
  if (!decision.allowed)
    return { allowed: false, why: decision.mayKnow ? (decision.reason ?? 'no-basis') : 'no-basis', decision };
  if (!(await isSamePerson(deps.db, local_patient_id, row.patient_id))) return { allowed: false, why: 'identity', decision };
  return { allowed: true, study, series: openSeries(study, series) };
}

/** Series Instance UIDs that are opened, of those that are asked for. */
export function openSeries({ row, series: opened }: JudgedStudy, wanted: readonly string[] | null): string[] {
  const all = seriesOf(row).flatMap(({ uid }) => uid ?? []);
  return all.filter((uid) => (opened?.includes(uid) ?? true) && (wanted?.includes(uid) ?? true));
}
