import type { Socket } from 'node:net';
import { SourceError } from '../../connector.js';
import { asSourceError } from '../../outbound.js';

/** Bytes that are held for a reader who does not come: above that the socket is left unread, and the peer has to wait. */
const highWater = 256 * 1024;

/** Reads a socket when asked, with a limit to every wait; nothing is copied but what spans two chunks. */
export class SocketReader {
  private readonly chunks: Buffer[] = [];
  private held = 0;
  private ended: Error | undefined;
  private wake: (() => void) | undefined;

  constructor(private readonly socket: Socket) {
    socket.on('data', (chunk) => {
      if (this.ended) return;
      this.chunks.push(chunk);
      this.held += chunk.length;
      if (this.held >= highWater) socket.pause();
      this.wake?.();
    });
    socket.on('error', (error) => this.fail(asSourceError(error) as Error));
    socket.on('end', () => this.fail(closed())).on('close', () => this.fail(closed()));
  }

  /** Ends all reading, also of what came already: whoever waits is told this. */
  giveUp(error: Error): void {
    this.chunks.length = 0;
    this.fail(error);
  }

  private fail(error: Error): void {
    this.ended ??= error;
    this.wake?.();
  }

  /** Whether the connection is gone, or given up. */
  get failure(): Error | undefined {
    return this.ended;
  }

  /** The next bytes, at least one and at most `max`. @throws SourceError `timeout` after `waitMs`, `unreachable` at the end. */
  async some(max: number, waitMs: number): Promise<Buffer> {
    while (this.chunks.length === 0) await this.more(waitMs);
    const chunk = this.chunks[0]!;
    const taken = chunk.length <= max ? chunk : chunk.subarray(0, max);
    if (taken === chunk) this.chunks.shift();
    else this.chunks[0] = chunk.subarray(max);
    this.held -= taken.length;
    if (this.held < highWater && this.socket.isPaused()) this.socket.resume();
    return taken;
  }

  /** Exactly so many bytes, all within `waitMs`. */
  async exactly(length: number, waitMs: number): Promise<Buffer> {
    const until = performance.now() + waitMs;
    const first = await this.some(length, waitMs);
    if (first.length === length) return first;
    const parts = [first];
    for (let left = length - first.length; left > 0; left -= parts.at(-1)!.length)
      parts.push(await this.some(left, until - performance.now()));
    return Buffer.concat(parts);
  }

  private more(waitMs: number): Promise<void> {
    if (this.ended) return Promise.reject(this.ended);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => settle(() => reject(new SourceError('timeout', 'The peer does not answer in time.'))),
        Math.max(waitMs, 0),
      );
      const settle = (how: () => void): void => {
        clearTimeout(timer);
        this.wake = undefined;
        how();
      };
      this.wake = () => settle(() => (this.chunks.length > 0 ? resolve() : reject(this.ended)));
    });
  }
}

const closed = (): SourceError => new SourceError('unreachable', 'The peer closed the connection.');
