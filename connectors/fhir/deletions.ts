import type { Client } from 'fhir-kit-client';
import { type Change, type IndexView, SourceError } from '../connector.js';
import type { FhirRecord } from '../statement.js';
import { bundlePages, isRecord, searchPages } from './pages.js';

/** Until when deletions are known. */
export interface Known {
  /** By type, for a server that keeps a history of it: an instant of the server's. */
  history?: Record<string, string>;
  /** For one that does not: when all ids were listed last, ms. */
  listed?: number;
  /** Types with a history of which the ids were not compared to the end: they are compared again when that is due. */
  partial?: string[];
}

export interface DeletionSettings {
  types: readonly string[];
  overlapMs: number;
  pageSize: number;
  fullListingMs: number;
}

/** Ids of one type that are held to be compared; a server with more of them has to keep a history. */
const MOST_IDS = 1_000_000;
/** Records that are asked for by themselves in one comparison. */
const MOST_MISSING = 1_000;
/** How far the clocks of a server and the hub may be apart, where the server does not say its time, ms. */
const CLOCKS_APART = 300_000;
/** How long what a server says of itself is believed, ms. */
const CAPABILITY_MS = 3_600_000;

/** What a FHIR server has no longer, by its history or by its ids; nothing is gone that it does not deny when it is asked for by itself. */
export interface Deletions {
  /** Yields what is gone, and a checkpoint where `known` (which is changed in place) advanced. */
  changes(client: Client, known: Known, checkpoint: () => Change, index: IndexView | undefined): AsyncGenerator<Change>;
}

/** @param gone the change that says of a record that the source has it no longer. */
export function createDeletions(settings: DeletionSettings, gone: (id: string) => Change): Deletions {
  let capability: { until: number; withHistory: ReadonlySet<string> } | undefined;
  const withHistory = async (client: Client): Promise<ReadonlySet<string>> => {
    if (!capability || Date.now() > capability.until)
      capability = { until: Date.now() + CAPABILITY_MS, withHistory: typesWithHistory(await capabilityOf(client)) };
    return capability.withHistory;
  };
  return {
    async *changes(client, known, checkpoint, index) {
      const began = Date.now();
      const kept = await withHistory(client);
      const ofHistory = settings.types.filter((type) => kept.has(type));
      const others = settings.types.filter((type) => !kept.has(type));
      const isDue = began - (known.listed ?? 0) >= settings.fullListingMs;
      // what went before the history was looked at for the first time shows in the ids alone
      const isUncompared = (type: string) => known.history?.[type] === undefined || (isDue && known.partial?.includes(type));
      const compared = [...ofHistory.filter(isUncompared), ...(isDue ? others : [])];
      if (index && compared.length > 0) {
        const cut = yield* missing(client, compared, index, settings, gone);
        const waiting = ofHistory.filter((type) => (compared.includes(type) ? cut : (known.partial ?? [])).includes(type));
        known.partial = waiting.length > 0 ? waiting : undefined;
        if (isDue) known.listed = began;
        yield checkpoint();
      }
      for (const type of ofHistory) {
        for await (const id of deletedSince(client, type, known, began, settings)) if (await isDenied(client, id)) yield gone(id);
        yield checkpoint();
      }
    },
  };
}

/** What the server says of itself; one that says nothing keeps no history. */
const capabilityOf = (client: Client): Promise<unknown> =>
  client.capabilityStatement().catch((error) => {
    if (error instanceof SourceError && ['not-found', 'bad-response', 'refused'].includes(error.code)) return undefined;
    throw error;
  });

/** Types whose history the server says that it gives (CapabilityStatement.rest.resource.interaction `history-type`). */
function typesWithHistory(statement: unknown): ReadonlySet<string> {
  const { rest } = (statement ?? {}) as { rest?: unknown };
  const resources = (Array.isArray(rest) ? rest : []).flatMap((one: FhirRecord) =>
    Array.isArray(one?.resource) ? one.resource : [],
  );
  const withHistory = (resources as FhirRecord[]).filter(
    (one) => Array.isArray(one?.interaction) && one.interaction.some((i: { code?: unknown }) => i?.code === 'history-type'),
  );
  return new Set(withHistory.map((one) => String(one.type)));
}

