import type { RequestAccess } from '../access/decision.js';
import { invalid, notSupported, Refusal } from '../outcomes.js';
import type { Queryable } from '../store/database.js';
import { mapInTurn } from '../store/in-turn.js';
import type { FhirResource } from '../store/search-keys.js';
import type { FhirDeps, FhirRequest, FhirResponse } from './exchange.js';
import { integrityAudited, refusalsAudited } from './audit-refusal.js';
import { assertReferences, keptReferences, replaceReferences } from './references.js';
import { admit, assertScope } from './submission.js';
import { writeOrder } from './types.js';
import { assignId, createMany, existingMatch, updateById, updateByIdentifier, type Written, writtenResponse } from './write.js';

/** One entry of a Bundle, taken apart. */
export interface Entry {
  at: string;
  fullUrl: string | undefined;
  request: FhirRequest;
}

interface Item extends Entry {
  resource: FhirResource;
}

/**
 * FHIR transaction (R4 3.1.0.11.2): all entries land, or none. Entries are written type by type in one statement each, what is
 * referred to before what refers; `urn:uuid:` references become the ids given. The response keeps the order of the entries.
 */
export async function transaction(deps: FhirDeps, bundle: FhirRequest, entries: readonly Entry[]): Promise<FhirResponse> {
  return refusalsAudited(deps, bundle, async () => {
    const items = entries.map((entry) => admitted(deps, entry));
    assertDistinct(items);
    const write = () =>
      deps.db.transaction(async (tx) => writeAll(deps, tx, await deps.access.forCaller(tx, bundle.caller), items));
    const written = await integrityAudited(deps, bundle, write);
    return {
      status: 200,
      body: responseBundle(
        'transaction-response',
        written.map((w) => writtenResponse(deps, w)),
      ),
    };
  });
}

/** An entry that creates or updates, within the token's scope, with a body that the caller's role may write. */
function admitted(deps: FhirDeps, entry: Entry): Item {
  const { method, path, caller } = entry.request;
  const [type = ''] = path;
  if (method === 'GET') throw notSupported('A transaction takes POST and PUT.', `${entry.at}.request.method`);
  if (path.length > (method === 'PUT' ? 2 : 1)) throw invalid('The url names no such interaction.', `${entry.at}.request.url`);
  return atEntry(entry.at, () => {
    assertScope(caller, type, method === 'PUT' ? 'u' : 'c');
    return { ...entry, resource: admit(deps, entry.request, type, `${entry.at}.resource`) };
  });
}

/** A transaction may be run again after a deadlock: each run works on its own copy of the resources. */
async function writeAll(deps: FhirDeps, tx: Queryable, access: RequestAccess, given: readonly Item[]): Promise<Written[]> {
  const isRewritten = given.some((item) => item.fullUrl !== undefined);
  const items = given.map((item) => ({ ...item, resource: isRewritten ? structuredClone(item.resource) : { ...item.resource } }));
  const written = new Map<Item, Written>();
  const targets = new Map<string, string>();
  await assignTargets(deps, tx, access, items, written, targets);
  for (const item of items) replaceReferences(item.resource, targets);
  const isNamed = (i: Item): boolean => !written.has(i) && (i.request.method === 'POST' || i.request.path.length === 2);
  const ours = new Set(items.filter(isNamed).map((i) => `${i.resource.resourceType}/${i.resource.id}`));
  const referring = await mapInTurn(items, async (i) => ({
    resource: i.resource,
    at: `${i.at}.resource`,
    kept: await keptReferences(tx, access, i.resource.resourceType, i.request.method === 'PUT' ? i.request.path[1] : undefined),
  }));
  await assertReferences(tx, access, referring, ours);
  for (const type of writeOrder) {
    const ofType = items.filter((i) => i.resource.resourceType === type && !written.has(i));
    await writeType(deps, tx, access, ofType, written);
    remapMerged(ofType, items, written);
  }
  return items.map((item) => written.get(item)!);
}

