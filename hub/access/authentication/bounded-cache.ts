interface Entry<V> {
  value: V;
  expires: number;
}

/** Least-recently-used cache with an expiry for each entry, so that neither time nor strangers can make it grow. */
export class BoundedCache<V> {
  readonly #entries = new Map<string, Entry<V>>();

  constructor(readonly capacity: number) {}

  /** The value, unless `now` (milliseconds) is past its expiry. */
  get(key: string, now = Date.now()): V | undefined {
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    this.#entries.delete(key);
    if (entry.expires <= now) return undefined;
    this.#entries.set(key, entry);
    return entry.value;
  }

  /** @param expires milliseconds since the epoch */
  set(key: string, value: V, expires: number): V {
    this.#entries.delete(key);
    this.#entries.set(key, { value, expires });
    if (this.#entries.size > this.capacity) this.#entries.delete(this.#entries.keys().next().value as string);
    return value;
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }

  get size(): number {
    return this.#entries.size;
  }
}

/** Loads through a cache for `lifetime` milliseconds; callers that ask at once share one load, and a failure is not kept. */
export function cachedFor<V>(lifetime: number, capacity: number, load: (key: string) => Promise<V>): (key: string) => Promise<V> {
  const cache = new BoundedCache<Promise<V>>(capacity);
  return (key) => {
    const known = cache.get(key);
    if (known) return known;
    const loading = load(key);
    loading.catch(() => cache.delete(key));
    return cache.set(key, loading, Date.now() + lifetime);
  };
}
