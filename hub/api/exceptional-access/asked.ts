import type { Request } from '@hapi/hapi';
import { z } from 'zod';
import { callerOfRequest } from '../../access/authentication/bearer-scheme.js';
import type { IssueAccessToken } from '../../access/authentication/exceptional-access-token.js';
import { requestContext } from '../../access/authentication/request-context.js';
import type { Action, Caller, RequestContext } from '../../access/caller.js';
import type { Access, Decision } from '../../access/decision.js';
import type { BreakGlassConfig } from '../../access/exceptional/break-the-glass.js';
import type { Majority } from '../../access/policy/guardianships.sql.js';
import { agentOf } from '../../access/write-request.js';
import type { Audit } from '../../audit/vocabulary.js';
import type { Config } from '../../config.js';
import { forbidden, invalid, notFound } from '../../outcomes.js';
import type { Database } from '../../store/database.js';

export interface ExceptionalAccessDeps {
  db: Database;
  access: Access;
  audit: Audit;
  config: Pick<Config, 'trustedProxy' | 'maxPage' | 'oversightCaseDays'> & BreakGlassConfig & Majority;
  issueToken: IssueAccessToken;
}

/** One line of a person's own words. */
export const text = (least: number, most: number) =>
  z
    .string()
    .trim()
    .min(least)
    .max(most)
    .regex(/^[^\p{Cc}]*$/u, 'control characters are not taken');

export const namedPatient = z
  .strictObject({
    reference: z
      .string()
      .regex(/^Patient\/[A-Za-z0-9\-.]{1,64}$/)
      .optional(),
    identifier: z.strictObject({ system: text(1, 200), value: text(1, 256) }).optional(),
  })
  .refine((p) => (p.reference === undefined) !== (p.identifier === undefined), 'reference or identifier, one of the two');

const ID = z.string().regex(/^[A-Za-z0-9-]{1,64}$/);

/** @throws Refusal 404 for what can be no id. */
export function idOf(request: Request): string {
  const id = ID.safeParse(request.params['id']);
  if (!id.success) throw notFound();
  return id.data;
}

/** What was sent, in the body or the query. @throws Refusal 400 that names the element. */
export function asked<T>(schema: z.ZodType<T>, given: unknown): T {
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw invalid(issue?.message ?? 'invalid', issue?.path.join('.') || undefined);
}

/** Who takes a step, and the decision that lets him. */
export interface Actor {
  caller: Caller;
  context: RequestContext;
  decision: Decision;
}

/** A person whom policy lets take this step, by an ordinary token. @throws Refusal 403; the attempt is on record by then. */
export async function authorized(deps: ExceptionalAccessDeps, request: Request, action: Action, object: string): Promise<Actor> {
  const caller = callerOfRequest(request);
  const context = requestContext(request, deps.config);
  const decision = await deps.db.snapshot(async (tx) => (await deps.access.forCaller(tx, caller)).decideGeneral(action, object));
  if (decision.allowed && caller.kind === 'person' && caller.exceptionalAccess === undefined)
    return { caller, context, decision };
  await deps.audit.commit([
    { ...agentOf(caller, context), type: 'access', subtype: action, action: 'E', outcome: 4, detail: decision.reason ?? 'role' },
  ]);
  throw forbidden('This is not for you to do.');
}