/** Gives each new resource its id and finds those that a conditional create would only find again. */
async function assignTargets(
  deps: FhirDeps,
  tx: Queryable,
  access: RequestAccess,
  items: readonly Item[],
  written: Map<Item, Written>,
  targets: Map<string, string>,
): Promise<void> {
  for (const item of items) {
    const type = item.resource.resourceType;
    if (item.request.method === 'POST') {
      const existing =
        item.request.ifNoneExist === undefined
          ? undefined
          : await atEntry(item.at, () => existingMatch(deps, tx, access, item.request, type, item.request.ifNoneExist ?? ''));
      if (existing) written.set(item, { row: existing, status: 200 });
      const id = existing?.id ?? assignId(item.resource).id;
      if (item.fullUrl) targets.set(item.fullUrl, `${type}/${id}`);
    } else if (item.fullUrl && item.request.path[1]) targets.set(item.fullUrl, `${type}/${item.request.path[1]}`);
  }
}

async function writeType(
  deps: FhirDeps,
  tx: Queryable,
  access: RequestAccess,
  items: readonly Item[],
  written: Map<Item, Written>,
): Promise<void> {
  const created = items.filter((i) => i.request.method === 'POST');
  const rows = await atEntry(created[0]?.at ?? '', () => createMany(deps, tx, access, created));
  created.forEach((item, i) => {
    const row = rows[i];
    if (row) written.set(item, row);
  });
  for (const item of items.filter((i) => i.request.method === 'PUT')) {
    const id = item.request.path[1];
    const result = await atEntry(item.at, () =>
      id
        ? updateById(deps, tx, access, item.request, item.resource, id)
        : updateByIdentifier(deps, tx, access, item.request, item.resource),
    );
    written.set(item, result);
  }
}

/** A submission that was merged into an existing record has that record's id: later entries refer to it. */
function remapMerged(items: readonly Item[], all: readonly Item[], written: ReadonlyMap<Item, Written>): void {
  const moved = new Map<string, string>();
  for (const item of items) {
    const row = written.get(item)?.row;
    if (row && item.resource.id && row.id !== item.resource.id)
      moved.set(`${row.type}/${item.resource.id}`, `${row.type}/${row.id}`);
    if (row && !item.resource.id && item.fullUrl) moved.set(item.fullUrl, `${row.type}/${row.id}`);
  }
  for (const item of all) if (!written.has(item)) replaceReferences(item.resource, moved);
}

/** No resource may be in a transaction twice (R4 3.1.0.11.2). */
function assertDistinct(items: readonly Item[]): void {
  const seen = new Set<string>();
  for (const item of items) {
    const keys = [
      item.fullUrl,
      item.request.method === 'PUT' ? `PUT ${item.request.path.join('/')} ${JSON.stringify(item.request.query)}` : undefined,
    ];
    for (const key of keys.filter((k): k is string => k !== undefined)) {
      if (seen.has(key)) throw invalid('The same resource appears twice.', item.at);
      seen.add(key);
    }
  }
}

/** Refusals inside an entry say which entry. */
function atEntry<T>(at: string, work: () => T): T {
  const relocate = (error: unknown): never => {
    if (!(error instanceof Refusal)) throw error;
    const issues = error.issues.map((i) => ({
      ...i,
      expression: i.expression?.length ? i.expression.map((e) => (e.startsWith('Bundle.') ? e : `${at}.resource (${e})`)) : [at],
    }));
    throw new Refusal(error.status, issues, error.headers);
  };
  try {
    const result = work();
    return result instanceof Promise ? (result.catch(relocate) as T) : result;
  } catch (error) {
    return relocate(error);
  }
}

/** Response entries in the order of the request. */
export function responseBundle(type: 'transaction-response' | 'batch-response', responses: readonly FhirResponse[]): string {
  const entries = responses.map(({ status, headers, body }) => {
    const response = {
      status: String(status),
      ...(headers?.location ? { location: headers.location } : {}),
      ...(headers?.etag ? { etag: headers.etag } : {}),
    };
    const text = JSON.stringify(response);
    if (!body) return `{"response":${text}}`;
    return status >= 400 ? `{"response":${text.slice(0, -1)},"outcome":${body}}}` : `{"resource":${body},"response":${text}}`;
  });
  return `{"resourceType":"Bundle","type":"${type}","entry":[${entries.join(',')}]}`;
}
