import { isIP } from 'node:net';

/** An exact name or address, or `*.` before the names below a domain. */
export const isHostPattern = (pattern: string): boolean =>
  isIP(plain(pattern)) !== 0 || /^(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*$/.test(plain(pattern));

/**
 * Which hosts may be connected to: those that are listed; all where none is. `*.suffix` covers every name below the suffix, and not the suffix.
 * @throws TypeError naming the entry that is no host.
 */
export function createHostPolicy(allowedHosts: readonly string[]): (host: string) => boolean {
  for (const pattern of allowedHosts) if (!isHostPattern(pattern)) throw new TypeError(`'${pattern}' is no host and no *.suffix`);
  const exact = new Set(allowedHosts.filter((pattern) => !pattern.startsWith('*.')).map(plain));
  const suffixes = allowedHosts.filter((pattern) => pattern.startsWith('*.')).map((pattern) => plain(pattern).slice(1));
  return (host) => {
    const name = plain(host);
    return allowedHosts.length === 0 || exact.has(name) || (isIP(name) === 0 && suffixes.some((suffix) => name.endsWith(suffix)));
  };
}

/** As it is compared: without brackets, final dot and capitals. */
const plain = (host: string): string =>
  host
    .toLowerCase()
    .replace(/^\[|\]$/g, '')
    .replace(/\.$/, '');
