/** Minimal Lower Layer Protocol (HL7 v2.5.1 transport specification, release 1): a message stands between <VT> and <FS><CR>. */

const VT = 0x0b;
const FS = 0x1c;
const CR = 0x0d;

export interface FrameLimits {
  /** Longest message, bytes. */
  maxMessageBytes: number;
  /** Most bytes that may stand between messages before a connection is no MLLP. */
  maxGarbageBytes: number;
}

/** Messages in the order in which they came; `too-large`: one that was over the limit, of which the beginning is kept. */
export type Frame = { kind: 'message'; bytes: Buffer } | { kind: 'too-large'; bytes: Buffer };

/** A peer that does not speak MLLP. */
export class NotMllp extends Error {}

/** What is kept of a message that is too large: its header, so that it can be answered. */
const HEAD = 4_096;

export interface FrameReader {
  /** Takes the next bytes. @returns the messages that end in them. @throws NotMllp */
  push(chunk: Buffer): Frame[];
  /** Whether a message has begun and not ended. */
  readonly isInside: boolean;
}

/**
 * Takes a stream of bytes apart, however it is cut into chunks. What stands between messages is skipped. A <VT> inside a message begins it anew:
 * the sender gave the one before up. A <FS> that no <CR> follows is a byte of the message, which its parser refuses.
 */
export function createFrameReader({ maxMessageBytes, maxGarbageBytes }: FrameLimits): FrameReader {
  let parts: Buffer[] = [];
  let length = 0;
  let inside = false;
  let endsWithFs = false;
  let garbage = 0;

  const keep = (bytes: Buffer): void => {
    const wasWhole = length <= maxMessageBytes;
    length += bytes.length;
    if (length <= maxMessageBytes) parts.push(Buffer.from(bytes));
    else if (wasWhole) parts = [Buffer.from(Buffer.concat([...parts, bytes]).subarray(0, HEAD))];
  };
  const begin = (): void => {
    parts = [];
    length = 0;
    inside = true;
    endsWithFs = false;
  };
  const end = (): Frame => {
    inside = false;
    endsWithFs = false;
    const bytes = Buffer.concat(parts);
    parts = [];
    return { kind: length <= maxMessageBytes ? 'message' : 'too-large', bytes };
  };

  /** Reads from `at`; returns where the next step begins. */
  const step = (chunk: Buffer, at: number, frames: Frame[]): number => {
    if (!inside) {
      const start = chunk.indexOf(VT, at);
      garbage += (start < 0 ? chunk.length : start) - at;
      if (garbage > maxGarbageBytes) throw new NotMllp('what comes is no MLLP');
      if (start < 0) return chunk.length;
      begin();
      return start + 1;
    }
    if (endsWithFs) {
      endsWithFs = false;
      if (chunk[at] === CR) {
        frames.push(end());
        garbage = 0;
        return at + 1;
      }
      keep(Buffer.of(FS));
    }
    const mark = nextMark(chunk, at);
    keep(chunk.subarray(at, mark));
    if (mark === chunk.length) return mark;
    if (chunk[mark] === VT) begin();
    else endsWithFs = true;
    return mark + 1;
  };

  return {
    push(chunk) {
      const frames: Frame[] = [];
      for (let at = 0; at < chunk.length; ) at = step(chunk, at, frames);
      return frames;
    },
    get isInside() {
      return inside;
    },
  };
}

function nextMark(chunk: Buffer, from: number): number {
  for (let at = from; at < chunk.length; at += 1) if (chunk[at] === VT || chunk[at] === FS) return at;
  return chunk.length;
}

/** A message in its frame. */
export const framed = (message: Buffer): Buffer => Buffer.concat([Buffer.of(VT), message, Buffer.of(FS, CR)]);
