import type { Request, Server } from '@hapi/hapi';
import { z } from 'zod';
import type { Example } from '../../policies/policy-texts.js';
import { listEpochs, readEpoch } from '../access/epochs/epochs.sql.js';
import { listProposals } from '../access/epochs/proposals.js';
import { replay } from '../access/epochs/replay.js';
import { everything } from '../audit/audit-filter.js';
import { parseAuditEventId } from '../audit/rows.js';
import { readAuditEvent } from '../audit/search.js';
import { notFound } from '../outcomes.js';
import { asked, pageSize } from './asked.js';
import type { components } from './openapi.generated.js';
import { authorized, entryOf, type PolicyDeps, toEpoch, toProposal, traced } from './policy-exchange.js';
import { registerPolicyProposals } from './policy-proposals.js';

type Schemas = components['schemas'];

/**
 * `/access/policy`: the access policy as its administrators change it and its auditors follow it. One person proposes, another publishes;
 * every look, try and change is audited.
 */
export function registerPolicy(server: Server, deps: PolicyDeps): void {
  server.route([
    { method: 'GET', path: '/access/policy', handler: (request) => history(deps, request) },
    { method: 'GET', path: '/access/policy/epochs/{number}', handler: (request) => epoch(deps, request) },
    { method: 'POST', path: '/access/policy/replay', handler: (request) => again(deps, request) },
  ]);
  registerPolicyProposals(server, deps);
}

async function history(deps: PolicyDeps, request: Request): Promise<Schemas['PolicyHistory']> {
  const { caller, decision } = await authorized(deps, request, 'read', 'either');
  const page = z.strictObject({
    _count: pageSize(deps.config.maxPage),
    _cursor: z.coerce.number().int().min(1).max(2_147_483_647).optional(),
  });
  const { _count: count, _cursor: before } = asked(page, request.query);
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

async function again(deps: PolicyDeps, request: Request): Promise<Schemas['PolicyReplay']> {
  const { caller, decision } = await authorized(deps, request, 'replay', 'auditor');
  const { auditEvent } = asked(z.strictObject({ auditEvent: z.string().max(64) }), request.payload);
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
