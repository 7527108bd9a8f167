import { once } from 'node:events';
import type { Socket } from 'node:net';
import { SourceError } from '../../connector.js';
import { type Command, decodeCommand, encodeCommand } from '../messages/command.js';
import {
  type AbortSource,
  abortPdu,
  maxControlPdu,
  pduHeaderLength,
  pduTypes,
  pdvHeaderLength,
  protocolError,
  releaseRequest,
  releaseResponse,
} from './pdu.js';
import type { SocketReader } from './socket-reader.js';

/** An accepted presentation context. */
export interface Context {
  id: number;
  abstractSyntax: string;
  transferSyntax: string;
}

/** What both sides agreed to. */
export interface Agreement {
  contexts: readonly Context[];
  /** Longest P-DATA-TF body that the peer takes, and that this side takes. */
  sendLimit: number;
  receiveLimit: number;
  /** Requests that this side may send before the first is answered. */
  window: number;
  calledAeTitle: string;
  callingAeTitle: string;
}

/** Limits to waiting, in milliseconds. */
export interface Waits {
  /** For the answer to an association or release (PS3.8's ARTIM timer). */
  artimMs: number;
  /** For the answer to a message. */
  responseMs: number;
  /** Within a message, and until the peer takes what is sent. */
  idleMs: number;
}

/** A DIMSE message (PS3.7): its data set is read, fragment by fragment, before the next message. */
export interface Message {
  contextId: number;
  command: Command;
  data: AsyncIterable<Buffer>;
}

const maxCommandLength = 64 * 1024;

/**
 * An open association over a socket: P-DATA, release and abort (PS3.8 section 9.2). Nothing is read from the socket before somebody asks, so that a slow
 * reader makes the peer wait. Errors are SourceErrors; after one the association is gone.
 */
export class Association {
  /** Bytes of the current P-DATA-TF that are still to be read. */
  private left = 0;
  private unread: AsyncGenerator<Buffer> | undefined;
  private isOver = false;

  constructor(
    private readonly socket: Socket,
    private readonly reader: SocketReader,
    readonly agreement: Agreement,
    private readonly waits: Waits,
  ) {}

  context(abstractSyntax: string, transferSyntax?: string): Context | undefined {
    return this.agreement.contexts.find(
      (context) =>
        context.abstractSyntax === abstractSyntax && (transferSyntax === undefined || context.transferSyntax === transferSyntax),
    );
  }

  /** Sends a message in fragments that the peer takes. Messages are sent one after the other. */
  async send(contextId: number, command: Command, data?: Uint8Array): Promise<void> {
    await this.guarded(async () => {
      await this.write(contextId, encodeCommand({ ...command, hasDataSet: data !== undefined }), 1);
      if (data !== undefined) await this.write(contextId, data, 0);
    });
  }

  /** Reads and forgets what is left of the last message's data set. @throws SourceError when that is more than so many bytes. */
  async skip(most = Number.POSITIVE_INFINITY): Promise<void> {
    await this.guarded(async () => {
      let bytes = 0;
      for await (const fragment of this.unread ?? []) {
        bytes += fragment.length;
        if (bytes > most) throw protocolError('a data set has no end');
      }
      this.unread = undefined;
    });
  }

  /** The next message; undefined when the peer released the association. The rest of the message before is skipped. */
  async receive(waitMs = this.waits.responseMs): Promise<Message | undefined> {
    await this.skip();
    return this.guarded(async () => {
      const received = await this.readCommand(waitMs);
      if (!received) return undefined;
      const { contextId, bytes } = received;
      const command = decodeCommand(bytes);
      if (command.hasDataSet) this.unread = this.fragments(contextId);
      return { contextId, command, data: this.readData(this.unread) };
    });
  }

  /** A-RELEASE. The connection is closed whatever the peer says. */
  async release(): Promise<void> {
    if (this.isOver) return;
    this.isOver = true;
    try {
      this.socket.write(releaseRequest());
      await this.untilReleased(performance.now() + this.waits.artimMs);
    } catch {
      // What it came for is done.
    } finally {
      this.socket.destroy();
    }
  }

  /** A-ABORT, and the end of the connection. Whoever waits for the association gets `error`. */
  abort(error: Error, source: AbortSource = 'user', reason = 0): void {
    if (!this.isOver) this.socket.end(abortPdu(source, reason));
    this.isOver = true;
    this.reader.giveUp(error);
    // The peer closes; one that doesn't is cut off.
    setTimeout(() => this.socket.destroy(), Math.min(this.waits.artimMs, 1_000)).unref();
    this.socket.resume();
  }

