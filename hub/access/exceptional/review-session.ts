import { conflict, forbidden, notFound } from '../../outcomes.js';
import type { Queryable } from '../../store/database.js';
import { sql } from '../../store/sql.js';
import type { Caller } from '../caller.js';
import { type ExceptionalAccess, type Finding, lockAccess } from './exceptional-access.js';
import { tellOfAccess } from './notices.js';

export interface Review {
  finding: Finding;
  comment: string;
  /** Days for which the person breaks no glass; only with not-justified. */
  suspendDays?: number;
}

/**
 * A reviewer's finding on a break-glass session, once. One that was justified is over by then; one that was not ends with it, and with every
 * other open one where the person is suspended. The custodians and the person's organization are told.
 */
export async function reviewSession(
  tx: Queryable,
  access: ExceptionalAccess,
  caller: Caller,
  { finding, comment, suspendDays }: Review,
): Promise<ExceptionalAccess> {
  if (access.kind !== 'break-glass') throw notFound();
  if (access.agent === caller.id) throw forbidden('Nobody reviews himself.');
  if (access.reviewed_at) throw conflict('It has been reviewed.');
  if (finding === 'justified' && access.state !== 'over') throw conflict('It is still open.');
  await tx.query(sql`
    update exceptional_access set finding = ${finding}, review_comment = ${comment}, reviewed_by = ${caller.id}, reviewed_at = now(),
      suspended_until = now() + make_interval(days => ${suspendDays ?? null}::integer)
    where id = ${access.id}`);
  if (finding === 'not-justified')
    await tx.query(sql`
      update exceptional_access set ended_at = now(), ended_by = ${caller.id}
      where ended_at is null and now() < valid_until
        and (id = ${access.id} or (${suspendDays ?? null}::integer is not null and agent = ${access.agent} and kind = 'break-glass'))`);
  const reviewed = (await lockAccess(tx, access.id))!;
  await tellOfAccess(tx, reviewed, `break-glass.${finding}`, { reviewedBy: caller.id });
  return reviewed;
}
