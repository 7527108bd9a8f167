import type { Audit } from '../../audit/vocabulary.js';
import { conflict, forbidden } from '../../outcomes.js';
import type { Queryable } from '../../store/database.js';
import { sql } from '../../store/sql.js';
import type { Caller, RequestContext } from '../caller.js';
import type { Decision } from '../decision.js';
import { entriesOf } from './entries.js';
import { type ExceptionalAccess, lockAccess } from './exceptional-access.js';
import { tellOfAccess } from './notices.js';
import { insertAccess, type Opening } from './open-access.js';

/** Days within which a case is confirmed, or lapses. */
const DAYS_TO_CONFIRM = 7;

/** An officer's case about one patient. It opens nothing before another officer has confirmed it, and is on record for the patient at once. */
export async function openCase(
  tx: Queryable,
  audit: Audit,
  opening: Opening & { caseNumber: string },
  decision: Decision,
  context: RequestContext,
): Promise<ExceptionalAccess> {
  const access = await insertAccess(tx, opening, {
    kind: 'oversight',
    caseNumber: opening.caseNumber,
    validFrom: sql`null`,
    validUntil: sql`now() + make_interval(days => ${DAYS_TO_CONFIRM})`,
    reviewDue: sql`null`,
  });
  await audit.append(tx, entriesOf(access, opening.caller, context, { subtype: 'oversight-case', decision }));
  return access;
}

/** Opens a case from now, for `days`. Nobody grants himself access: another person of the commission confirms. The custodians are told. */
export async function confirmCase(
  tx: Queryable,
  access: ExceptionalAccess,
  caller: Caller,
  days: number,
): Promise<ExceptionalAccess> {
  if (access.agent === caller.id) throw forbidden('Another officer confirms the case.');
  if (access.state !== 'pending') throw conflict('The case does not wait to be confirmed.');
  await tx.query(sql`
    update exceptional_access set confirmed_by = ${caller.id}, confirmed_at = now(), valid_from = now(), valid_until = now() + make_interval(days => ${days})
    where id = ${access.id}`);
  const confirmed = (await lockAccess(tx, access.id))!;
  await tellOfAccess(tx, confirmed, 'oversight.opened');
  return confirmed;
}
