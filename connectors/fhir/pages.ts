import type { Client } from 'fhir-kit-client';
import { SourceError } from '../connector.js';
import type { FhirRecord } from '../statement.js';

/** A page of a search: what matched, what was included, and how many entries were no resources. */
export interface Page {
  matches: FhirRecord[];
  included: FhirRecord[];
  unusable: number;
  /** The server's time, where it says it. */
  at?: string;
}

/** More pages than any source can need: a server that never comes to an end is stopped. */
const MOST_PAGES = 100_000;

/**
 * All pages of a search, by the server's `next` links (R4 3.1.1.4.10).
 * @throws SourceError `bad-response` for what is no Bundle, for a link that leads in a circle, and for pages without end.
 */
export async function* searchPages(
  client: Client,
  resourceType: string,
  searchParams: Record<string, string | number>,
): AsyncGenerator<Page> {
  for await (const { bundle, at } of bundlePages(client, await client.search({ resourceType, searchParams })))
    yield { ...pageOf(bundle, resourceType), ...(at ? { at } : {}) };
}

/** A Bundle as it came, and the server's time where it says it. */
interface BundlePage {
  bundle: { entry: unknown[] };
  at?: string;
}

/** A Bundle and those that follow it, by the server's `next` links. @throws SourceError as `searchPages`. */
export async function* bundlePages(client: Client, first: unknown): AsyncGenerator<BundlePage> {
  const seen = new Set<string>();
  let bundle = first;
  for (let page = 0; page < MOST_PAGES; page += 1) {
    const { resourceType, meta, entry = [], link = [] } = (bundle ?? {}) as Record<string, unknown>;
    if (resourceType !== 'Bundle' || !Array.isArray(entry) || !Array.isArray(link))
      throw new SourceError('bad-response', 'The source answers no Bundle where one is due.');
    const at = (meta as { lastUpdated?: unknown } | undefined)?.lastUpdated;
    yield { bundle: { entry }, ...(typeof at === 'string' && !Number.isNaN(Date.parse(at)) ? { at } : {}) };
    const next = (link as { relation?: string; url?: string }[]).find((l) => l?.relation === 'next');
    if (!next) return;
    if (typeof next.url !== 'string' || seen.has(next.url))
      throw new SourceError('bad-response', 'The pages of the source lead in a circle.');
    seen.add(next.url);
    bundle = await client.nextPage({ bundle: bundle as never });
  }
  throw new SourceError('bad-response', 'The pages of the source do not come to an end.');
}

function pageOf({ entry }: BundlePage['bundle'], resourceType: string): Page {
  const page: Page = { matches: [], included: [], unusable: 0 };
  for (const one of entry as { resource?: unknown; search?: { mode?: unknown } }[]) {
    const resource = one?.resource;
    if (one?.search?.mode === 'outcome' || (resource as FhirRecord | undefined)?.resourceType === 'OperationOutcome') continue;
    if (!isRecord(resource)) page.unusable += 1;
    else if (resource.resourceType === resourceType) page.matches.push(resource);
    else page.included.push(resource);
  }
  return page;
}

/** A resource with a type and an id by which it is found again. */
export const isRecord = (value: unknown): value is FhirRecord & { id: string } =>
  typeof value === 'object' &&
  value !== null &&
  /^[A-Z][A-Za-z]{1,40}$/.test(String((value as FhirRecord).resourceType)) &&
  typeof (value as FhirRecord).id === 'string' &&
  /^[A-Za-z0-9\-.]{1,64}$/.test((value as FhirRecord).id);
