import type { Request, Server } from '@hapi/hapi';
import { z } from 'zod';
import { callerOfRequest } from '../access/authentication/bearer-scheme.js';
import { requestContext } from '../access/authentication/request-context.js';
import type { Caller } from '../access/caller.js';
import type { Access } from '../access/access.js';
import type { Decision } from '../access/decision.js';
import { agentOf, decidedBy } from '../access/write-request.js';
import type { Audit, AuditEntry } from '../audit/vocabulary.js';
import type { Config } from '../config.js';
import { decideLink, STEPS, type Step } from '../identity/decide-link.js';
import type { HumanName } from '../identity/person-name.js';
import { LINK_STATES, type LinkRow, listLinks, matchedOf, sidesOf } from '../identity/list-links.js';
import { notFound, Refusal } from '../outcomes.js';
import { createGrantReevaluation } from '../referral/overdue.js';
import type { Database, Queryable } from '../store/database.js';
import { asked, ID, pageSize } from './asked.js';
import type { components } from './openapi.generated.js';
import { permitted } from './permitted.js';

type Link = components['schemas']['Link'];
type LinkPage = components['schemas']['LinkPage'];

export interface IdentityLinkDeps {
  db: Database;
  access: Access;
  audit: Audit;
  config: Pick<Config, 'trustedProxy' | 'maxPage'>;
}

/**
 * `/identity/links`: the work list of a hospital's identity steward. Of the other hospital's Patient he sees whose it is and what matched, not
 * the record. Everything shown and decided is audited for both patients.
 */
export function registerIdentityLinks(server: Server, deps: IdentityLinkDeps): void {
  server.route([
    { method: 'GET', path: '/identity/links', handler: (request) => list(deps, request) },
    { method: 'POST', path: '/identity/links/{id}/{step}', handler: (request) => decide(deps, request) },
  ]);
}

async function list(deps: IdentityLinkDeps, request: Request): Promise<LinkPage> {
  const caller = callerOfRequest(request);
  const { state, _count: count, _cursor: after } = asked(query(deps.config.maxPage), request.query);
  const { decision, rows } = await deps.db.snapshot(async (tx) => ({
    decision: await authorize(deps, tx, request, caller),
    rows: await listLinks(tx, { organizationId: caller.organizationId, state, after, count: count + 1 }),
  }));
  const shown = rows.slice(0, count);
  await deps.audit.commit(
    shown.length > 0
      ? shown.flatMap((row) => entriesOf(deps, request, row, 'list', decision))
      : [entryOf(deps, request, 'list', decision)],
  );
  const last = rows.length > count ? shown.at(-1) : undefined;
  return { items: shown.map((row) => toLink(row, caller.organizationId)), ...(last ? { next: last.id } : {}) };
}

async function decide(deps: IdentityLinkDeps, request: Request): Promise<Link> {
  const caller = callerOfRequest(request);
  const { id, step } = request.params as { id: string; step: string };
  if (!Object.hasOwn(STEPS, step) || !ID.safeParse(id).success) throw notFound();
  const by = { id, step: step as Step, organizationId: caller.organizationId, by: caller.id };
  try {
    return await deps.db.transaction(async (tx) => {
      const decision = await authorize(deps, tx, request, caller);
      const row = await decideLink(tx, by, createGrantReevaluation(deps.audit));
      await deps.audit.append(tx, entriesOf(deps, request, row, row.state === 'linked' ? 'link' : step, decision));
      return toLink(row, caller.organizationId);
    });
  } catch (error) {
    if (error instanceof Refusal && error.status !== 403)
      await deps.audit.commit([{ ...entryOf(deps, request, step), outcome: 4, detail: error.issues[0]?.code }]);
    throw error;
  }
}

/** @throws Refusal 403 for all but identity stewards; the attempt is on record by then. */
const authorize = (deps: IdentityLinkDeps, tx: Queryable, request: Request, caller: Caller): Promise<Decision> =>
  permitted(deps, tx, caller, {
    decide: (access) => access.decideGeneral('link'),
    isFor: caller.organizationId !== '',
    entry: (decision) => entryOf(deps, request, 'link', decision),
    refusal: 'Links are for the identity stewards of hospitals.',
  });

const query = (maxPage: number) =>
  z.strictObject({
    state: z.enum(LINK_STATES).optional(),
    _count: pageSize(maxPage),
    _cursor: ID.optional(),
  });

function toLink(row: LinkRow, organizationId: string): Link {
  const { own, other, content } = sidesOf(row, organizationId);
  const names = ((content.name ?? []) as HumanName[]).map(
    (n) => n.text ?? [n.family, ...(n.given ?? [])].filter(Boolean).join(' '),
  );
  const identifiers = ((content.identifier ?? []) as { system?: string; value?: string }[]).map(({ system, value }) => ({
    system,
    value,
  }));
  return {
    id: row.id,
    state: row.state,
    basis: row.basis,
    matched: matchedOf(row),
    own: { ...own, name: names, gender: content.gender, birthDate: content.birthDate, identifier: identifiers },
    other,
    acceptedBy: row.accepted_by,
    samePerson: row.same_person,
    proposedAt: row.proposed_at.toISOString(),
    ...(row.decided_by ? { decidedBy: row.decided_by } : {}),
    ...(row.decided_at ? { decidedAt: row.decided_at.toISOString() } : {}),
  };
}

/** One entry for each of the two patients, who find in it nothing of each other: they may be different persons. */
function entriesOf(deps: IdentityLinkDeps, request: Request, row: LinkRow, subtype: string, decision: Decision): AuditEntry[] {
  const sides = [
    { patientId: row.patient_a, custodianId: row.custodian_a },
    { patientId: row.patient_b, custodianId: row.custodian_b },
  ];
  return sides.map((side) => ({
    ...entryOf(deps, request, subtype, decision),
    ...side,
    entity: [`Patient/${side.patientId}`, `Link/${row.id}`],
    detail: row.state,
  }));
}

function entryOf(deps: IdentityLinkDeps, request: Request, subtype: string, decision?: Decision): AuditEntry {
  return {
    ...agentOf(callerOfRequest(request), requestContext(request, deps.config)),
    type: 'identity',
    subtype,
    action: subtype === 'list' ? 'R' : 'U',
    outcome: 0,
    query: `${request.method} ${request.path}`,
    ...(decision ? decidedBy(decision) : {}),
  };
}
