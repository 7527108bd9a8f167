import { lookup as dnsLookup, type LookupAddress, type LookupOptions } from 'node:dns';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { SourceError } from './connector.js';

/** A TCP service that an administrator named. */
export interface SocketTarget {
  host: string;
  port: number;
  /** TLS 1.2 or later, the server's certificate verified; `servername` defaults to the host. */
  tls?: Pick<ConnectionOptions, 'ca' | 'cert' | 'key' | 'servername'>;
  /** Time until the connection, with its TLS handshake, is there, ms. */
  timeoutMs: number;
}

/**
 * Connects by TCP or TLS to an address that was checked: the name is resolved once, and only its allowed addresses are tried.
 * @throws SourceError `forbidden-address` or `timeout`; the system's and TLS's errors as they are; the signal's reason when it is aborted.
 */
export function connectChecked(
  mayConnect: (address: string) => boolean,
  lookup: CheckedLookup,
  { host, port, tls, timeoutMs }: SocketTarget,
  signal?: AbortSignal,
): Promise<Socket> {
  signal?.throwIfAborted();
  const name = host.replace(/^\[|\]$/g, '');
  // A literal address is never looked up.
  if (isIP(name) !== 0 && !mayConnect(name)) throw notAllowed();
  const servername = tls?.servername ?? (isIP(name) === 0 ? name : undefined);
  const socket = tls
    ? connectTls({
        host: name,
        port,
        lookup: lookup as never,
        ...tls,
        servername,
        minVersion: 'TLSv1.2',
        rejectUnauthorized: true,
      })
    : connectTcp({ host: name, port, lookup: lookup as never });
  return new Promise((resolve, reject) => {
    const settle = (error?: unknown): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
      socket.off('error', settle);
      if (error === undefined) {
        resolve(socket);
        return;
      }
      // What it still has to say is of no interest.
      socket.on('error', () => undefined).destroy();
      reject(error);
    };
    const abort = (): void => settle(signal?.reason);
    const timer = setTimeout(
      () => settle(new SourceError('timeout', 'The source does not take the connection in time.')),
      timeoutMs,
    );
    socket.once('error', settle).once(tls ? 'secureConnect' : 'connect', () => settle());
    signal?.addEventListener('abort', abort, { once: true });
  });
}

type LookupCallback = (error: Error | null, address?: string | LookupAddress[], family?: number) => void;

export type CheckedLookup = (hostname: string, options: LookupOptions, callback: LookupCallback) => void;

/** Resolves a name and gives only the addresses that may be connected to. @param resolve as `dns.lookup`. */
export function checkedLookup(mayConnect: (address: string) => boolean, resolve: typeof dnsLookup = dnsLookup): CheckedLookup {
  return (hostname, options, callback) => {
    resolve(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(error);
      const allowed = addresses.filter(({ address }) => mayConnect(address));
      const [first] = allowed;
      if (!first) return callback(forbidden('The name leads to an address that is not in an allowed network.'));
      return options.all ? callback(null, allowed) : callback(null, first.address, first.family);
    });
  };
}

export const notAllowed = (): SourceError => forbidden('The address is not in an allowed network.');

export const forbidden = (detail: string): SourceError => new SourceError('forbidden-address', detail);
