import type { Request } from '@hapi/hapi';
import { z } from 'zod';
import { callerOfRequest } from '../../access/authentication/bearer-scheme.js';
import { requestContext } from '../../access/authentication/request-context.js';
import type { Caller } from '../../access/caller.js';
import type { Decision } from '../../access/decision.js';
import { endAccess, mayEnd } from '../../access/exceptional/end-access.js';
import { entriesOf } from '../../access/exceptional/entries.js';
import { type ExceptionalAccess, FINDINGS, lockAccess, type OpenedPatient } from '../../access/exceptional/exceptional-access.js';
import { flagAccess, heldBy } from '../../access/exceptional/flag-access.js';
import { confirmCase } from '../../access/exceptional/open-case.js';
import { reviewSession } from '../../access/exceptional/review-session.js';
import { agentOf } from '../../access/write-request.js';
import { notFound, Refusal } from '../../outcomes.js';
import type { Queryable } from '../../store/database.js';
import type { components } from '../openapi.generated.js';
import { asked, idOf, text } from '../asked.js';
import { authorized, type ExceptionalAccessDeps } from './authorized.js';
import { toItem } from './item.js';

type Item = components['schemas']['ExceptionalAccess'];

/** By whatever token the person has, the one of the session too. */
export function end(deps: ExceptionalAccessDeps, request: Request): Promise<Item> {
  return step(deps, request, { name: 'end', isHis: mayEnd, take: endAccess });
}

export async function confirm(deps: ExceptionalAccessDeps, request: Request): Promise<Item> {
  const { decision } = await authorized(deps, request, 'oversee', 'Patient');
  return step(deps, request, {
    name: 'confirm',
    decision,
    isHis: (access, caller) => access.kind === 'oversight' && access.organization_id === caller.organizationId,
    take: (tx, access, caller) => confirmCase(tx, access, caller, deps.config.oversightCaseDays),
  });
}

const finding = z
  .strictObject({ finding: z.enum(FINDINGS), comment: text(5, 500), suspendDays: z.number().int().min(1).max(3650).optional() })
  .refine((r) => r.suspendDays === undefined || r.finding === 'not-justified', {
    message: 'Only a use that was not justified suspends.',
    path: ['suspendDays'],
  });

export async function review(deps: ExceptionalAccessDeps, request: Request): Promise<Item> {
  const { decision } = await authorized(deps, request, 'review', 'AuditEvent');
  const result = asked(finding, request.payload);
  return step(deps, request, {
    name: 'review',
    decision,
    detail: result.finding,
    isHis: () => true,
    take: (tx, access, caller) => reviewSession(tx, access, caller, result),
  });
}

export async function flag(deps: ExceptionalAccessDeps, request: Request): Promise<Item> {
  const { decision } = await authorized(deps, request, 'flag', 'AuditEvent');
  const { comment } = asked(z.strictObject({ comment: text(5, 500) }), request.payload);
  return step(deps, request, {
    name: 'flag',
    decision,
    isHis: (access, caller) => heldBy(access, caller.organizationId).length > 0,
    take: (tx, access, caller) => flagAccess(tx, access, caller, comment),
    patients: (access, caller) => heldBy(access, caller.organizationId),
  });
}

interface Step {
  name: string;
  /** What let the caller take it; an access is ended by whoever it is. */
  decision?: Decision;
  detail?: string;
  /** Whether the access is one that the caller may take the step on; another is answered like none. */
  isHis: (access: ExceptionalAccess, caller: Caller) => boolean;
  take: (tx: Queryable, access: ExceptionalAccess, caller: Caller) => Promise<ExceptionalAccess>;
  /** Whose audit the step belongs to; all Patients of the access unless told otherwise. */
  patients?: (access: ExceptionalAccess, caller: Caller) => OpenedPatient[];
}

/** A step on one access, in one transaction with the record of it. One that is refused is on record too. */
async function step(
  deps: ExceptionalAccessDeps,
  request: Request,
  { name, decision, detail, isHis, take, patients }: Step,
): Promise<Item> {
  const caller = callerOfRequest(request);
  const context = requestContext(request, deps.config);
  const id = idOf(request);
  try {
    const access = await deps.db.transaction(async (tx) => {
      const current = await lockAccess(tx, id);
      if (!current || !isHis(current, caller)) throw notFound();
      const next = await take(tx, current, caller);
      const subtype = `${current.kind}-${name}`;
      const about = { ...next, patients: (patients ?? ((a) => a.patients))(next, caller) };
      await deps.audit.append(tx, entriesOf(about, caller, context, { subtype, decision, detail }));
      return next;
    });
    return toItem(access, caller);
  } catch (error) {
    if (error instanceof Refusal && error.status < 500)
      await deps.audit.commit([
        {
          ...agentOf(caller, context),
          type: 'access',
          subtype: `exceptional-${name}`,
          action: 'E',
          outcome: 4,
          entity: [`ExceptionalAccess/${id}`],
          detail: error.issues[0]?.code,
        },
      ]);
    throw error;
  }
}
