/** What a request costs beside a read by id, which is 1: about what it takes of the database and the archives. */
const COSTS = {
  read: 1,
  write: 2,
  search: 2,
  /** Each `_include` and `_revinclude`, chain and `_has`. */
  join: 1,
  count: 5,
  retrieve: 5,
  /** A report, an export of the audit. */
  export: 50,
} as const;

type Query = Iterable<readonly [string, string]>;

/** The cost of one HTTP request, as far as its head tells; what a body adds is `costOfForm` or `costOfBundle`. */
export function costOfRequest({ method, path, query }: { method: string; path: string; query: Query }): number {
  const [face = '', type = '', id] = path.split('/').filter(Boolean); // as the faces read it: `//` and a last `/` say nothing
  if (face === 'fhir') return costOfInteraction(method, [type, ...(id === undefined ? [] : [id])], query);
  if (face === 'dicomweb') return isSearch(method, path) ? COSTS.search : COSTS.retrieve;
  const isExport = (face === 'reports' && type !== '') || (face === 'audit' && type === 'export');
  return isExport ? COSTS.export : method === 'GET' ? COSTS.search : COSTS.write;
}

/** QIDO-RS: its paths end in what is searched (PS3.18 table 10.6.1-1). */
const isSearch = (method: string, path: string): boolean => method === 'GET' && /\/(studies|series|instances)\/*$/.test(path);

/** Of one FHIR interaction, over HTTP or in a Bundle; `path` is below the base. */
function costOfInteraction(method: string, [type = '', id]: readonly string[], query: Query): number {
  if (type === 'metadata') return 0;
  const isSearch = id === '_search' || (method === 'GET' && id === undefined);
  if (isSearch) return COSTS.search + costOfForm(query);
  return method === 'GET' ? COSTS.read : COSTS.write;
}

/** What the parameters of a search add. */
export function costOfForm(query: Query): number {
  let cost = 0;
  for (const [name, value] of query) {
    if (/^(_include|_revinclude)(:|$)|^_has:|\./.test(name)) cost += COSTS.join;
    if (name === '_total' || (name === '_summary' && value === 'count')) cost += COSTS.count;
  }
  return cost;
}

/** Each entry of a batch or transaction costs what it costs alone. What is no Bundle is refused later, at no further cost. */
export function costOfBundle(bundle: object): number {
  const { entry } = bundle as { entry?: unknown };
  const entries = Array.isArray(entry) ? entry : [];
  return entries.reduce((sum: number, entry: { request?: { method?: unknown; url?: unknown } } | null) => {
    const [path = '', query = ''] = String(entry?.request?.url ?? '').split('?', 2);
    return sum + costOfInteraction(String(entry?.request?.method), path.split('/').filter(Boolean), new URLSearchParams(query));
  }, 0);
}
