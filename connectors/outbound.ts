import { isIP, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { Agent, buildConnector, request } from 'undici';
import { createAddressPolicy } from './address-policy.js';
import { checkedLookup, connectChecked, forbidden, notAllowed, type SocketTarget } from './checked-socket.js';
import { SourceError } from './connector.js';
import { letPausedParserEnd } from './paused-parser.js';

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
  connectTimeoutMs?: number;
}

/**
 * Outbound HTTP(S): the address that was checked is the one connected to (a name is resolved once for each connection),
 * TLS certificates are verified, redirects are not followed, every wait has its limit.
 */
export function createOutbound({ allowedNetworks, connectTimeoutMs = 5_000 }: OutboundSettings): Outbound {
  const mayConnect = createAddressPolicy(allowedNetworks);
  const agent = new Agent({
    connect: checkedConnector(mayConnect, connectTimeoutMs),
    headersTimeout: 30_000,
    bodyTimeout: 30_000,
  });
  return {
    async request(url, options = {}) {
      if (url.protocol !== 'http:' && url.protocol !== 'https:') throw forbidden('Only http and https are spoken.');
      if (url.username !== '' || url.password !== '') throw forbidden('Credentials do not belong in an address.');
      try {
        const { statusCode, headers, body } = await request(url, {
          dispatcher: agent,
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
      try {
        return await connectChecked(mayConnect, target, signal);
      } catch (error) {
        throw asSourceError(error, signal);
      }
    },
    close: () => agent.destroy(),
  };
}

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

function checkedConnector(mayConnect: (address: string) => boolean, timeout: number): buildConnector.connector {
  const connect = buildConnector({ timeout, lookup: checkedLookup(mayConnect) as never });
  return (options, callback) => {
    const host = options.hostname.replace(/^\[|\]$/g, '');
    // A literal address is never looked up.
    if (isIP(host) !== 0 && !mayConnect(host)) return callback(notAllowed(), null);
    return connect(options, (...result) => {
      if (result[1]) letPausedParserEnd(result[1]);
      callback(...result);
    });
  };
}