  /** Any failure ends the association: what comes after it could not be told apart. */
  private async guarded<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const isProtocol = error instanceof SourceError && error.code === 'bad-response';
      this.abort(error as Error, isProtocol ? 'provider' : 'user', isProtocol ? 2 : 0);
      throw error;
    }
  }

  private async *readData(data: AsyncGenerator<Buffer> | undefined): AsyncGenerator<Buffer> {
    for (;;) {
      const next = await this.guarded(async () => (data ? data.next() : undefined));
      if (!next || next.done) return;
      yield next.value;
    }
  }

  private async readCommand(waitMs: number): Promise<{ contextId: number; bytes: Buffer } | undefined> {
    const parts: Buffer[] = [];
    let length = 0;
    let contextId: number | undefined;
    for (;;) {
      const value = await this.nextValue(contextId === undefined ? waitMs : this.waits.idleMs);
      if (value === undefined && contextId === undefined) return undefined;
      if (!value?.isCommand || (contextId !== undefined && value.contextId !== contextId))
        throw protocolError('a message does not begin with a whole command');
      contextId = value.contextId;
      length += value.length;
      if (length > maxCommandLength) throw protocolError('a command is too long');
      if (value.length > 0) parts.push(await this.reader.exactly(value.length, this.waits.idleMs));
      if (value.isLast) return { contextId, bytes: Buffer.concat(parts) };
    }
  }

  private async *fragments(contextId: number): AsyncGenerator<Buffer> {
    for (let isLast = false; !isLast; ) {
      const value = await this.nextValue(this.waits.idleMs);
      if (!value || value.isCommand || value.contextId !== contextId) throw protocolError('a data set is not sent to its end');
      for (let left = value.length; left > 0; ) {
        const chunk = await this.reader.some(left, this.waits.idleMs);
        left -= chunk.length;
        yield chunk;
      }
      isLast = value.isLast;
    }
  }

  /** Head of the next presentation data value; undefined when the peer released the association. */
  private async nextValue(waitMs: number) {
    if (this.left === 0 && !(await this.nextDataPdu(waitMs))) return undefined;
    const head = this.left < pdvHeaderLength ? undefined : await this.reader.exactly(pdvHeaderLength, this.waits.idleMs);
    const length = head ? head.readUInt32BE(0) - 2 : -1;
    if (!head || length < 0 || length > this.left - pdvHeaderLength) throw protocolError('a data value does not fit its PDU');
    this.left -= pdvHeaderLength + length;
    const contextId = head[4]!;
    if (!this.agreement.contexts.some(({ id }) => id === contextId)) throw protocolError('a message is of no accepted context');
    return { contextId, isCommand: (head[5]! & 1) === 1, isLast: (head[5]! & 2) === 2, length };
  }

  private async nextDataPdu(waitMs: number): Promise<boolean> {
    const { type, length } = await this.pduHeader(waitMs);
    if (type === pduTypes.data) {
      if (length === 0 || length > this.agreement.receiveLimit) throw protocolError('a PDU is empty or longer than was agreed');
      this.left = length;
      return true;
    }
    if (type === pduTypes.abort) throw new SourceError('bad-response', 'The peer aborted the association.');
    if (type !== pduTypes.releaseRequest) throw protocolError('an unexpected PDU came');
    this.isOver = true;
    this.socket.end(releaseResponse());
    setTimeout(() => this.socket.destroy(), this.waits.artimMs).unref();
    this.socket.resume();
    return false;
  }

  private async pduHeader(waitMs: number): Promise<{ type: number; length: number }> {
    const header = await this.reader.exactly(pduHeaderLength, waitMs);
    return { type: header[0]!, length: header.readUInt32BE(2) };
  }

  private async untilReleased(until: number): Promise<void> {
    for (;;) {
      const { type, length } = await this.pduHeader(until - performance.now());
      if (type === pduTypes.releaseResponse || type === pduTypes.abort) return;
      if (type === pduTypes.releaseRequest) this.socket.write(releaseResponse());
      if (length > Math.max(maxControlPdu, this.agreement.receiveLimit)) return;
      for (let left = length; left > 0; ) left -= (await this.reader.some(left, until - performance.now())).length;
    }
  }

  private async write(contextId: number, bytes: Uint8Array, command: 0 | 1): Promise<void> {
    const most = this.agreement.sendLimit - pdvHeaderLength;
    for (let at = 0; at === 0 || at < bytes.length; at += most) {
      const part = bytes.subarray(at, at + most);
      const head = Buffer.alloc(pduHeaderLength + pdvHeaderLength);
      head[0] = pduTypes.data;
      head.writeUInt32BE(pdvHeaderLength + part.length, 2);
      head.writeUInt32BE(part.length + 2, pduHeaderLength);
      head[10] = contextId;
      head[11] = command | (at + most >= bytes.length ? 2 : 0);
      await this.flush(head, part);
    }
  }

  private async flush(...parts: Uint8Array[]): Promise<void> {
    if (this.reader.failure) throw this.reader.failure;
    this.socket.cork();
    const taken = parts.map((part) => this.socket.write(part));
    this.socket.uncork();
    if (taken.at(-1) || !this.socket.writableNeedDrain) return;
    const overdue = new AbortController();
    const timer = setTimeout(() => overdue.abort(), this.waits.idleMs);
    const closed = once(this.socket, 'close', { signal: overdue.signal });
    try {
      await Promise.race([once(this.socket, 'drain', { signal: overdue.signal }), closed]);
      if (this.socket.destroyed) throw this.reader.failure ?? new SourceError('unreachable', 'The peer closed the connection.');
    } catch (error) {
      if ((error as Error).name === 'AbortError') throw new SourceError('timeout', 'The peer does not take what is sent.');
      throw error;
    } finally {
      clearTimeout(timer);
      closed.catch(() => undefined);
      overdue.abort();
    }
  }
}
