import type { lookup as dnsLookup } from 'node:dns';
import { isIP, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { Agent, buildConnector, request } from 'undici';
import { createAddressPolicy } from './address-policy.js';
import { type CheckedLookup, checkedLookup, connectChecked, forbidden, notAllowed, type SocketTarget } from './checked-socket.js';
import { SourceError } from './connector.js';
import { createHostPolicy } from './host-policy.js';
import { letPausedParserEnd } from './paused-parser.js';
import { readTlsFiles } from './tls-files.js';

export interface OutboundRequest {
  method?: 'GET' | 'POST' | 'PUT' | 'DELETE';
  headers?: Record<string, string>;
  /** A list of parts is sent one after the other, with its length stated. */
  body?: string | Buffer | readonly Uint8Array[];
  signal?: AbortSignal;
  /** Time until the reply's headers are there, ms. */
  headersTimeoutMs?: number;
  /** Longest pause within the reply's body, ms. */
  idleTimeoutMs?: number;
  /** PEM file of the authorities that are believed instead of the public ones. It is read for each connection. */
  ca?: string;
}

export interface OutboundReply {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: Readable;
}

/** HTTP, TCP and TLS to places that an administrator or a client named: nothing inside the hub's own network can be reached through it. */
export interface Outbound {
  /** @throws SourceError `forbidden-address`, `unreachable` or `timeout`; the signal's reason when it is aborted. */
  request(url: URL, options?: OutboundRequest): Promise<OutboundReply>;
  /** A connection for protocols other than HTTP. @throws as `request`. */
  connect(target: SocketTarget, signal?: AbortSignal): Promise<Socket>;
  close(): Promise<void>;
}

export interface OutboundSettings {
  /** Private networks (CIDR) that may be connected to, such as the one the hospitals are reached through. */
  allowedNetworks: readonly string[];
  /** Names, `*.suffix` or addresses that may be connected to; any where none is named. An address must be in an allowed network all the same. */
  allowedHosts?: readonly string[];
  connectTimeoutMs?: number;
  /** How names are resolved; by default as the system does. */
  resolve?: typeof dnsLookup;
}

/**
 * Outbound HTTP(S): the address that was checked is the one connected to (a name is resolved once for each connection),
 * TLS certificates are verified, redirects are not followed, proxies of the environment are not used, every wait has its limit.
 */
export function createOutbound(settings: OutboundSettings): Outbound {
  const { allowedNetworks, allowedHosts = [], connectTimeoutMs = 5_000, resolve } = settings;
  const mayConnect = createAddressPolicy(allowedNetworks);
  const mayName = createHostPolicy(allowedHosts);
  const lookup = checkedLookup(mayConnect, resolve);
  const agents = new Map<string | undefined, Agent>();
  const agentFor = (ca: string | undefined): Agent => {
    const known = agents.get(ca);
    if (known) return known;
    const connect = checkedConnector({ mayConnect, lookup, ca, timeout: connectTimeoutMs });
    // An archive that keeps a connection open for a second (Orthanc) is not connected to anew for each object.
    const agent = new Agent({ connect, headersTimeout: 30_000, bodyTimeout: 30_000, keepAliveTimeoutThreshold: 300 });
    agents.set(ca, agent);
    return agent;
  };
  return {
    async request(url, options = {}) {
      if (url.protocol !== 'http:' && url.protocol !== 'https:') throw forbidden('Only http and https are spoken.');
      if (url.username !== '' || url.password !== '') throw forbidden('Credentials do not belong in an address.');
      if (!mayName(url.hostname)) throw notListed();
      try {
        const { statusCode, headers, body } = await request(url, {
          dispatcher: agentFor(options.ca),
          method: options.method ?? 'GET',
          ...contentOf(options),
          signal: options.signal,
          headersTimeout: options.headersTimeoutMs,
          bodyTimeout: options.idleTimeoutMs,
        });
        return { status: statusCode, headers, body };
      } catch (error) {
        throw asSourceError(error, options.signal);
      }
    },
    async connect(target, signal) {
      if (!mayName(target.host)) throw notListed();
      try {
        return await connectChecked(mayConnect, lookup, target, signal);
      } catch (error) {
        throw asSourceError(error, signal);
      }
    },
    close: async () => {
      await Promise.all([...agents.values()].map((agent) => agent.destroy()));
    },
  };
}

const notListed = () => forbidden('The host is not one of the allowed hosts.');

/** Parts are not put together in memory: they may be many megabytes. */
function contentOf({ headers, body }: OutboundRequest) {
  if (body === undefined || typeof body === 'string' || Buffer.isBuffer(body)) return { headers, body };
  const length = body.reduce((sum, part) => sum + part.length, 0);
  return { headers: { ...headers, 'content-length': String(length) }, body: Readable.from(body, { objectMode: false }) };
}

/** The SourceError of a failed connection or body; an aborted signal's reason and unknown errors come back as they are. */
export function asSourceError(error: unknown, signal?: AbortSignal): unknown {
  if (signal?.aborted) return signal.reason;
  if (error instanceof SourceError || error === null || typeof error !== 'object') return error;
  const { code = '', cause } = error as NodeJS.ErrnoException;
  if (cause instanceof SourceError) return cause;
  if (timeouts.has(code)) return new SourceError('timeout', 'The source does not answer in time.', { cause: error });
  if (/CERT|SELF_SIGNED|ERR_TLS|UNABLE_TO_|ERR_SSL|EPROTO/.test(code)) {
    return new SourceError('refused', `The source's certificate or TLS is not acceptable (${code}).`, { cause: error });
  }
  if (unreachable.has(code)) return new SourceError('unreachable', `The source cannot be reached (${code}).`, { cause: error });
  if (code.startsWith('HPE_') || code.startsWith('UND_ERR_')) {
    return new SourceError('bad-response', 'The source does not speak HTTP properly.', { cause: error });
  }
  return error;
}

const timeouts = new Set([
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  'ETIMEDOUT',
  'ESOCKETTIMEDOUT',
]);
const unreachable = new Set([
  ...[
    'ECONNREFUSED',
    'ECONNRESET',
    'ECONNABORTED',
    'EPIPE',
    'EHOSTUNREACH',
    'EHOSTDOWN',
    'ENETUNREACH',
    'ENETDOWN',
    'EADDRNOTAVAIL',
  ],
  ...['ENOTFOUND', 'EAI_AGAIN', 'EAI_FAIL', 'UND_ERR_SOCKET', 'UND_ERR_CLOSED', 'UND_ERR_DESTROYED'],
]);

interface CheckedConnection {
  mayConnect: (address: string) => boolean;
  lookup: CheckedLookup;
  ca: string | undefined;
  timeout: number;
}

/** Whatever the environment says, certificates are verified, and no proxy is asked. */
function checkedConnector({ mayConnect, lookup, ca, timeout }: CheckedConnection): buildConnector.connector {
  const connectWith = (tls: ReturnType<typeof readTlsFiles>) =>
    buildConnector({ timeout, lookup: lookup as never, rejectUnauthorized: true, minVersion: 'TLSv1.2', ...tls });
  const connect = connectWith({});
  return (options, callback) => {
    const host = options.hostname.replace(/^\[|\]$/g, '');
    // A literal address is never looked up.
    if (isIP(host) !== 0 && !mayConnect(host)) return callback(notAllowed(), null);
    try {
      const chosen = ca === undefined ? connect : connectWith(readTlsFiles({ ca }));
      return chosen(options, (...result) => {
        if (result[1]) letPausedParserEnd(result[1]);
        callback(...result);
      });
    } catch (error) {
      return callback(error as Error, null);
    }
  };
}
