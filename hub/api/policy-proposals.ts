import type { Request, ResponseToolkit, Server } from '@hapi/hapi';
import { z } from 'zod';
import { examplesOf, type PolicyTexts, readPolicyTexts, supersededOf } from '../../policies/policy-texts.js';
import { type Epoch, readEpoch } from '../access/epochs/epochs.sql.js';
import { diffOf } from '../access/epochs/policy-diff.js';
import { openProposal, type ProposalRow, propose, publishProposal, withdrawProposal } from '../access/epochs/proposals.js';
import { soundPolicy } from '../access/epochs/sound-policy.js';
import { forbidden, invalid } from '../outcomes.js';
import type { Queryable } from '../store/database.js';
import { asked, idOf, text } from './asked.js';
import type { components } from './openapi.generated.js';
import { authorized, entryOf, type PolicyDeps, toEpoch, toProposal, traced } from './policy-exchange.js';

type Schemas = components['schemas'];

/** `/access/policy/proposals`: one person proposes, another publishes. */
export function registerPolicyProposals(server: Server, deps: PolicyDeps): void {
  server.route([
    { method: 'POST', path: '/access/policy/proposals', handler: (request, h) => enter(deps, request, h) },
    { method: 'GET', path: '/access/policy/proposals/{id}', handler: (request) => proposal(deps, request) },
    { method: 'POST', path: '/access/policy/proposals/{id}/publish', handler: (request) => publish(deps, request) },
    { method: 'POST', path: '/access/policy/proposals/{id}/withdraw', handler: (request) => withdraw(deps, request) },
  ]);
}

const proposed = z.strictObject({
  note: text(5, 500),
  restores: z.int().min(1).max(2_147_483_647).optional(),
  rules: z.string().optional(),
  examples: z.record(z.string(), z.unknown()).optional(),
  superseded: z.record(z.string(), z.unknown()).optional(),
});

/** In JSON, where they are escaped: what PostgreSQL does not store. */
const UNSTORABLE = /\\u0000|\\ud[89a-f]/i;

async function enter(deps: PolicyDeps, request: Request, h: ResponseToolkit) {
  const { caller, decision } = await authorized(deps, request, 'propose', 'keeper');
  return traced(deps, request, caller, 'propose', [], async () => {
    // a system and the person who keeps its key are one, so a system's proposal would be published by who made it
    if (caller.kind !== 'person') throw forbidden('A policy is proposed by a person.');
    const given = asked(proposed, request.payload);
    const texts = await textsOf(deps, given);
    await soundPolicy(texts);
    const row = await deps.db.transaction(async (tx) => {
      const entered = await propose(tx, { texts, note: given.note, restores: given.restores, by: caller.id });
      const entity = [`PolicyProposal/${entered.id}`];
      await deps.audit.append(tx, [entryOf(deps, request, caller, 'propose', { decision, entity, detail: given.note })]);
      return entered;
    });
    return h.response(await withDiff(deps.db, row, texts)).code(201);
  });
}

/** What is proposed: a policy given whole, or an earlier one. */
async function textsOf({ db }: PolicyDeps, given: z.infer<typeof proposed>): Promise<PolicyTexts> {
  const { restores, rules, examples, superseded } = given;
  if (restores !== undefined) {
    if (rules !== undefined || examples || superseded) throw invalid('An earlier epoch is brought back whole.', 'restores');
    const earlier = await readEpoch(db, restores);
    if (!earlier) throw invalid(`There is no epoch ${restores}.`, 'restores');
    return earlier.texts;
  }
  if (rules === undefined || !examples)
    throw invalid('A policy has rules and examples.', rules === undefined ? 'rules' : 'examples');
  for (const [element, content] of Object.entries({ rules, examples, superseded }))
    if (UNSTORABLE.test(JSON.stringify(content ?? {})))
      throw invalid('NUL and halves of surrogate pairs are not taken.', element);
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
