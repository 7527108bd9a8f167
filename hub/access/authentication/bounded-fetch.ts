import { createOutbound, type Outbound } from '../../../connectors/outbound.js';
import type { Config } from '../../config.js';

/** Fetches a small document: https only in production, no redirects, 5 s, 256 KiB. @throws Error otherwise */
export type BoundedFetch = (url: string) => Promise<Response>;

const MAX_BYTES = 256 * 1024;
const TIMEOUT = 5_000;

/** For the issuer, whom the operator names in the configuration: it may be in a private network. */
export function fetchFromConfigured(config: Pick<Config, 'production'>): BoundedFetch {
  return bounded(createOutbound({ allowedNetworks: ['0.0.0.0/0', '::/0'] }), config.production);
}

/** For an address that a client's registration names: only into private networks that `outboundNetworks` lists, and to hosts of `outboundHosts`. */
export function fetchFromRegistered(config: Pick<Config, 'production' | 'outboundNetworks' | 'outboundHosts'>): BoundedFetch {
  const { outboundNetworks: allowedNetworks, outboundHosts: allowedHosts } = config;
  return bounded(createOutbound({ allowedNetworks, allowedHosts }), config.production);
}

function bounded(outbound: Outbound, production: boolean): BoundedFetch {
  return async (address) => {
    const url = new URL(address);
    if (production && url.protocol !== 'https:') throw new Error('only https is fetched');
    const signal = AbortSignal.timeout(TIMEOUT);
    const { status, body } = await outbound.request(url, { headers: { accept: 'application/json' }, signal });
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > MAX_BYTES) throw new Error('the document is too large'); // leaving the loop closes the connection
      chunks.push(chunk);
    }
    return new Response(Buffer.concat(chunks), { status });
  };
}
