import type { Request, ResponseObject, ResponseToolkit } from '@hapi/hapi';
import { z } from 'zod';
import { callerOfRequest } from '../../access/authentication/bearer-scheme.js';
import { findOpenAccess } from '../../access/authentication/open-access.sql.js';
import { breakTheGlass, refusalOf } from '../../access/exceptional/break-the-glass.js';
import { BREAK_GLASS_REASONS, CASE_GROUNDS } from '../../access/exceptional/exceptional-access.js';
import { openCase } from '../../access/exceptional/open-case.js';
import { findByIdentifier } from '../../identity/find-by-identifier.js';
import { notFound } from '../../outcomes.js';
import type { Queryable } from '../../store/database.js';
import type { components } from '../openapi.generated.js';
import { asked, idOf, text } from '../asked.js';
import { authorized, type ExceptionalAccessDeps } from './authorized.js';
import { toItem } from './item.js';

type Session = components['schemas']['BreakGlassSession'];
type Token = components['schemas']['AccessTokenResponse'];

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

/** `POST /access/break-glass` */
export async function openSession(deps: ExceptionalAccessDeps, request: Request, h: ResponseToolkit): Promise<ResponseObject> {
  const { caller, context, decision } = await authorized(deps, request, 'break-glass', 'Patient');
  const { patient, ...why } = asked(breakGlass, request.payload);
  const session = await deps.db.transaction(async (tx) => {
    const opening = { caller, ...why, patientIds: await namedIn(tx, patient) };
    return breakTheGlass(tx, deps.audit, deps.config, opening, decision, context);
  });
  if (typeof session === 'string') throw refusalOf(session, deps.config);
  const open = await findOpenAccess(deps.db, session.id);
  if (!open || !session.review_due) throw notFound();
  const body: Session = {
    id: session.id,
    until: session.valid_until.toISOString(),
    reviewDue: session.review_due.toISOString(),
    token: await deps.issueToken(request, open),
  };
  return h.response(body).code(201).header('cache-control', 'no-store');
}

const oversightCase = z.strictObject({
  patient: namedPatient,
  caseNumber: z.string().regex(/^[\p{L}\p{N}〔〕()（）\-_/. ]{3,64}$/u),
  ground: z.enum(CASE_GROUNDS),
  statement: text(5, 500),
});

/** `POST /access/oversight-cases` */
export async function openOversightCase(
  deps: ExceptionalAccessDeps,
  request: Request,
  h: ResponseToolkit,
): Promise<ResponseObject> {
  const { caller, context, decision } = await authorized(deps, request, 'oversee', 'Patient');
  const { patient, ground: reason, ...more } = asked(oversightCase, request.payload);
  const access = await deps.db.transaction(async (tx) => {
    const opening = { caller, reason, ...more, patientIds: await namedIn(tx, patient) };
    return openCase(tx, deps.audit, opening, decision, context);
  });
  return h.response(toItem(access, caller)).code(201).header('cache-control', 'no-store');
}

/** The Patients that are meant. Whether there are any is not told to whoever asks. */
async function namedIn(tx: Queryable, patient: z.infer<typeof namedPatient>): Promise<string[]> {
  if (patient.identifier) return findByIdentifier(tx, patient.identifier);
  return patient.reference ? [patient.reference.replace('Patient/', '')] : [];
}

/** `POST /access/exceptional/{id}/token`, by the person's ordinary token: one that names an access can't prolong itself. */
export async function anotherToken(deps: ExceptionalAccessDeps, request: Request): Promise<Token> {
  const caller = callerOfRequest(request);
  const open = await findOpenAccess(deps.db, idOf(request));
  await authorized(deps, request, caller.role === 'commission-officer' ? 'oversee' : 'break-glass', 'Patient');
  if (!open || open.agent !== caller.id || open.organization_id !== caller.organizationId) throw notFound();
  return deps.issueToken(request, open);
}
