import { createHash } from 'node:crypto';
import { asCaller, asRemembered, type FoundAs } from '../access/as-caller.js';
import { scopeAllows } from '../access/authentication/scopes.js';
import type { Caller } from '../access/caller.js';
import type { Decision, RequestAccess, RowWithEvidence } from '../access/decision.js';
import { agentOf } from '../access/write-request.js';
import type { AuditEntry } from '../audit/vocabulary.js';
import { invalid, type Issue } from '../outcomes.js';
import type { Queryable } from '../store/database.js';
import { columns, render, toResource } from '../store/resources.js';
import { type SearchKey, searchKeys } from '../store/search-keys.js';
import { and, raw, type Sql, sql } from '../store/sql.js';
import { type BundleEntry, type Link, searchset } from './bundle.js';
import type { Position } from './cursor.js';
import type { FhirDeps, FhirRequest, FhirResponse } from './exchange.js';
import { type SearchQuery, parseSearch } from './search-query.js';
import { conditionsSql, countStatement, pageStatement } from './search-statement.sql.js';
import { type Withheld, withheldOf, withheldStatement } from './withheld.js';

/** Totals are exact up to here; beyond it they are left out. */
const TOTAL_CAP = 10_000;
const MAX_INCLUDED = 1000;

type SearchRow = RowWithEvidence & { sort_value: string };
type FoundRow = SearchRow & { place: number; is_withheld: boolean };

type Counted = Pick<RowWithEvidence, 'patient_id' | 'custodian_id'>;

interface Page {
  rows: SearchRow[];
  decisions: Decision[];
  included: RowWithEvidence[];
  withheld: Withheld[];
  /** Of a count of a few: whose records were counted. */
  counted: Counted[];
  total: number | undefined;
  next: Position | undefined;
}

/**
 * FHIR search (R4 3.1.1) for one type: the caller's policy is inside the statement, so that rows, counts, order and includes are
 * those of what he may read. Each row is checked again by casbin, and the audit is committed before the Bundle is returned.
 */
export async function search(deps: FhirDeps, request: FhirRequest): Promise<FhirResponse> {
  const type = request.path[0] ?? '';
  const query = parseSearch(type, request.query, {
    strict: request.strict,
    maxPage: deps.config.maxPage,
    utcOffset: deps.config.utcOffset,
  });
  const binding = bindingOf(request, query);
  const after = query.cursor === undefined ? undefined : deps.cursors.open(query.cursor, binding);
  const page = await readPage(deps, request.caller, query, after);
  await deps.audit.commit(auditOf(request, query, page));
  return { status: 200, body: bundleOf(deps, query, page, binding) };
}

/** A cursor serves only the same caller, purpose and search. */
function bindingOf(request: FhirRequest, query: SearchQuery): string {
  const asked = query.used.filter(([name]) => name !== '_cursor');
  return createHash('sha256')
    .update(JSON.stringify([request.caller.id, request.caller.role, request.caller.purposeOfUse, query.type, asked]))
    .digest('base64url');
}

/** Includes and totals take statements of their own, in one snapshot with the page; anything else is one statement. */
async function readPage(
  { db, access }: FhirDeps,
  caller: Caller,
  query: SearchQuery,
  after: Position | undefined,
): Promise<Page> {
  const found = (a: RequestAccess): Sql => foundStatement(a, query, after);
  const wantsMore = query.includes.length > 0 || query.total || query.countOnly;
  const page = wantsMore ? undefined : await asRemembered<FoundRow>(db, access, caller, found);
  if (page) return pageOf(page, query);
  return db.snapshot(async (tx) => {
    const first = query.countOnly
      ? { access: await access.forCaller(tx, caller), rows: [] }
      : await asCaller<FoundRow>(tx, access, caller, found);
    const page = pageOf(first, query);
    const total = query.total || query.countOnly ? await totalOf(tx, readable(first.access, query)) : undefined;
    const counted = query.countOnly && total && total <= FEW ? await countedOf(tx, readable(first.access, query)) : [];
    return { ...page, total, counted, included: await includesOf(tx, first.access, caller, query.includes, page.rows) };
  });
}

const readable = (access: RequestAccess, query: SearchQuery): Sql =>
  and([conditionsSql(query, access), access.filter('read', query.type)]);

