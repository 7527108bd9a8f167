import type { Request, ResponseToolkit, Server } from '@hapi/hapi';
import { z } from 'zod';
import { PolicyError } from '../../policies/policy-error.js';
import { type Example, examplesOf, type PolicyTexts, readPolicyTexts, supersededOf } from '../../policies/policy-texts.js';
import { callerOfRequest } from '../access/authentication/bearer-scheme.js';
import { requestContext } from '../access/authentication/request-context.js';
import type { Caller } from '../access/caller.js';
import type { Access, Decision } from '../access/decision.js';
import { type Epoch, type EpochRow, listEpochs, readEpoch } from '../access/policy/epochs.sql.js';
import { diffOf } from '../access/policy/policy-diff.js';
import {
  listProposals,
  openProposal,
  type ProposalRow,
  propose,
  publishProposal,
  withdrawProposal,
} from '../access/policy/proposals.js';
import { replay } from '../access/policy/replay.js';
import { soundPolicy } from '../access/policy/sound-policy.js';
import { agentOf, decidedBy } from '../access/write-request.js';
import { everything } from '../audit/audit-filter.js';
import { parseAuditEventId } from '../audit/rows.js';
import { readAuditEvent } from '../audit/search.js';
import type { Audit, AuditEntry } from '../audit/vocabulary.js';
import type { Config } from '../config.js';
import { forbidden, invalid, notFound, Refusal, unprocessable } from '../outcomes.js';
import type { Database, Queryable } from '../store/database.js';
import type { components } from './openapi.generated.js';

type Schemas = components['schemas'];

export interface PolicyDeps {
  db: Database;
  access: Access;
  audit: Audit;
  config: Pick<Config, 'trustedProxy' | 'maxPage'>;
}

/**
 * `/access/policy`: the access policy as its administrators change it and its auditors follow it. One person proposes, another publishes;
 * every look, try and change is audited.
 */
export function registerPolicy(server: Server, deps: PolicyDeps): void {
  server.route([
    { method: 'GET', path: '/access/policy', handler: (request) => history(deps, request) },
    { method: 'GET', path: '/access/policy/epochs/{number}', handler: (request) => epoch(deps, request) },
    { method: 'POST', path: '/access/policy/proposals', handler: (request, h) => enter(deps, request, h) },
    { method: 'GET', path: '/access/policy/proposals/{id}', handler: (request) => proposal(deps, request) },
    { method: 'POST', path: '/access/policy/proposals/{id}/publish', handler: (request) => publish(deps, request) },
    { method: 'POST', path: '/access/policy/proposals/{id}/withdraw', handler: (request) => withdraw(deps, request) },
    { method: 'POST', path: '/access/policy/replay', handler: (request) => again(deps, request) },
  ]);
}

async function history(deps: PolicyDeps, request: Request): Promise<Schemas['PolicyHistory']> {
  const { caller, decision } = await authorized(deps, request, 'read', 'either');
  const { maxPage } = deps.config;
  const asked = z.strictObject({
    _count: z.coerce.number().int().min(1).max(maxPage).default(Math.min(50, maxPage)),
    _cursor: z.coerce.number().int().min(1).max(2_147_483_647).optional(),
  });
  const { _count: count, _cursor: before } = checked(asked, request.query);
  const { rows, proposals } = await deps.db.snapshot(async (tx) => ({
    rows: await listEpochs(tx, { count: count + 1, before }),
    proposals: await listProposals(tx),
  }));
  const shown = rows.slice(0, count);
  await deps.audit.commit([entryOf(deps, request, caller, 'read', { decision, entity: ['PolicyEpoch'] })]);
  return {
    epochs: shown.map(toEpoch),
    ...(rows.length > count ? { next: String(shown.at(-1)?.number) } : {}),
    proposals: proposals.map(toProposal),
  };
}

async function epoch(deps: PolicyDeps, request: Request): Promise<Schemas['PolicyEpochWhole']> {
  const { caller, decision } = await authorized(deps, request, 'read', 'either');
  const number = Number(/^\d{1,9}$/.exec(String(request.params.number))?.[0] ?? 0);
  const found = await readEpoch(deps.db, number);
  const entity = [`PolicyEpoch/${number}`];
  await deps.audit.commit([entryOf(deps, request, caller, 'read', { decision, entity, outcome: found ? 0 : 4 })]);
  if (!found) throw notFound();
  const { rules, examples, superseded } = found.texts;
  const contents = Object.fromEntries(examples.map(({ name, permit: _permit, ...content }: Example) => [name, content]));
  return { ...toEpoch(found), rules, examples: contents, superseded };
}

