import { type LookupAddress, lookup } from 'node:dns';
import { BlockList, isIP } from 'node:net';
import { Agent, fetch as send } from 'undici';
import type { Config } from '../../config.js';

/** Fetches a small JSON document: https only in production, no redirects, 5 s, 256 KiB. @throws Error otherwise */
export type BoundedFetch = (url: string) => Promise<Response>;

const MAX_BYTES = 256 * 1024;
const TIMEOUT = 5_000;

/** For a host that the operator names in the configuration. */
export function fetchFromConfigured(config: Pick<Config, 'production'>): BoundedFetch {
  return (url) => fetchBounded(url, config.production);
}

/**
 * For an address that a client's registration names: never into a private network that `outboundNetworks` does not list. The address
 * is checked where the connection is made, so that a name that resolves anew can't get around it.
 */
export function fetchFromRegistered(config: Pick<Config, 'production' | 'outboundNetworks'>): BoundedFetch {
  const opened = networks(config.outboundNetworks);
  const permitted = (address: string): boolean => within(opened, address) || !within(PRIVATE, address);
  const agent = new Agent({
    connect: {
      lookup: (host, options, done) =>
        lookup(host, { ...options, all: true }, (error, found) => {
          const refused = error ?? found.find((a) => !permitted(a.address));
          if (refused) done(error ?? new Error('address in a private network'), '', 0);
          else if (options.all) done(null, found as unknown as string, 0);
          else done(null, (found[0] as LookupAddress).address, (found[0] as LookupAddress).family);
        }),
    },
  });
  return async (url) => {
    const host = new URL(url).hostname.replace(/^\[|\]$/g, '');
    if (isIP(host) && !permitted(host)) throw new Error('address in a private network');
    return fetchBounded(url, config.production, agent);
  };
}

async function fetchBounded(url: string, production: boolean, dispatcher?: Agent): Promise<Response> {
  const { protocol } = new URL(url);
  if (protocol !== 'https:' && (production || protocol !== 'http:')) throw new Error('only https is fetched');
  const response = await send(url, {
    headers: { accept: 'application/json' },
    redirect: 'error',
    signal: AbortSignal.timeout(TIMEOUT),
    ...(dispatcher ? { dispatcher } : {}),
  });
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    if (size > MAX_BYTES) throw new Error('the document is too large');
    chunks.push(chunk);
  }
  return new Response(Buffer.concat(chunks), { status: response.status });
}

function networks(list: readonly string[]): BlockList {
  const blocks = new BlockList();
  for (const network of list) {
    const [address = '', bits] = network.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    blocks.addSubnet(address, Number(bits ?? (family === 'ipv6' ? 128 : 32)), family);
  }
  return blocks;
}

const within = (blocks: BlockList, address: string): boolean => blocks.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');

/** IANA special-purpose address registries (RFC 6890): what is not the public Internet. */
const PRIVATE = networks(
  (
    '0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.168.0.0/16 198.18.0.0/15 224.0.0.0/4 240.0.0.0/4 ' +
    '::/128 ::1/128 64:ff9b::/96 fc00::/7 fe80::/10 ff00::/8'
  ).split(' '),
);
