import { createHash } from 'node:crypto';
import { asCaller, asRemembered, type FoundAs } from '../access/as-caller.js';
import type { Caller } from '../access/caller.js';
import type { RequestAccess, RowWithEvidence } from '../access/decision.js';
import { invalid, type Issue, tooCostly } from '../outcomes.js';
import type { Queryable } from '../store/database.js';
import { columns, render } from '../store/resources.js';
import { searchKeys } from '../store/search-keys.js';
import { and, or, raw, type Sql, sql } from '../store/sql.js';
import { refusalsAudited } from './audit-refusal.js';
import { type BundleEntry, type Link, searchset } from './bundle.js';
import type { Position } from './cursor.js';
import type { FhirDeps, FhirRequest, FhirResponse } from './exchange.js';
import { includedWith, type Judged, judged } from './includes.js';
import { assertRecordable, type Counted, searchEntries } from './search-audit.js';
import { typesOn } from './search-conditions.js';
import { conditionsSql, searched, selectionSql } from './search-conditions.sql.js';
import { type Ignored, type SearchQuery, parseSearch } from './search-query.js';
import { inPart } from './part-conditions.sql.js';
import { countStatement, pageStatement, tableOf } from './search-statement.sql.js';
import { assertScope } from './submission.js';
import { subset, type View } from './subset.js';
import { type Withheld, withheldOf, withheldStatement } from './withheld.js';

/** Totals are exact up to here; beyond it they are left out. */
const TOTAL_CAP = 10_000;

type SearchRow = RowWithEvidence & { sort_value: string };
type FoundRow = SearchRow & { place: number; is_withheld: boolean };

interface Page {
  matches: Judged[];
  included: Judged[];
  /** There would be more to include. */
  isCut: boolean;
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
  assertRecordable(request);
  const query = parseSearch(type, request.query, {
    strict: request.strict,
    maxPage: deps.config.maxPage,
    utcOffset: deps.config.utcOffset,
  });
  await refusalsAudited(deps, request, async () => assertReach(request.caller, query));
  const binding = bindingOf(request, query);
  const after = query.cursor === undefined ? undefined : deps.cursors.open(query.cursor, binding);
  const page = await withinLimits(query, () => readPage(deps, request.caller, query, after));
  await deps.audit.commit(searchEntries(request, { type, ...page }));
  return { status: 200, body: bundleOf(deps, query, page, binding) };
}

/** @throws Refusal 403 when the search looks at records of a type that the token's scope does not cover. */
function assertReach(caller: Caller, query: SearchQuery): void {
  for (const type of query.conditions.flatMap(typesOn)) assertScope(caller, type, 's');
}

/** PostgreSQL's query_canceled, by the time limit of a statement. */
const CANCELLED = '57014';

/** What follows references or has no index may be too much for the time limit: that is the search's fault, not an outage. @throws Refusal 400 */
async function withinLimits<T>({ conditions, includes }: SearchQuery, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const isHeavy = includes.length > 0 || conditions.some((c) => HEAVY.has(c.kind));
    if (isHeavy && (error as { code?: string }).code === CANCELLED) throw tooCostly();
    throw error;
  }
}

const HEAVY: ReadonlySet<string> = new Set(['chain', 'has', 'any', 'not', 'missing']);

/** A cursor serves only the same caller, purpose and search. */
function bindingOf(request: FhirRequest, query: SearchQuery): string {
  const asked = query.used.filter(([name]) => name !== '_cursor');
  const { id, role, purposeOfUse, exceptionalAccess } = request.caller;
  return createHash('sha256')
    .update(JSON.stringify([id, role, purposeOfUse, exceptionalAccess, query.type, asked]))
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
    const total = query.total || query.countOnly ? await totalOf(tx, first.access, query) : undefined;
    const counted = query.countOnly && total && total <= FEW ? await countedOf(tx, readable(first.access, query)) : [];
    const matches = page.matches.map(({ row }) => row);
    return { ...page, total, counted, ...(await includedWith(tx, first.access, caller, query.includes, matches)) };
  });
}

/** What is read as a whole by all of its content, and what is shown in part by that part alone. */
const readable = (access: RequestAccess, query: SearchQuery): Sql =>
  or([and([conditionsSql(query, access), access.filter('read', query.type)]), ...inPart(access, query)]);

/** The page, and on the first one what is withheld. */
function foundStatement(access: RequestAccess, query: SearchQuery, after: Position | undefined): Sql {
  const { records, left } = searched(query, access);
  const page = pageStatement(query, sql`${columns}, ${access.evidence}`, records, readable(access, left), after);
  const withheld = after ? undefined : withheldStatement(access, query);
  return withheld
    ? sql`select false as is_withheld, page.* from (${page}) page union all select true, withheld.* from (${withheld}) withheld`
    : sql`select false as is_withheld, page.* from (${page}) page`;
}

function pageOf({ access, rows }: FoundAs<FoundRow>, query: SearchQuery): Page {
  const inPlace = [...rows].sort((a, b) => a.place - b.place);
  const found = inPlace.filter((row) => !row.is_withheld);
  const last = found.length > query.count ? found[query.count - 1] : undefined;
  return {
    matches: judged(access, found.slice(0, query.count)),
    included: [],
    isCut: false,
    counted: [],
    withheld: withheldOf(
      access,
      inPlace.filter((row) => row.is_withheld),
    ),
    total: undefined,
    next: last ? { value: last.sort_value, id: last.id } : undefined,
  };
}

async function totalOf(tx: Queryable, access: RequestAccess, query: SearchQuery): Promise<number | undefined> {
  const { records, left } = searched(query, access, tableOf(query.type));
  const selection = selectionSql(left, access);
  const ways = access.ways('read', query.type).map((way) => and([selection, way]));
  const statement = countStatement(records, [...ways, ...inPart(access, left)], TOTAL_CAP);
  const [row] = await tx.query<{ total: number }>(statement);
  return row && row.total <= TOTAL_CAP ? row.total : undefined;
}

/** A count up to this says as much of each patient as a list. */
const FEW = 100;

const countedOf = (tx: Queryable, where: Sql): Promise<Counted[]> =>
  tx.query<Counted & Record<string, unknown>>(sql`select distinct r.patient_id, r.custodian_id from resource r where ${where}`);

function bundleOf(deps: FhirDeps, query: SearchQuery, page: Page, binding: string): string {
  const base = `${deps.config.publicUrl}/fhir`;
  const entry =
    (mode: 'match' | 'include', view: View | undefined) =>
    ({ row }: Judged): BundleEntry => ({ fullUrl: `${base}/${row.type}/${row.id}`, resource: subset(render(row), view), mode });
  const outcomes = [...page.withheld.map((w) => w.issue), ...(page.isCut ? [cutIssue] : []), ...query.ignored.map(ignoredIssue)];
  // _elements names elements of what is searched for (R4 3.1.1.5.9)
  const viewOfIncluded = query.view?.kind === 'elements' ? undefined : query.view;
  const entries = [...page.matches.map(entry('match', query.view)), ...page.included.map(entry('include', viewOfIncluded))];
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

const cutIssue: Issue = {
  severity: 'warning',
  code: 'too-costly',
  diagnostics: 'There is more to include than is given in one answer.',
};

function ignoredIssue({ name, diagnostics }: Ignored): Issue {
  return { severity: 'warning', code: 'not-supported', diagnostics: `${diagnostics} It was ignored.`, expression: [name] };
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