/** `Type/id` of what was deleted since it was asked last; for the first time, since a while before `began`. */
async function* deletedSince(
  client: Client,
  type: string,
  known: Known,
  began: number,
  { overlapMs, pageSize }: DeletionSettings,
): AsyncGenerator<string> {
  const since = known.history?.[type];
  const from = since === undefined ? began - CLOCKS_APART : Date.parse(since) - overlapMs;
  const query = new URLSearchParams({ _since: new Date(from).toISOString(), _count: String(pageSize) });
  let at: string | undefined;
  for await (const { bundle, at: now } of bundlePages(client, await client.request(`${type}/_history?${query}`))) {
    at ??= now ?? new Date(Date.now() - CLOCKS_APART).toISOString();
    for (const { request } of bundle.entry as { request?: { method?: unknown; url?: unknown } }[]) {
      const [, id] =
        new RegExp(`(?:^|/)(${type}/[A-Za-z0-9\\-.]{1,64})(?:/_history/[^/]+)?$`).exec(String(request?.url ?? '')) ?? [];
      if (request?.method === 'DELETE' && id) yield id;
    }
  }
  known.history = { ...known.history, [type]: at ?? new Date(from).toISOString() };
}

/**
 * What the hub has and the server lists no longer. A server that lists nothing that was read from it, of any type, is not believed to be the one that was
 * read; a type of which there is too much to be compared is left out.
 * @returns the types that have to be compared again: more than `MOST_MISSING` of one are absent, or nobody was believed.
 */
async function* missing(
  client: Client,
  types: readonly string[],
  index: IndexView,
  { pageSize }: DeletionSettings,
  gone: (id: string) => Change,
): AsyncGenerator<Change, readonly string[]> {
  const absent: string[] = [];
  const cut: string[] = [];
  let isItself = false;
  for (const type of types) {
    const listed = await idsOf(client, type, pageSize);
    if (!listed) continue;
    let more = MOST_MISSING;
    for await (const ids of index.records(type))
      for (const id of ids) {
        if (listed.has(id)) isItself = true;
        else if (more-- > 0) absent.push(`${type}/${id}`);
      }
    if (more < 0) cut.push(type);
  }
  if (absent.length > 0 && !isItself) {
    yield notItself;
    return types;
  }
  for (const id of absent) if (await isDenied(client, id)) yield gone(id);
  return cut;
}

/** Undefined for more than can be compared. */
async function idsOf(client: Client, type: string, pageSize: number): Promise<ReadonlySet<string> | undefined> {
  const listed = new Set<string>();
  for await (const { matches } of searchPages(client, type, { _elements: 'id', _count: pageSize })) {
    for (const { id } of matches) listed.add(String(id));
    if (listed.size > MOST_IDS) return undefined;
  }
  return listed;
}

const notItself: Change = {
  kind: 'unreadable',
  item: {
    locator: '?',
    reason: 'source-error',
    detail: 'The server lists nothing that was read from it before: nothing of that is taken for gone.',
  },
};

/** Asked for by itself: 404 or 410. @throws SourceError when the server does not answer. */
async function isDenied(client: Client, id: string): Promise<boolean> {
  const [resourceType = '', resourceId = ''] = id.split('/');
  try {
    const resource: unknown = await client.read({ resourceType, id: resourceId });
    if (!isRecord(resource)) throw new SourceError('bad-response', 'The source answers no record.');
    return false;
  } catch (error) {
    if (error instanceof SourceError && error.code === 'not-found') return true;
    // kept from the hub is not gone
    if (error instanceof SourceError && error.code === 'refused') return false;
    throw error;
  }
}
