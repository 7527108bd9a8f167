import { Readable } from 'node:stream';
import type { Request, ResponseToolkit, Server } from '@hapi/hapi';
import { z } from 'zod';
import { callerOfRequest } from '../access/authentication/bearer-scheme.js';
import { requestContext } from '../access/authentication/request-context.js';
import { scopeAllows } from '../access/authentication/scopes.js';
import type { Access } from '../access/access.js';
import type { Decision } from '../access/decision.js';
import { agentOf, decidedBy } from '../access/write-request.js';
import { isAuditor } from '../access/caller.js';
import { exportAudit, publicKeys } from '../audit/proof/export.js';
import { headsBefore, leavesOfTime, type StoredHead } from '../audit/proof/export.sql.js';
import { latestHead, proveConsistency, proveInclusion } from '../audit/proof/proofs.js';
import type { Sealer } from '../audit/proof/sealer.js';
import { parseAuditEventId } from '../audit/rows.js';
import type { Audit, AuditEntry } from '../audit/vocabulary.js';
import type { Config } from '../config.js';
import { invalid, notFound, tooMany } from '../outcomes.js';
import type { Database } from '../store/database.js';
import { asked, pageSize } from './asked.js';
import type { components } from './openapi.generated.js';
import { permitted } from './permitted.js';

type Schemas = components['schemas'];

export interface AuditProofDeps {
  db: Database;
  access: Access;
  audit: Audit;
  config: Pick<Config, 'trustedProxy' | 'maxPage'>;
  sealer: Pick<Sealer, 'seal'>;
}

/** Exports that run at once: each reads the whole audit. */
const MOST_EXPORTS = 2;

/** `/audit`: signed heads, proofs and export, for auditors. That they read it is on record before anything is shown; refusals too. The keys are public. */
export function registerAuditProof(server: Server, deps: AuditProofDeps): void {
  const exports = { running: 0 };
  server.route([
    { method: 'GET', path: '/audit/keys', options: { auth: false }, handler: (_, h) => keys(deps, h) },
    { method: 'GET', path: '/audit/tree-heads', handler: (request) => heads(deps, request) },
    { method: 'GET', path: '/audit/tree-heads/latest', handler: (request) => latest(deps, request) },
    { method: 'GET', path: '/audit/proof/inclusion', handler: (request) => inclusion(deps, request) },
    { method: 'GET', path: '/audit/proof/consistency', handler: (request) => consistency(deps, request) },
    { method: 'GET', path: '/audit/export', handler: (request, h) => stream(deps, exports, request, h) },
  ]);
}

async function keys({ db }: AuditProofDeps, h: ResponseToolkit) {
  const body = { keys: await publicKeys(db) } as Schemas['JwkSet'];
  return h.response(body).type('application/jwk-set+json').header('cache-control', 'public, max-age=300');
}

async function heads(deps: AuditProofDeps, request: Request): Promise<Schemas['TreeHeadPage']> {
  const entry = await authorize(deps, request, 'audit-tree-heads');
  const { _count: count, _cursor: before } = asked(
    z.strictObject({
      _count: pageSize(deps.config.maxPage),
      _cursor: leaf.default(Number.MAX_SAFE_INTEGER),
    }),
    request.query,
  );
  const found = await deps.db.query<StoredHead>(headsBefore(before, count + 1));
  await deps.audit.commit([entry]);
  const items = found.slice(0, count).map(toHead);
  return { items, ...(found.length > count ? { next: String(items.at(-1)?.treeSize) } : {}) };
}

async function latest(deps: AuditProofDeps, request: Request): Promise<Schemas['TreeHead']> {
  const entry = await authorize(deps, request, 'audit-tree-heads');
  const head = await latestHead(deps.db);
  await deps.audit.commit([entry]);
  if (!head) throw notFound();
  return toHead(head);
}

async function inclusion(deps: AuditProofDeps, request: Request): Promise<Schemas['InclusionProof']> {
  const entry = await authorize(deps, request, 'audit-inclusion');
  const { event } = asked(z.strictObject({ event: z.string().max(32) }), request.query);
  const at = parseAuditEventId(event);
  const proof = at && ((await proveInclusion(deps.db, at)) ?? (await deps.sealer.seal().then(() => proveInclusion(deps.db, at))));
  const { patient_id, custodian_id } = (proof?.row ?? {}) as { patient_id?: string; custodian_id?: string };
  const about = { entity: [`AuditEvent/${event}`], patientId: patient_id, custodianId: custodian_id ?? undefined };
  await deps.audit.commit([{ ...entry, ...about, ...(proof ? {} : { outcome: 4, detail: 'not-found' }) }]);
  if (!proof) throw notFound();
  const { head, ...rest } = proof;
  return { event, ...rest, head: toHead(head) };
}

