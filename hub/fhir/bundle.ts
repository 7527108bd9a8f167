/** Bundles are written as text around resources that are JSON text already: nothing is parsed only to be written again. */
export interface BundleEntry {
  fullUrl?: string;
  resource: string;
  mode?: 'match' | 'include' | 'outcome';
}

export interface Link {
  relation: 'self' | 'next';
  url: string;
}

export function searchset(links: readonly Link[], entries: readonly BundleEntry[], total: number | undefined): string {
  const written = entries.map(
    (e) =>
      `{${e.fullUrl ? `"fullUrl":${JSON.stringify(e.fullUrl)},` : ''}"resource":${e.resource},"search":{"mode":"${e.mode ?? 'match'}"}}`,
  );
  const head = `"resourceType":"Bundle","type":"searchset"${total === undefined ? '' : `,"total":${total}`},"link":${JSON.stringify(links)}`;
  return written.length > 0 ? `{${head},"entry":[${written.join(',')}]}` : `{${head}}`;
}

/** One version of a resource in a history Bundle (R4 2.21.0.12). */
export interface HistoryEntry {
  fullUrl: string;
  resource: string | undefined;
  method: 'POST' | 'PUT' | 'DELETE';
  url: string;
  version: number;
  lastModified: string;
}

/** `total` is of all versions: it is said where they are all here. */
export function historyBundle(
  self: string,
  entries: readonly HistoryEntry[],
  { next, isWhole }: { next: string | undefined; isWhole: boolean },
): string {
  const written = entries.map((e) => {
    const resource = e.resource === undefined ? '' : `"resource":${e.resource},`;
    const status = e.method === 'POST' ? '201' : e.method === 'DELETE' ? '204' : '200';
    const response = { status, etag: `W/"${e.version}"`, lastModified: e.lastModified };
    return `{"fullUrl":${JSON.stringify(e.fullUrl)},${resource}"request":${JSON.stringify({ method: e.method, url: e.url })},"response":${JSON.stringify(response)}}`;
  });
  const links = [{ relation: 'self', url: self }, ...(next ? [{ relation: 'next', url: next }] : [])];
  return `{"resourceType":"Bundle","type":"history"${isWhole ? `,"total":${entries.length}` : ''},"link":${JSON.stringify(links)},"entry":[${written.join(',')}]}`;
}
