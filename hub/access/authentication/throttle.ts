import { BoundedCache } from './bounded-cache.js';

/** Failed attempts that are looked at in one minute: for a client from one address, and for one address altogether (a hospital's may be shared). */
const LIMITS = { clientAtAddress: 20, address: 200 } as const;
const WINDOW = 60_000;
const REMEMBERED = 20_000;

interface Failures {
  count: number;
  until: number;
}

/**
 * Counts failed attempts at the token endpoint. Limits are by address, never by the claimed client alone: a stranger could lock a hospital
 * out by failing in its name. Each hub process counts for itself.
 */
export class Throttle {
  readonly #failures = new BoundedCache<Failures>(REMEMBERED);

  /** Whether another attempt is looked at. */
  allows(address: string, clientId: string): boolean {
    const below = (key: string, limit: number) => (this.#failures.get(key)?.count ?? 0) < limit;
    return below(address, LIMITS.address) && below(keyOf(address, clientId), LIMITS.clientAtAddress);
  }

  failed(address: string, clientId: string): void {
    for (const key of [address, keyOf(address, clientId)]) {
      const { count, until } = this.#failures.get(key) ?? { count: 0, until: Date.now() + WINDOW };
      this.#failures.set(key, { count: count + 1, until }, until);
    }
  }
}

const keyOf = (address: string, clientId: string): string => `${address} ${clientId.slice(0, 64)}`;
