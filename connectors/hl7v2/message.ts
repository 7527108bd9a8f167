import { Hl7Message, type Hl7Segment } from '@medplum/core';
import { type CharacterSet, characterSetOf, decode } from './character-set.js';
import { unescaped } from './escapes.js';
import { Hl7Problem, type Place } from './problem.js';

/** An HL7 v2 message, its values without escape sequences. */
export interface Message {
  /** MSH-9: `ADT`, `A08`. */
  type: string;
  event: string;
  /** MSH-10. */
  controlId: string;
  header: Segment;
  segments: readonly Segment[];
  first(name: string): Segment | undefined;
  all(name: string): Segment[];
}

/** What a field that holds `""` says: the value is deleted (2.5.3). */
export const DELETED = '""';

export class Segment {
  constructor(
    private readonly segment: Hl7Segment,
    private readonly set: CharacterSet,
    readonly name: string,
    /** The how manieth of its name, from 1. */
    readonly ordinal: number,
  ) {}

  place(field: number, more: Pick<Place, 'repetition' | 'component'> = {}): Place {
    return { segment: this.name, ordinal: this.ordinal, field, ...more };
  }

  /** A value, '' where there is none. Counted from 1, repetitions too. */
  value(field: number, component = 1, { repetition = 1, sub = 1 }: { repetition?: number; sub?: number } = {}): string {
    const parts = this.segment.getField(field)?.components[repetition - 1]?.[component - 1];
    if (parts === undefined) return '';
    return this.plain(parts.split(this.segment.context.subcomponentSeparator)[sub - 1] ?? '', { field, component, repetition });
  }

  /** A field of text as one value: separators in it that the sender did not escape are text. */
  text(field: number, repetition = 1): string {
    const { context } = this.segment;
    const components = this.segment.getField(field)?.components[repetition - 1] ?? [];
    return this.plain(components.join(context.componentSeparator), { field, repetition });
  }

  /** How many repetitions a field has; an empty one has none. */
  repetitions(field: number): number {
    const all = this.segment.getField(field)?.components ?? [];
    return all.some((components) => components.some((c) => c !== '')) ? all.length : 0;
  }

  private plain(raw: string, { field, ...more }: Pick<Place, 'repetition' | 'component'> & { field: number }): string {
    try {
      const value = unescaped(raw, this.segment.context, this.set);
      if (FORBIDDEN.test(value)) throw new Hl7Problem(102, 'not-hl7', 'A value holds a control character.');
      return value.trim();
    } catch (error) {
      if (!(error instanceof Hl7Problem)) throw error;
      throw new Hl7Problem(error.code, error.reason, error.message, this.place(field, more));
    }
  }
}

/** Tab, line feed and carriage return are the only control characters of a text. */
const FORBIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]|\p{Cs}/u;

export interface MessageLimits {
  characterSet: CharacterSet;
  maxSegments: number;
}

/**
 * Reads a message. Decoded first, then taken apart: in GB 18030 the second byte of a character may look like a separator.
 * @throws Hl7Problem
 */
export function parseMessage(bytes: Buffer, { characterSet, maxSegments }: MessageLimits): Message {
  const head = headerOf(bytes);
  const set = characterSetOf(head[17] ?? '', characterSet);
  const text = decode(bytes, set).replace(/^[\r\n]+|[\r\n]+$/g, '');
  if (countOf(text) > maxSegments) throw new Hl7Problem(207, 'too-large', `A message has at most ${maxSegments} segments.`);
  const counts = new Map<string, number>();
  const segments = Hl7Message.parse(text).segments.map((segment) => {
    const name = segment.name ?? '';
    const ordinal = (counts.get(name) ?? 0) + 1;
    counts.set(name, ordinal);
    if (!/^[A-Z][A-Z0-9]{2}$/.test(name))
      throw new Hl7Problem(100, 'not-hl7', 'A line does not begin with the name of a segment.');
    return new Segment(segment, set, name, ordinal);
  });
  const [header] = segments;
  if (!header || (counts.get('MSH') ?? 0) !== 1) throw new Hl7Problem(100, 'not-hl7', 'A message begins with its one MSH.');
  return {
    type: header.value(9),
    event: header.value(9, 2),
    controlId: header.value(10),
    header,
    segments,
    first: (name) => segments.find((s) => s.name === name),
    all: (name) => segments.filter((s) => s.name === name),
  };
}

/**
 * The fields of the header as they stand, `[0]` being MSH-1: enough to answer a message that can't be read. Not decoded: what an answer repeats of it
 * is ASCII. @throws Hl7Problem when it does not begin like a message.
 */
export function headerOf(bytes: Buffer): string[] {
  const start = bytes
    .subarray(0, 4_096)
    .toString('latin1')
    .replace(/^[\r\n]+/, '');
  const [line = ''] = start.split(/[\r\n]/);
  const separator = line[3] ?? '';
  if (!line.startsWith('MSH') || /[A-Za-z0-9\s]/.test(separator) || separator === '')
    throw new Hl7Problem(100, 'not-hl7', 'What came does not begin with MSH.', { segment: 'MSH' });
  const [, encoding = '', ...rest] = line.split(separator);
  const marks = separator + encoding;
  if (!/^[!-/:-@[-`{-~]{5,6}$/.test(marks) || new Set(marks).size !== marks.length)
    throw new Hl7Problem(102, 'not-hl7', 'MSH-2 holds no usable separators.', { segment: 'MSH', field: 2 });
  return [separator, encoding, ...rest];
}

function countOf(text: string): number {
  let count = 1;
  for (let i = 0; i < text.length; i += 1) if (text[i] === '\r' || text[i] === '\n') count += 1;
  return count;
}
