import type { Request, ResponseToolkit, Server } from '@hapi/hapi';
import { z } from 'zod';
import { callerOfRequest } from '../access/authentication/bearer-scheme.js';
import type { IssueAccessToken } from '../access/authentication/exceptional-access-token.js';
import { findOpenAccess } from '../access/authentication/open-access.sql.js';
import { requestContext } from '../access/authentication/request-context.js';
import type { Action, Caller, RequestContext } from '../access/caller.js';
import type { Access, Decision } from '../access/decision.js';
import { type BreakGlassConfig, breakTheGlass, refusalOf } from '../access/exceptional/break-the-glass.js';
import { BREAK_GLASS_REASONS } from '../access/exceptional/exceptional-access.js';
import { agentOf } from '../access/write-request.js';
import type { Audit } from '../audit/vocabulary.js';
import type { Config } from '../config.js';
import { findByIdentifier } from '../identity/find-by-identifier.js';
import { forbidden, invalid, notFound } from '../outcomes.js';
import type { Database, Queryable } from '../store/database.js';
import type { components } from './openapi.generated.js';

type Session = components['schemas']['BreakGlassSession'];
type Token = components['schemas']['AccessTokenResponse'];

export interface ExceptionalAccessDeps {
  db: Database;
  access: Access;
  audit: Audit;
  config: Pick<Config, 'trustedProxy' | 'maxPage' | 'oversightCaseDays'> & BreakGlassConfig;
  issueToken: IssueAccessToken;
}

/** `/access/break-glass`, `/access/oversight-cases`, `/access/exceptional`: how one person is let in to one patient for a stated reason, and who looks at it afterwards. */
export function registerExceptionalAccess(server: Server, deps: ExceptionalAccessDeps): void {
  server.route([
    { method: 'POST', path: '/access/break-glass', handler: (request, h) => openSession(deps, request, h) },
    { method: 'POST', path: '/access/exceptional/{id}/token', handler: (request) => token(deps, request) },
  ]);
}

const text = (least: number, most: number) =>
  z
    .string()
    .trim()
    .min(least)
    .max(most)
    .regex(/^[^\p{Cc}]*$/u, 'control characters are not taken');

const namedPatient = z
  .strictObject({
    reference: z
      .string()
      .regex(/^Patient\/[A-Za-z0-9\-.]{1,64}$/)
      .optional(),
    identifier: z.strictObject({ system: text(1, 200), value: text(1, 256) }).optional(),
  })
  .refine((p) => (p.reference === undefined) !== (p.identifier === undefined), 'reference or identifier, one of the two');

const breakGlass = z.strictObject({ patient: namedPatient, reason: z.enum(BREAK_GLASS_REASONS), statement: text(5, 500) });

async function openSession(deps: ExceptionalAccessDeps, request: Request, h: ResponseToolkit) {
  const { caller, context, decision } = await authorized(deps, request, 'break-glass', 'Patient');
  const asked = bodyOf(breakGlass, request);
  const session = await deps.db.transaction(async (tx) => {
    const patientIds = await namedIn(tx, asked.patient);
    return breakTheGlass(tx, deps.audit, deps.config, { caller, ...asked, patientIds }, decision.rule, context);
  });
  if (typeof session === 'string') throw refusalOf(session, deps.config);
  const open = await findOpenAccess(deps.db, session.id);
  if (!open) throw notFound();
  const body: Session = {
    id: session.id,
    until: session.valid_until.toISOString(),
    reviewDue: session.review_due!.toISOString(),
    token: await deps.issueToken(request, open),
  };
  return h.response(body).code(201).header('cache-control', 'no-store');
}

/** The Patients that are meant. Whether there are any is not told to whoever asks. */
async function namedIn(tx: Queryable, patient: z.infer<typeof namedPatient>): Promise<string[]> {
  return patient.identifier ? findByIdentifier(tx, patient.identifier) : [patient.reference!.replace('Patient/', '')];
}

/** By the person's ordinary token: one that names an access can't prolong itself. */
async function token(deps: ExceptionalAccessDeps, request: Request): Promise<Token> {
  const caller = callerOfRequest(request);
  const open = await findOpenAccess(deps.db, idOf(request));
  const action: Action = open?.kind === 'oversight' ? 'oversee' : 'break-glass';
  await authorized(deps, request, action, 'Patient');
  if (!open || open.agent !== caller.id || open.organization_id !== caller.organizationId) throw notFound();
  return deps.issueToken(request, open);
}

const ID = z.string().regex(/^[A-Za-z0-9-]{1,64}$/);

function idOf(request: Request): string {
  const id = ID.safeParse(request.params['id']);
  if (!id.success) throw notFound();
  return id.data;
}

/** @throws Refusal 400 that names the element. */
function bodyOf<T>(schema: z.ZodType<T>, request: Request): T {
  const result = schema.safeParse(request.payload);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw invalid(issue?.message ?? 'invalid', issue?.path.join('.') || undefined);
}

interface Authorized {
  caller: Caller;
  context: RequestContext;
  decision: Decision;
}

/** A person whom policy lets take this step, by an ordinary token. @throws Refusal 403; the attempt is on record by then. */
async function authorized(deps: ExceptionalAccessDeps, request: Request, action: Action, object: string): Promise<Authorized> {
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