const proposed = z.strictObject({
  note: z.string().trim().min(5).max(500),
  restores: z.int().min(1).max(2_147_483_647).optional(),
  rules: z.string().optional(),
  examples: z.record(z.string(), z.unknown()).optional(),
  superseded: z.record(z.string(), z.unknown()).optional(),
});

async function enter(deps: PolicyDeps, request: Request, h: ResponseToolkit) {
  const { caller, decision } = await authorized(deps, request, 'propose', 'keeper');
  return traced(deps, request, caller, 'propose', [], async () => {
    const asked = checked(proposed, request.payload);
    const texts = await textsOf(deps, asked);
    await soundPolicy(texts);
    const row = await deps.db.transaction(async (tx) => {
      const entered = await propose(tx, { texts, note: asked.note, restores: asked.restores, by: caller.id });
      const entity = [`PolicyProposal/${entered.id}`];
      await deps.audit.append(tx, [entryOf(deps, request, caller, 'propose', { decision, entity, detail: asked.note })]);
      return entered;
    });
    return h.response(await withDiff(deps.db, row, texts)).code(201);
  });
}

/** What is proposed: a policy given whole, or an earlier one. */
async function textsOf({ db }: PolicyDeps, asked: z.infer<typeof proposed>): Promise<PolicyTexts> {
  const { restores, rules, examples, superseded } = asked;
  if (restores !== undefined) {
    if (rules !== undefined || examples || superseded) throw invalid('An earlier epoch is brought back whole.', 'restores');
    const earlier = await readEpoch(db, restores);
    if (!earlier) throw invalid(`There is no epoch ${restores}.`, 'restores');
    return earlier.texts;
  }
  if (rules === undefined || !examples)
    throw invalid('A policy has rules and examples.', rules === undefined ? 'rules' : 'examples');
  return { model: readPolicyTexts().model, rules, examples: examplesOf(examples), superseded: supersededOf(superseded ?? {}) };
}

async function proposal(deps: PolicyDeps, request: Request): Promise<Schemas['PolicyProposalWhole']> {
  const { caller, decision } = await authorized(deps, request, 'read', 'either');
  const id = idOf(request);
  return traced(deps, request, caller, 'read', [`PolicyProposal/${id}`], async () => {
    const { row, texts } = await deps.db.transaction((tx) => openProposal(tx, id));
    await deps.audit.commit([entryOf(deps, request, caller, 'read', { decision, entity: [`PolicyProposal/${id}`] })]);
    return withDiff(deps.db, row, texts);
  });
}

async function withDiff(on: Queryable, row: ProposalRow, texts: PolicyTexts): Promise<Schemas['PolicyProposalWhole']> {
  const base: Epoch | undefined = await readEpoch(on, row.base);
  return { ...toProposal(row), ...(base ? diffOf(base.texts, texts) : { added: [], removed: [] }) };
}

async function publish(deps: PolicyDeps, request: Request): Promise<Schemas['PolicyEpoch']> {
  const { caller, decision } = await authorized(deps, request, 'publish', 'keeper');
  const id = idOf(request);
  return traced(deps, request, caller, 'publish', [`PolicyProposal/${id}`], () =>
    deps.db.transaction(async (tx) => {
      const row = await publishProposal(tx, id, caller);
      const entity = [`PolicyEpoch/${row.number}`, `PolicyProposal/${id}`];
      await deps.audit.append(tx, [
        entryOf(deps, request, caller, 'publish', { decision, entity, action: 'C', detail: row.note }),
      ]);
      return toEpoch(row);
    }),
  );
}

async function withdraw(deps: PolicyDeps, request: Request): Promise<Schemas['PolicyProposal']> {
  const { caller, decision } = await authorized(deps, request, 'withdraw', 'keeper');
  const id = idOf(request);
  return traced(deps, request, caller, 'withdraw', [`PolicyProposal/${id}`], () =>
    deps.db.transaction(async (tx) => {
      const row = await withdrawProposal(tx, id, caller);
      await deps.audit.append(tx, [
        entryOf(deps, request, caller, 'withdraw', { decision, entity: [`PolicyProposal/${id}`], action: 'U' }),
      ]);
      return toProposal(row);
    }),
  );
}

