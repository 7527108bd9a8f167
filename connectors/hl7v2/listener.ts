import type { Socket } from 'node:net';
import { listenOn, type Place } from '../listen-on.js';
import { createFrameReader, type Frame, type FrameLimits, framed, NotMllp } from './mllp.js';

export interface ListenerSettings extends FrameLimits, Omit<Place, 'handshakeMs'> {
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
export const listenForMessages = (settings: ListenerSettings, answer: Answer, signal: AbortSignal): Promise<void> =>
  listenOn({ ...settings, handshakeMs: settings.messageTimeoutMs }, (socket) => serve(socket, settings, answer), signal);

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
  socket.on('data', (chunk: Buffer) => {
    try {
      take(chunk);
    } catch (error) {
      if (!(error instanceof NotMllp)) throw error;
      socket.destroy();
    }
  });
}