/** The page, and on the first one what is withheld. */
function foundStatement(access: RequestAccess, query: SearchQuery, after: Position | undefined): Sql {
  const page = pageStatement(query, sql`${columns}, ${access.evidence}`, readable(access, query), after);
  const withheld = after ? undefined : withheldStatement(access, query);
  return withheld
    ? sql`select false as is_withheld, page.* from (${page}) page union all select true, withheld.* from (${withheld}) withheld`
    : sql`select false as is_withheld, page.* from (${page}) page`;
}

function pageOf({ access, rows }: FoundAs<FoundRow>, query: SearchQuery): Page {
  const inPlace = [...rows].sort((a, b) => a.place - b.place);
  const found = inPlace.filter((row) => !row.is_withheld);
  const checked = found.slice(0, query.count).map((row) => ({ row, decision: access.decide('read', row) }));
  const kept = checked.filter(({ decision }) => decision.allowed);
  const last = found.length > query.count ? found[query.count - 1] : undefined;
  return {
    rows: kept.map(({ row }) => row),
    decisions: kept.map(({ decision }) => decision),
    included: [],
    counted: [],
    withheld: withheldOf(
      access,
      inPlace.filter((row) => row.is_withheld),
    ),
    total: undefined,
    next: last ? { value: last.sort_value, id: last.id } : undefined,
  };
}

async function totalOf(tx: Queryable, where: Sql): Promise<number | undefined> {
  const [row] = await tx.query<{ total: number }>(countStatement(where, TOTAL_CAP));
  return row && row.total <= TOTAL_CAP ? row.total : undefined;
}

/** A count up to this says as much of each patient as a list. */
const FEW = 100;

const countedOf = (tx: Queryable, where: Sql): Promise<Counted[]> =>
  tx.query<Counted & Record<string, unknown>>(sql`select distinct r.patient_id, r.custodian_id from resource r where ${where}`);

/** `_include`: what the matches refer to, under the same policy and scope as if it had been asked for alone. */
async function includesOf(
  tx: Queryable,
  access: RequestAccess,
  { scope }: Caller,
  keys: readonly SearchKey[],
  rows: readonly SearchRow[],
): Promise<RowWithEvidence[]> {
  const targets = new Set<string>();
  for (const row of keys.length > 0 ? rows : []) {
    const resource = toResource(row);
    for (const key of keys) for (const target of referencesOf(key, key.values(resource))) targets.add(target);
  }
  const wanted = [...targets].filter((t) => scopeAllows(scope, t.split('/')[0] ?? '', 'r')).slice(0, MAX_INCLUDED);
  if (wanted.length === 0) return [];
  const pairs = wanted.map((t) => t.split('/') as [string, string]);
  const included = await tx.query<RowWithEvidence>(sql`
    select ${columns}, ${access.evidence} from resource r
    join (select * from unnest(${pairs.map((p) => p[0])}::text[], ${pairs.map((p) => p[1])}::text[]) as w (type, id)) wanted on r.type = wanted.type and r.id = wanted.id
    where not r.deleted and ${access.filter('read')}`);
  return included.filter((row) => access.decide('read', row).allowed);
}

function referencesOf(key: SearchKey, value: unknown): string[] {
  const values = Array.isArray(value) ? value.flat() : [value];
  return values
    .map((v) => (v as { reference?: string } | undefined)?.reference ?? '')
    .filter(
      (target) => /^[A-Za-z]+\/[A-Za-z0-9\-.]{1,64}$/.test(target) && (key.targets ?? []).includes(target.split('/')[0] ?? ''),
    );
}

