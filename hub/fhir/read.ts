import type { RequestAccess, RowWithEvidence } from '../access/decision.js';
import { asCaller, asRemembered } from '../access/as-caller.js';
import { outcomeOf, type SeenRecord as Seen } from '../access/seen-record.js';
import { agentOf } from '../access/write-request.js';
import { shown, visible } from '../access/shown.js';
import type { AuditEntry } from '../audit/vocabulary.js';
import { gone, invalid, notFound, type Refusal } from '../outcomes.js';
import type { Queryable } from '../store/database.js';
import { columns, type ResourceRow, render } from '../store/resources.js';
import { type Sql, sql } from '../store/sql.js';
import { type HistoryEntry, historyBundle } from './bundle.js';
import { denied } from '../access/denial.js';
import type { FhirDeps, FhirRequest, FhirResponse } from './exchange.js';
import { typeLiteral } from './types.js';

/** FHIR read (R4 3.1.0.1). Refused reads are audited like granted ones, before the answer leaves. */
export async function read(deps: FhirDeps, request: FhirRequest): Promise<FhirResponse> {
  const [type = '', id = ''] = request.path;
  const current = (access: RequestAccess): Sql => currentStatement(access, type, id);
  const { access, rows } =
    (await asRemembered<RowWithEvidence>(deps.db, deps.access, request.caller, current)) ??
    (await deps.db.snapshot((tx) => asCaller<RowWithEvidence>(tx, deps.access, request.caller, current)));
  const seen = decided(access, rows)[0];
  await audited(deps, request, 'read', seen);
  const { row } = readable(seen);
  if (row.deleted) throw gone();
  return versionResponse(row, request.ifNoneMatch);
}

/** FHIR vread (R4 3.1.0.2): a version is read under the policy of today, for itself and for the current version. */
export async function vread(deps: FhirDeps, request: FhirRequest): Promise<FhirResponse> {
  const [type = '', id = '', , version = ''] = request.path;
  if (!/^\d{1,9}$/.test(version)) throw notFound();
  const seen = await deps.db.snapshot(async (tx) => {
    const access = await deps.access.forCaller(tx, request.caller);
    const current = await decideCurrent(tx, access, type, id);
    if (!current?.decision.allowed || current.row.version === Number(version)) return current;
    return decided(access, await versions(tx, access, type, id, sql`r.version = ${Number(version)}`))[0];
  });
  await audited(deps, request, 'vread', seen);
  const { row } = readable(seen);
  if (row.version !== Number(version)) throw notFound();
  if (row.deleted) throw gone();
  return versionResponse(row, undefined);
}

const HISTORY_PAGE = 100;
/** Before every version that there can be. */
const NEWEST = 2_147_483_647;

/**
 * FHIR history of one resource (R4 3.1.0.6): versions from the newest, those that the caller may read: a page is filled past those that he
 * may not. `_count` and `_before` page.
 */
export async function history(deps: FhirDeps, request: FhirRequest): Promise<FhirResponse> {
  const [type = '', id = ''] = request.path;
  const { count, before } = historyPaging(request);
  const { current, older } = await deps.db.snapshot(async (tx) => {
    const access = await deps.access.forCaller(tx, request.caller);
    const seen = await decideCurrent(tx, access, type, id);
    const which = sql`r.version < ${before} and ${visible(access, type)}`;
    const rows = seen?.decision.allowed ? await versions(tx, access, type, id, which, count + 1) : [];
    return { current: seen, older: decided(access, rows).filter(({ decision }) => decision.allowed) };
  });
  await audited(deps, request, 'history-instance', current);
  const first = readable(current);
  const rows = [...(first.row.version < before ? [first.row] : []), ...older.map(({ row }) => row)];
  const base = `${deps.config.publicUrl}/fhir/${type}/${id}`;
  const shown = rows.slice(0, count);
  const last = rows.length > count ? shown.at(-1) : undefined;
  const next = last ? `${base}/_history?_count=${count}&_before=${last.version}` : undefined;
  return {
    status: 200,
    body: historyBundle(
      `${base}/_history`,
      shown.map((row) => historyEntry(base, row)),
      { next, isWhole: before === NEWEST && !next },
    ),
  };
}

function historyPaging(request: FhirRequest): { count: number; before: number } {
  const query = new Map(request.query);
  const whole = (name: string, fallback: number): number => {
    const value = query.get(name);
    if (value === undefined) return fallback;
    if (!/^\d{1,9}$/.test(value)) throw invalid(`${name} must be a whole number.`, name);
    return Number(value);
  };
  return { count: Math.max(1, Math.min(whole('_count', HISTORY_PAGE), HISTORY_PAGE)), before: whole('_before', NEWEST) };
}

async function decideCurrent(tx: Queryable, access: RequestAccess, type: string, id: string): Promise<Seen> {
  return decided(access, await tx.query<RowWithEvidence>(currentStatement(access, type, id)))[0];
}

/** The type is one of the hub's own and stands in the text, so that the plan is for its partition alone. */
const currentStatement = (access: RequestAccess, type: string, id: string): Sql =>
  sql`select ${columns}, ${access.evidence} from resource r where r.type = ${typeLiteral(type)} and r.id = ${id}`;

function decided(access: RequestAccess, rows: readonly RowWithEvidence[]): NonNullable<Seen>[] {
  return rows.map((row) => shown(access, row) ?? { row, decision: access.decide('read', row) });
}

async function versions(
  tx: Queryable,
  access: RequestAccess,
  type: string,
  id: string,
  which: ReturnType<typeof sql>,
  limit = 1,
): Promise<RowWithEvidence[]> {
  return tx.query<RowWithEvidence>(sql`
    select ${columns}, ${access.evidence} from resource_history r
    where r.type = ${typeLiteral(type)} and r.id = ${id} and ${which} order by r.version desc limit ${limit}`);
}

/** @throws Refusal 404 or 403 when it is not there for this caller. */
function readable(seen: Seen): NonNullable<Seen> {
  if (!seen) throw notFound();
  if (!seen.decision.allowed) throw denied(seen.row, seen.decision) satisfies Refusal;
  return seen;
}

async function audited(deps: FhirDeps, request: FhirRequest, subtype: string, seen: Seen): Promise<void> {
  await deps.audit.commit([readEntry(request, subtype, seen)]);
}

function readEntry(request: FhirRequest, subtype: string, seen: Seen): AuditEntry {
  return {
    ...agentOf(request.caller, request.context),
    type: 'rest',
    subtype,
    action: 'R',
    entity: [request.path.slice(0, 2).join('/')],
    ...outcomeOf(seen),
  };
}

export function versionResponse(row: ResourceRow, ifNoneMatch: string | undefined, status = 200): FhirResponse {
  const etag = `W/"${row.version}"`;
  const headers = { etag, 'last-modified': row.last_updated.toUTCString() };
  return ifNoneMatch === etag ? { status: 304, headers } : { status, headers, body: render(row) };
}

function historyEntry(base: string, row: ResourceRow): HistoryEntry {
  return {
    fullUrl: base,
    resource: row.deleted ? undefined : render(row),
    method: row.deleted ? 'DELETE' : row.version === 1 ? 'POST' : 'PUT',
    url: row.version === 1 ? row.type : `${row.type}/${row.id}`,
    version: row.version,
    lastModified: row.last_updated.toISOString(),
  };
}
