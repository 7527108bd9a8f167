import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { networksContain } from './address-policy.js';
import { SourceError } from './connector.js';
import { readTlsFiles } from './tls-files.js';

/** Where a hospital's systems connect to, and who may. */
export interface Place {
  host: string;
  port: number;
  /** Networks (CIDR) whose hosts may connect. */
  peers: readonly string[];
  /** PEM files; with `clientCa` only clients whose certificate it issued are heard. */
  tls?: { cert: string; key: string; clientCa?: string };
  maxConnections: number;
  /** How long a TLS handshake may take, ms. */
  handshakeMs: number;
}

/**
 * Listens for TCP or TLS. Connections from elsewhere, or above the limit, are closed without a word; errors of sockets end them alone. Resolves when it listens; at
 * the end of `signal` everything is closed.
 * @throws SourceError when it cannot listen.
 */
export async function listenOn(place: Place, accept: (socket: Socket) => void, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const isPeer = networksContain(place.peers);
  const sockets = new Set<Socket>();
  const server = open(place, (socket) => {
    if (socket.destroyed) return;
    if (sockets.size >= place.maxConnections) {
      socket.destroy();
      return;
    }
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket)).on('error', () => undefined);
    accept(socket);
  });
  server.prependListener('connection', (socket: Socket) => {
    socket.on('error', () => undefined);
    if (!isPeer(socket.remoteAddress ?? '')) socket.destroy();
  });
  await listening(server, place);
  const stop = (): void => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
}

function open({ tls, maxConnections, handshakeMs }: Place, accept: (socket: Socket) => void): Server {
  if (!tls) return createServer({ keepAlive: true, noDelay: true }, accept);
  const { cert, key, clientCa } = tls;
  const files = readTlsFiles({ cert, key, ca: clientCa });
  const client = clientCa ? { requestCert: true, rejectUnauthorized: true } : {};
  const server = createTlsServer({ ...files, ...client, minVersion: 'TLSv1.2', handshakeTimeout: handshakeMs }, accept);
  server.on('tlsClientError', () => undefined);
  server.maxConnections = 2 * maxConnections;
  return server;
}

function listening(server: Server, { host, port }: Place): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const said = `The hub can not listen on port ${port} (${error.code ?? error.name}).`;
      reject(new SourceError('unreachable', said, { cause: error }));
    });
    server.listen({ host, port }, () => {
      server.on('error', () => undefined);
      resolve();
    });
  });
}