/** One entry for each patient in the result (IHE BALP), one without a patient when there is none. */
function auditOf(request: FhirRequest, query: SearchQuery, page: Page): AuditEntry[] {
  const base = {
    ...agentOf(request.caller, request.context),
    type: 'rest',
    subtype: 'search-type',
    action: 'E',
    outcome: 0,
    query: queryText(request),
  } as const;
  const byPatient = new Map<string, AuditEntry>();
  [...page.rows, ...page.included].forEach((row, i) => {
    const key = `${row.patient_id} ${row.custodian_id}`;
    const entry = byPatient.get(key) ?? {
      ...base,
      patientId: row.patient_id,
      custodianId: row.custodian_id,
      entity: [],
      basis: page.decisions[i]?.basis,
      rule: page.decisions[i]?.rule,
    };
    if (entry.entity && entry.entity.length < 100) entry.entity.push(`${row.type}/${row.id}`);
    byPatient.set(key, entry);
  });
  for (const { patient_id: patientId, custodian_id: custodianId } of page.counted)
    byPatient.set(`${patientId} ${custodianId}`, { ...base, patientId, custodianId, entity: [query.type], detail: 'counted' });
  for (const { row, decision } of page.withheld) {
    const { rule, evidence } = decision;
    const key = `withheld ${row.patient_id} ${row.custodian_id} ${rule} ${JSON.stringify(evidence)}`;
    const entry = byPatient.get(key) ?? {
      ...base,
      outcome: 4,
      patientId: row.patient_id,
      custodianId: row.custodian_id,
      detail: 'withheld',
      ...(rule ? { rule } : {}),
      ...(evidence.length > 0 ? { evidence } : {}),
    };
    byPatient.set(key, { ...entry, entity: [...(entry.entity ?? []), `${row.type}/${row.id}`] });
  }
  return byPatient.size > 0 ? [...byPatient.values()] : [{ ...base, entity: [query.type] }];
}

const queryText = (request: FhirRequest): string =>
  `${request.path[0]}?${request.query.map(([n, v]) => `${n}=${v}`).join('&')}`.slice(0, 4000);

function bundleOf(deps: FhirDeps, query: SearchQuery, page: Page, binding: string): string {
  const base = `${deps.config.publicUrl}/fhir`;
  const entry =
    (mode: 'match' | 'include') =>
    (row: RowWithEvidence): BundleEntry => ({ fullUrl: `${base}/${row.type}/${row.id}`, resource: render(row), mode });
  const outcomes = [...page.withheld.map((w) => w.issue), ...query.ignored.map(ignoredIssue)];
  const entries: BundleEntry[] = [...page.rows.map(entry('match')), ...page.included.map(entry('include'))];
  if (outcomes.length > 0)
    entries.push({ resource: JSON.stringify({ resourceType: 'OperationOutcome', issue: outcomes }), mode: 'outcome' });
  const url = (extra: readonly (readonly [string, string])[]): string => {
    const text = new URLSearchParams(
      [...query.used.filter(([n]) => n !== '_cursor'), ...extra].map(([n, v]): [string, string] => [n, v]),
    ).toString();
    return `${base}/${query.type}${text ? `?${text}` : ''}`;
  };
  const links: Link[] = [{ relation: 'self', url: url(query.cursor ? [['_cursor', query.cursor]] : []) }];
  if (page.next) links.push({ relation: 'next', url: url([['_cursor', deps.cursors.sign(page.next, binding)]]) });
  return searchset(links, entries, page.total);
}

function ignoredIssue(name: string): Issue {
  return {
    severity: 'warning',
    code: 'not-supported',
    diagnostics: `The parameter '${name}' is not known and was ignored.`,
    expression: [name],
  };
}

/** Rows of one type that match criteria, for conditional writes: own ones of the caller that he may read, two at most. */
export async function matchOwn(
  tx: Queryable,
  access: RequestAccess,
  type: string,
  criteria: string,
  custodianId: string,
  utcOffset: string,
): Promise<RowWithEvidence[]> {
  const parameters = [...new URLSearchParams(criteria)];
  if (parameters.length === 0 || !parameters.every(([name]) => name === 'identifier')) {
    throw invalid('Conditional writes are offered by identifier.', 'identifier');
  }
  const query = parseSearch(type, parameters, { strict: true, maxPage: 2, utcOffset });
  const where = and([
    conditionsSql(query, access),
    custodianId ? sql`r.custodian_id = ${custodianId}` : raw('true'),
    access.filter('read', type),
  ]);
  return tx.query<RowWithEvidence>(
    sql`select ${columns}, ${access.evidence} from resource r where ${where} order by r.id limit 2`,
  );
}

export const isSearchable = (type: string): boolean => Object.hasOwn(searchKeys, type);
