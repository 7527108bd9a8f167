import type { Writable } from 'node:stream';
import type { PixelProblemCode } from '../../../connectors/dicom/pixels/problem.js';
import type { Window } from '../../../connectors/dicom/pixels/window.js';

/** What is to be made of one DICOM object, which follows the task as bytes. */
export type PixelTask =
  /** The object in Explicit VR Little Endian: one part. */
  | { kind: 'transcode' }
  /** Frames (from 1; all where none are named) as uncompressed little-endian cells: a part each. */
  | { kind: 'frames'; frames?: number[] }
  /** Frames as pictures: a part each. */
  | ({ kind: 'render'; frames?: number[] } & Rendering)
  /** The value of an attribute of the object: one part. */
  | { kind: 'bulk'; path: BulkPath };

/** Tags and item numbers (from 0) in turn: `['7FE00010']`, `['54000100', 0, '54001010']`. */
export type BulkPath = readonly (string | number)[];

export type PictureType = 'image/jpeg' | 'image/png' | 'image/gif';

/** How a picture is made (PS3.18 section 8.3.5.1). */
export interface Rendering {
  type: PictureType;
  /** 1 to 100, of JPEG. */
  quality?: number;
  window?: Window;
  viewport?: Viewport;
}

/** Largest width and height of the picture, and the part of the image that it shows, in pixels; a negative extent mirrors. */
export interface Viewport {
  width: number;
  height: number;
  region?: { x: number; y: number; width: number; height: number };
}

/** Head of a part of the answer. */
export interface PartHead {
  mediaType: string;
  transferSyntaxUid?: string;
  frame?: number;
}

export type PixelFailureCode = PixelProblemCode | 'no-such-part' | 'timeout' | 'out-of-memory' | 'crashed' | 'busy';

/** What goes through the pipes between the hub and a process: a letter, a length, so many bytes. */
export type Message =
  | { type: 'task' | 'head' | 'failure'; payload: Buffer }
  | { type: 'data'; payload: Buffer }
  | { type: 'end-of-object' | 'end-of-part' | 'end'; payload: Buffer };

const letters = { task: 'T', head: 'H', failure: 'F', data: 'D', 'end-of-object': 'O', 'end-of-part': 'P', end: 'E' } as const;
const types = new Map(Object.entries(letters).map(([type, letter]) => [letter.charCodeAt(0), type as Message['type']]));
const HEAD = 5;
/** Longest payload of one message; longer data is sent in pieces. */
const MOST = 1024 * 1024;

/** Writes a message, in pieces where it is long; resolves when the stream takes more. Rejects when the other side is gone. */
export async function send(stream: Writable, type: Message['type'], payload: Uint8Array = new Uint8Array()): Promise<void> {
  for (let at = 0; at === 0 || at < payload.length; at += MOST) {
    const piece = payload.subarray(at, at + MOST);
    const head = Buffer.allocUnsafe(HEAD);
    head.write(letters[type], 0, 'latin1');
    head.writeUInt32LE(piece.length, 1);
    stream.cork();
    stream.write(head);
    const goesOn = stream.write(piece);
    stream.uncork();
    if (!goesOn) await drained(stream);
  }
}

export const sendJson = (stream: Writable, type: 'task' | 'head' | 'failure', value: unknown): Promise<void> =>
  send(stream, type, Buffer.from(JSON.stringify(value)));

function drained(stream: Writable): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (error?: Error): void => {
      stream.off('drain', settle).off('close', closed).off('error', settle);
      if (error) reject(error);
      else resolve();
    };
    const closed = (): void => settle(new Error('the other side is gone'));
    if (stream.destroyed) return closed();
    stream.once('drain', settle).once('close', closed).once('error', settle);
  });
}

/** Messages from a stream of bytes. @throws Error for what is no message: the other side is not believed. */
export async function* messages(stream: AsyncIterable<Buffer>): AsyncGenerator<Message> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of stream) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (rest.length >= HEAD) {
      const type = types.get(rest[0]!);
      const length = rest.readUInt32LE(1);
      if (!type || length > MOST) throw new Error('no message');
      if (rest.length < HEAD + length) break;
      yield { type, payload: rest.subarray(HEAD, HEAD + length) };
      rest = rest.subarray(HEAD + length);
    }
  }
}
