import { readFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';
import { networksContain } from '../address-policy.js';
import { SourceError } from '../connector.js';
import { createFrameReader, type Frame, type FrameLimits, framed, NotMllp } from './mllp.js';

export interface ListenerSettings extends FrameLimits {
  host: string;
  port: number;
  /** Networks (CIDR) whose hosts may connect. */
  peers: readonly string[];
  /** PEM files; with `clientCa` only clients whose certificate it issued are heard. */
  tls?: { cert: string; key: string; clientCa?: string };
  maxConnections: number;
  /** How long a message may take from its first byte to its last, ms. */
  messageTimeoutMs: number;
  /** How long a connection may be silent, ms. */
  idleTimeoutMs: number;
}

/** Answers one message of a connection. */
export type Answer = (frame: Frame) => Promise<readonly Buffer[]>;

/**
 * Listens for MLLP. The messages of one connection are answered one after the other, each before the next is looked at. Resolves when it listens.
 * @throws SourceError when it cannot listen.
 */
export async function listenForMessages(settings: ListenerSettings, answer: Answer, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const isPeer = networksContain(settings.peers);
  const sockets = new Set<Socket>();
  const accept = (socket: Socket): void => {
    if (socket.destroyed) return;
    if (sockets.size >= settings.maxConnections) return void socket.destroy();
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    serve(socket, settings, answer);
  };
  const server = open(settings, accept);
  server.prependListener('connection', (socket: Socket) => {
    socket.on('error', () => undefined);
    if (!isPeer(socket.remoteAddress ?? '')) socket.destroy();
  });
  await listening(server, settings);
  signal.addEventListener(
    'abort',
    () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
    { once: true },
  );
}

function open({ tls, maxConnections, messageTimeoutMs }: ListenerSettings, accept: (socket: Socket) => void): Server {
  if (!tls) return createServer({ keepAlive: true, noDelay: true }, accept);
  const server = createTlsServer({ ...tlsOptions(tls), handshakeTimeout: messageTimeoutMs }, accept);
  server.on('tlsClientError', () => undefined);
  server.maxConnections = 2 * maxConnections;
  return server;
}

function tlsOptions({ cert, key, clientCa }: NonNullable<ListenerSettings['tls']>): TlsOptions {
  try {
    const client = clientCa ? { ca: readFileSync(clientCa), requestCert: true, rejectUnauthorized: true } : {};
    return { cert: readFileSync(cert), key: readFileSync(key), minVersion: 'TLSv1.2', ...client };
  } catch (error) {
    throw new SourceError('refused', 'The certificate or key of the listener can not be read.', { cause: error });
  }
}

function listening(server: Server, { host, port }: ListenerSettings): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        new SourceError('unreachable', `The hub can not listen on port ${port} (${error.code ?? error.name}).`, { cause: error }),
      ),
    );
    server.listen({ host, port }, () => {
      server.on('error', () => undefined);
      resolve();
    });
  });
}

/** One connection: while a message is answered nothing more is read, so what waits is bounded by the sockets' buffers. */
function serve(socket: Socket, settings: ListenerSettings, answer: Answer): void {
  const reader = createFrameReader(settings);
  const waiting: Frame[] = [];
  let answering = false;
  let overdue: NodeJS.Timeout | undefined;
  /** A message that has begun has to end in time, as long as somebody reads. */
  const watch = (): void => {
    clearTimeout(overdue);
    overdue = reader.isInside && !answering ? setTimeout(() => socket.destroy(), settings.messageTimeoutMs).unref() : undefined;
  };
  const work = async (): Promise<void> => {
    answering = true;
    socket.pause();
    watch();
    for (let frame = waiting.shift(); frame && !socket.destroyed; frame = waiting.shift())
      for (const reply of await answer(frame)) socket.write(framed(reply));
    answering = false;
    watch();
    socket.resume();
  };
  const take = (chunk: Buffer): void => {
    const wasInside = reader.isInside;
    const frames = reader.push(chunk);
    waiting.push(...frames);
    if (frames.length > 0 || !wasInside) watch();
    if (waiting.length > 0 && !answering) work().catch(() => socket.destroy());
  };
  socket.setTimeout(settings.idleTimeoutMs, () => !answering && socket.destroy());
  socket.once('close', () => clearTimeout(overdue));
  socket.on('error', () => undefined);
  socket.on('data', (chunk: Buffer) => {
    try {
      take(chunk);
    } catch (error) {
      if (!(error instanceof NotMllp)) throw error;
      socket.destroy();
    }
  });
}
