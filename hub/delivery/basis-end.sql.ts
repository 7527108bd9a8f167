import type { Evidence } from '../access/decision.js';
import type { Queryable } from '../store/database.js';
import { sql } from '../store/sql.js';

/**
 * When what a decision rests on ends by itself: grant, agreement, membership of the two hospitals, or a consent that permits; undefined: no end is set.
 * It may end sooner, by whoever gave it.
 */
export async function basisEnd(
  on: Queryable,
  evidence: readonly Evidence[],
  { custodianId, recipientId }: { custodianId: string; recipientId: string },
): Promise<Date | undefined> {
  const ids = (kind: string): string[] => evidence.filter((e) => e.kind === kind).map((e) => e.id);
  const [row] = await on.query<{ until: Date | null }>(sql`
    select min(b.until) filter (where isfinite(b.until)) as until from (
      select valid_until as until from access_grant where id = any(${ids('grant')}::text[])
      union all
      select valid_until from sharing_agreement where id = any(${ids('agreement')}::text[])
      union all
      select valid_until from consortium_member
      where consortium_id = any(${ids('consortium')}::text[]) and organization_id = any(${[custodianId, recipientId]}::text[])
      union all
      select max(valid_until) from consent_rule where consent_id = any(${ids('consent')}::text[]) and decision = 'permit' group by consent_id
    ) b`);
  return row?.until ?? undefined;
}
