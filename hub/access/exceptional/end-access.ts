import { conflict } from '../../outcomes.js';
import type { Queryable } from '../../store/database.js';
import { sql } from '../../store/sql.js';
import type { Caller } from '../caller.js';
import { type ExceptionalAccess, lockAccess } from './exceptional-access.js';

/** Whoever was let in ends it; a case is ended by any officer of the commission that opened it. */
export const mayEnd = (access: ExceptionalAccess, caller: Caller): boolean =>
  access.organization_id === caller.organizationId &&
  (access.agent === caller.id || (access.kind === 'oversight' && caller.role === 'commission-officer'));

/** Over for whatever snapshot begins after this is committed. */
export async function endAccess(tx: Queryable, access: ExceptionalAccess, caller: Caller): Promise<ExceptionalAccess> {
  if (access.state === 'over') throw conflict('It is over.');
  await tx.query(sql`update exceptional_access set ended_at = now(), ended_by = ${caller.id} where id = ${access.id}`);
  return (await lockAccess(tx, access.id))!;
}
