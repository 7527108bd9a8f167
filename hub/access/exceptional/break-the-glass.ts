import type { Audit } from '../../audit/vocabulary.js';
import type { Config } from '../../config.js';
import { forbidden, Refusal } from '../../outcomes.js';
import type { Queryable } from '../../store/database.js';
import { sql } from '../../store/sql.js';
import type { Caller, RequestContext } from '../caller.js';
import type { Decision } from '../decision.js';
import type { ExceptionalAccess } from './exceptional-access.js';
import { entriesOf, refusedEntries } from './entries.js';
import { tellOfAccess } from './notices.js';
import { insertAccess, type Opening } from './open-access.js';

export type BreakGlassConfig = Pick<
  Config,
  'breakGlassMinutes' | 'breakGlassReviewHours' | 'breakGlassPerDay' | 'freshAuthentication' | 'clockLeeway'
>;

/** Why a physician may not break the glass now. None of it says anything of the patient. */
export type Obstacle = 'stale-authentication' | 'review-overdue' | 'suspended' | 'too-many';

/**
 * Opens a break-glass session: a physician for one patient, from the database's now for `breakGlassMinutes`, review owed. The custodians are told
 * and the patient finds it in her audit, in the same transaction. Whether there is such a patient is not looked at: the answer is the same.
 * @returns what stands in the way instead, on record for the patient too.
 */
export async function breakTheGlass(
  tx: Queryable,
  audit: Audit,
  config: BreakGlassConfig,
  opening: Opening,
  decision: Decision,
  context: RequestContext,
): Promise<ExceptionalAccess | Obstacle> {
  const { caller } = opening;
  // one at a time, so that two at once can't both be the last one allowed
  await tx.query(sql`select pg_advisory_xact_lock(hashtextextended(${`break-glass ${caller.id}`}, 0))`);
  const obstacle = await obstacleFor(tx, config, caller);
  if (obstacle) {
    await audit.append(tx, await refusedEntries(tx, opening, context, obstacle));
    return obstacle;
  }
  const access = await insertAccess(tx, opening, {
    kind: 'break-glass',
    caseNumber: null,
    validFrom: sql`now()`,
    validUntil: sql`now() + make_interval(mins => ${config.breakGlassMinutes})`,
    reviewDue: sql`now() + make_interval(hours => ${config.breakGlassReviewHours})`,
  });
  await audit.append(tx, entriesOf(access, caller, context, { subtype: 'break-glass', decision }));
  await tellOfAccess(tx, access, 'break-glass.opened');
  return access;
}

async function obstacleFor(tx: Queryable, config: BreakGlassConfig, caller: Caller): Promise<Obstacle | undefined> {
  const [row] = await tx.query<{ fresh: boolean; overdue: boolean; suspended: boolean; today: number }>(sql`
    select ${caller.authenticatedAt}::float8 > 0
        and extract(epoch from now()) - ${caller.authenticatedAt}::float8 between ${-config.clockLeeway}::float8 and ${config.freshAuthentication}::float8 as fresh,
      coalesce(bool_or(x.reviewed_at is null and x.review_due <= now()), false) as overdue,
      coalesce(bool_or(x.suspended_until > now()), false) as suspended,
      count(*) filter (where x.opened_at > now() - interval '24 hours') as today
    from exceptional_access x where x.agent = ${caller.id} and x.kind = 'break-glass'`);
  if (!row || row.suspended) return 'suspended';
  if (row.overdue) return 'review-overdue';
  if (row.today >= config.breakGlassPerDay) return 'too-many';
  return row.fresh ? undefined : 'stale-authentication';
}

/** What the physician is told. */
export function refusalOf(obstacle: Obstacle, config: BreakGlassConfig): Refusal {
  if (obstacle === 'stale-authentication') return stepUp(config.freshAuthentication);
  if (obstacle === 'too-many')
    return new Refusal(
      429,
      [
        {
          severity: 'error',
          code: 'throttled',
          diagnostics: `At most ${config.breakGlassPerDay} break-glass sessions are opened in 24 hours.`,
        },
      ],
      { 'retry-after': '3600' },
    );
  return forbidden(
    obstacle === 'suspended'
      ? 'Break-glass is suspended for you after a review.'
      : 'A break-glass session of yours is overdue for review: no further one is opened before.',
  );
}

/** RFC 9470: who signs in again is let in. */
const stepUp = (maxAge: number): Refusal =>
  new Refusal(
    401,
    [{ severity: 'error', code: 'login', diagnostics: `Sign in again: the sign-in must be at most ${maxAge} seconds old.` }],
    {
      'www-authenticate': `Bearer realm="hub", error="insufficient_user_authentication", max_age="${maxAge}"`,
    },
  );