async function again(deps: PolicyDeps, request: Request): Promise<Schemas['PolicyReplay']> {
  const { caller, decision } = await authorized(deps, request, 'replay', 'auditor');
  const { auditEvent } = checked(z.strictObject({ auditEvent: z.string().max(64) }), request.payload);
  const at = parseAuditEventId(auditEvent);
  const entity = [`AuditEvent/${auditEvent}`];
  return traced(deps, request, caller, 'replay', entity, async () => {
    const { row, result } = await deps.db.snapshot(async (tx) => {
      const found = at && (await readAuditEvent(tx, everything, at));
      if (!found) throw notFound();
      return { row: found, result: await replay(tx, found) };
    });
    await deps.audit.commit([
      {
        ...entryOf(deps, request, caller, 'replay', { decision, entity, detail: result.same ? 'same' : 'different' }),
        patientId: row.patient_id,
        custodianId: row.custodian_id ?? undefined,
      },
    ]);
    return result;
  });
}

type May = 'keeper' | 'auditor' | 'either';

/** @throws Refusal 403 for all but hub administrators and auditors, as the step asks; the attempt is on record by then. */
async function authorized(
  deps: PolicyDeps,
  request: Request,
  step: string,
  may: May,
): Promise<{ caller: Caller; decision: Decision }> {
  const caller = callerOfRequest(request);
  const decision = await deps.db.snapshot(async (tx) => {
    const access = await deps.access.forCaller(tx, caller);
    const asKeeper = access.decideGeneral('administer', 'AccessPolicy');
    if (may === 'keeper' || (may === 'either' && asKeeper.allowed)) return asKeeper;
    return access.decideGeneral('audit-read', 'AccessPolicy');
  });
  if (decision.allowed) return { caller, decision };
  await deps.audit.commit([entryOf(deps, request, caller, step, { decision, outcome: 4, detail: 'role' })]);
  throw forbidden('The access policy is kept by the hub administrators and read by the auditors.');
}

/** Does the work; what is refused in it is on record before the answer leaves. A policy with faults is answered with each of them. */
async function traced<T>(
  deps: PolicyDeps,
  request: Request,
  caller: Caller,
  step: string,
  entity: string[],
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const refusal = error instanceof PolicyError ? faultsAsRefusal(error) : error;
    if (refusal instanceof Refusal && refusal.status < 500)
      await deps.audit.commit([entryOf(deps, request, caller, step, { entity, outcome: 4, detail: refusal.issues[0]?.code })]);
    throw refusal;
  }
}

const MOST_ISSUES = 100;

const faultsAsRefusal = ({ faults }: PolicyError): Refusal =>
  unprocessable(
    faults.slice(0, MOST_ISSUES).map(({ line, message }) => ({
      severity: 'error',
      code: 'business-rule',
      diagnostics: line ? `line ${line}: ${message}` : message,
      expression: [line ? `rules line ${line}` : 'policy'],
    })),
  );

function entryOf(
  deps: PolicyDeps,
  request: Request,
  caller: Caller,
  subtype: string,
  { decision, outcome = 0, ...more }: Pick<AuditEntry, 'entity' | 'detail'> & Partial<AuditEntry> & { decision?: Decision },
): AuditEntry {
  return {
    ...agentOf(caller, requestContext(request, deps.config)),
    type: 'policy',
    subtype,
    action: subtype === 'read' || subtype === 'replay' ? 'R' : 'E',
    outcome,
    ...(decision ? decidedBy(decision) : {}),
    ...more,
  };
}

/** @throws Refusal 400 that names the element */
function checked<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw invalid(issue?.message ?? 'invalid', issue?.path.join('.') || undefined);
}

function idOf(request: Request): string {
  const id = String(request.params.id);
  if (!/^[A-Za-z0-9-]{1,64}$/.test(id)) throw notFound();
  return id;
}

const toEpoch = (row: EpochRow): Schemas['PolicyEpoch'] => ({
  number: row.number,
  digest: row.digest,
  note: row.note,
  ...(row.restores === null ? {} : { restores: row.restores }),
  proposedBy: row.proposed_by,
  publishedBy: row.published_by,
  published: row.published.toISOString(),
});

const toProposal = (row: ProposalRow): Schemas['PolicyProposal'] => ({
  id: row.id,
  base: row.base,
  digest: row.digest,
  note: row.note,
  ...(row.restores === null ? {} : { restores: row.restores }),
  proposedBy: row.proposed_by,
  proposed: row.proposed.toISOString(),
});