async function consistency(deps: AuditProofDeps, request: Request): Promise<Schemas['ConsistencyProof']> {
  const entry = await authorize(deps, request, 'audit-consistency');
  const sizes = asked(z.strictObject({ from: leaf, to: leaf.optional() }), request.query);
  const newest = (await latestHead(deps.db))?.size ?? 0;
  await deps.audit.commit([entry]);
  const { from, to = newest } = sizes;
  if (to > newest) throw invalid(`The tree has ${newest} leaves.`, 'to');
  if (from < 1 || from > to) throw invalid(`from is at least 1 and at most ${to}.`, 'from');
  return { from, to, path: await proveConsistency(deps.db, from, to) };
}

/** The request itself is sealed before, so that the export shows it. */
async function stream(deps: AuditProofDeps, exports: { running: number }, request: Request, h: ResponseToolkit) {
  const entry = await authorize(deps, request, 'audit-export');
  const wanted = asked(z.strictObject({ from: leafOrDate, to: leafOrDate, witnessed: leaf.optional() }), request.query);
  const range = await leavesWanted(deps.db, wanted);
  if (exports.running >= MOST_EXPORTS) throw tooMany('Too many exports of the audit are running.');
  exports.running++;
  const ended = once(() => exports.running--);
  try {
    await deps.audit.commit([{ ...entry, type: 'export' }]);
    await deps.sealer.seal();
    const witnessed = wanted.witnessed === undefined ? [] : [wanted.witnessed];
    const chunks = await exportAudit(deps.db, { ...range, witnessed }).catch((error) => {
      throw error instanceof RangeError ? invalid(`The range is not in the tree: ${error.message}.`, 'to') : error;
    });
    if (!chunks) throw notFound();
    const body = Readable.from(chunks, { objectMode: false }).once('close', ended);
    request.raw.res.once('close', () => body.destroy());
    return h
      .response(body)
      .type('application/x-ndjson')
      .header('content-disposition', 'attachment; filename="audit.ndjson"')
      .header('cache-control', 'no-store');
  } catch (error) {
    ended();
    throw error;
  }
}

function once(work: () => void): () => void {
  let done = false;
  return () => {
    if (!done) work();
    done = true;
  };
}

/** @throws Refusal 403 for all but auditors; the attempt is on record by then. @returns the entry that goes on record before the answer leaves */
async function authorize(deps: AuditProofDeps, request: Request, subtype: string): Promise<AuditEntry> {
  const caller = callerOfRequest(request);
  const entry = (decision: Decision): AuditEntry => ({
    ...agentOf(caller, requestContext(request, deps.config)),
    type: 'rest',
    subtype,
    action: 'R',
    outcome: 0,
    query: request.path + request.url.search,
    ...decidedBy(decision),
  });
  const decision = await deps.db.snapshot((tx) =>
    permitted(deps, tx, caller, {
      decide: (access) => access.decideGeneral('audit-read', 'AuditEvent'),
      isFor: isAuditor(caller) && scopeAllows(caller.scope, 'AuditEvent', 'r'),
      entry,
      detail: ({ allowed }) => (allowed && isAuditor(caller) ? 'scope' : 'role'),
      refusal: 'The proof of the audit is for auditors.',
    }),
  );
  return entry(decision);
}

const leaf = z
  .string()
  .regex(/^\d{1,15}$/, 'is a number of leaves')
  .transform(Number);
const leafOrDate = z
  .string()
  .regex(/^(\d{1,15}|\d{4}-(0[1-9]|1[0-2])(-\d\d)?)$/, 'is a number of leaves, a month or a day')
  .optional();

/** Leaves as they are; of dates the fewest leaves in a row that hold all that was recorded then. */
async function leavesWanted(
  db: Database,
  { from, to }: { from?: string | undefined; to?: string | undefined },
): Promise<{ from?: number; to?: number }> {
  const dates = [from, to].filter((text) => text?.includes('-'));
  if (dates.length === 0)
    return { ...(from === undefined ? {} : { from: Number(from) }), ...(to === undefined ? {} : { to: Number(to) }) };
  if (dates.length === 1 && from !== undefined && to !== undefined) throw invalid('Both are leaves, or both are dates.', 'to');
  const [found] = await db.query<{ from: number | null; to: number | null }>(
    leavesOfTime(startOf('from', from) ?? '-infinity', startOf('to', to) ?? 'infinity'),
  );
  return { from: found?.from ?? 0, to: found?.to ?? 0 };
}

function startOf(name: string, text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const day = text.length === 7 ? `${text}-01` : text;
  const time = new Date(`${day}T00:00:00Z`);
  if (Number.isNaN(time.getTime()) || !time.toISOString().startsWith(day)) throw invalid('There is no such day.', name);
  return time.toISOString();
}

const toHead = ({ size, root, jws }: StoredHead): Schemas['TreeHead'] => ({
  treeSize: size,
  rootHash: root.toString('hex'),
  jws,
});
