import type { ByteSource } from './byte-source.js';
import { type DicomLimits, DicomProblem } from './problem.js';
import { dictionaryVr, hasLongForm, isVr } from './vr.js';

/** How a data set is encoded (PS3.5 annex A). */
export interface Encoding {
  explicit: boolean;
  littleEndian: boolean;
}

/** One Data Element (PS3.5 7.1). */
export interface Element {
  /** `GGGGEEEE`, upper case, as in the DICOM JSON model. */
  tag: string;
  vr: string;
  /** Position of the element in its source, and of what comes after it. */
  start: number;
  end: number;
  /** Position of the value in its source. */
  offset: number;
  /** -1 when undefined. */
  length: number;
  /** Absent for sequences and for values that were left on disk. */
  value?: Buffer;
  items?: DataSet[];
}

export interface DataSet extends Encoding {
  elements: Map<string, Element>;
  /** Of an item: where its content begins and ends in the source, and whether a delimiter says so. */
  item?: { start: number; end: number; isDelimited: boolean };
}

/** Pixel Data, Float Pixel Data and Double Float Pixel Data: the header ends before them. */
const pixelDataTags = new Set(['7FE00010', '7FE00008', '7FE00009']);
const itemTag = 'FFFEE000';
const itemEnd = 'FFFEE00D';
const sequenceEnd = 'FFFEE0DD';
const undefinedLength = 0xffffffff;
const windowSize = 64 * 1024;

/**
 * Reads the elements of a data set from `start` up to the pixel data (PS3.5 section 7), which is located but not read.
 * Long values stay on disk and everything is bounded. That, the 64-bit representations (OV, SV, UV) and random access are
 * why this isn't done by dicom-parser, which wants the whole object in memory and follows any nesting.
 * @param wanted ends the reading before the first element that it refuses.
 * @returns the elements and the position after the last one.
 * @throws DicomProblem `truncated`, `malformed` or `too-large`.
 */
export async function readDataSet(
  source: ByteSource,
  start: number,
  encoding: Encoding,
  limits: DicomLimits,
  wanted: (tag: string) => boolean = () => true,
): Promise<{ dataSet: DataSet; pixelData?: Element; end: number }> {
  const dataSet: DataSet = { elements: new Map(), ...encoding };
  const budget = { elements: limits.maxElements };
  const window = (at: number, size = windowSize) => Reader.at(source, at, Math.max(size, windowSize), encoding, limits, budget);
  let reader = await window(start);
  let position = start;
  while (position < source.length) {
    if (reader.end - position < 12 && reader.end < source.length) {
      reader = await window(position);
    }
    if (reader.isPadding(position)) break;
    if (!wanted(reader.tag(position))) break;
    const element = reader.elementHead(position);
    const valueEnd = element.offset + element.length;
    if (element.length >= 0 && valueEnd > source.length) throw truncated(element.tag);
    if (pixelDataTags.has(element.tag)) return { dataSet, pixelData: element, end: position };
    if (element.length > limits.maxInlineBytes && element.vr !== 'SQ') {
      dataSet.elements.set(element.tag, element);
      element.end = valueEnd;
      position = valueEnd;
      if (position > reader.end) reader = await window(position);
      continue;
    }
    const after = reader.complete(element, 0);
    if (after === undefined) {
      const size = element.length >= 0 ? valueEnd - position : (reader.end - position) * 4;
      reader = await window(position, size);
      continue;
    }
    dataSet.elements.set(element.tag, element);
    position = after;
  }
  // A stream's length is only known when it ends.
  if (position > source.length) throw truncated([...dataSet.elements.keys()].at(-1) ?? 'header');
  return { dataSet, end: position };
}

/** The window ended inside an element whose source goes on: read more and begin the element again. */
class WindowEnd extends Error {}

const truncated = (tag: string) => new DicomProblem('truncated', `The object ends inside element ${tag}.`);

/** Reads elements from a window on a source; positions are those of the source. */
class Reader {
  private constructor(
    private readonly bytes: Buffer,
    private readonly start: number,
    private readonly isLast: boolean,
    private readonly encoding: Encoding,
    private readonly limits: DicomLimits,
    private readonly budget: { elements: number },
  ) {}

  static async at(
    source: ByteSource,
    position: number,
    size: number,
    encoding: Encoding,
    limits: DicomLimits,
    budget: { elements: number },
  ): Promise<Reader> {
    const length = Math.min(size, source.length - position);
    if (length > limits.maxHeaderBytes) throw new DicomProblem('too-large', `The header exceeds ${limits.maxHeaderBytes} bytes.`);
    const bytes = await source.read(position, length);
    return new Reader(bytes, position, position + bytes.length >= source.length, encoding, limits, budget);
  }

  get end(): number {
    return this.start + this.bytes.length;
  }

  /** Zero bytes after the last element, which some writers leave. */
  isPadding(position: number): boolean {
    if (!this.isLast) return false;
    const rest = this.bytes.subarray(position - this.start);
    return (rest.length < 8 || rest.readUInt32LE(0) === 0) && rest.every((byte) => byte === 0);
  }

  /** Tag, representation and length of the element at `position`. */
  elementHead(position: number, encoding = this.encoding): Element {
    this.budget.elements -= 1;
    if (this.budget.elements < 0)
      throw new DicomProblem('too-large', `The header has more than ${this.limits.maxElements} elements.`);
    const tag = this.tag(position, encoding);
    if (tag.startsWith('FFFE') || !encoding.explicit) {
      const length = this.uint32(position + 4, encoding);
      const vr = tag.startsWith('FFFE') ? '' : this.implicitVr(tag, length, position + 8);
      return this.element(tag, vr, { start: position, offset: position + 8, length });
    }
    const vr = this.take(position + 4, 2).toString('latin1');
    if (!/^[A-Z0-9?\- \0]{2}$/.test(vr)) throw new DicomProblem('malformed', `Element ${tag} has no value representation.`);
    // PS3.5 6.2.2: a representation that is not known yet has the long form; old writers' inventions have the short one.
    const isLong = hasLongForm(vr) || (!isVr(vr) && this.uint16(position + 6, encoding) === 0);
    const offset = position + (isLong ? 12 : 8);
    const length = isLong ? this.uint32(position + 8, encoding) : this.uint16(position + 6, encoding);
    return this.element(tag, isVr(vr) ? vr : 'UN', { start: position, offset, length });
  }

  /** Reads the value or the items of `element`. Returns the position after it, or undefined when the window is too small. */
  complete(element: Element, depth: number): number | undefined {
    try {
      return this.value(element, depth, this.encoding);
    } catch (error) {
      if (error instanceof WindowEnd) return undefined;
      throw error;
    }
  }

  private value(element: Element, depth: number, encoding: Encoding): number {
    element.end = this.valueEnd(element, depth, encoding);
    return element.end;
  }

  private valueEnd(element: Element, depth: number, encoding: Encoding): number {
    if (depth > this.limits.maxDepth) throw new DicomProblem('too-large', `Sequences nest deeper than ${this.limits.maxDepth}.`);
    if (element.vr === 'SQ') return this.items(element, depth, encoding);
    // PS3.5 6.2.2 note 2: UN of undefined length is a sequence in implicit VR little endian.
    if (element.length < 0 && element.vr === 'UN') return this.items(element, depth, { explicit: false, littleEndian: true });
    if (element.length < 0) return this.skipFragments(element);
    element.value = this.take(element.offset, element.length, element.tag);
    return element.offset + element.length;
  }

  private items(element: Element, depth: number, encoding: Encoding): number {
    element.items = [];
    element.vr = 'SQ';
    const end = element.length < 0 ? Number.POSITIVE_INFINITY : element.offset + element.length;
    let position = element.offset;
    while (position < end) {
      const item = this.elementHead(position, encoding);
      if (item.tag === sequenceEnd && element.length < 0) return item.offset;
      if (item.tag !== itemTag) throw new DicomProblem('malformed', `Sequence ${element.tag} holds something else than items.`);
      position = this.item(element, item, depth, encoding);
    }
    return position;
  }

  private item(sequence: Element, item: Element, depth: number, encoding: Encoding): number {
    const bounds = { start: item.offset, end: item.offset + item.length, isDelimited: item.length < 0 };
    const dataSet: DataSet = { elements: new Map(), ...encoding, item: bounds };
    sequence.items?.push(dataSet);
    const end = item.length < 0 ? Number.POSITIVE_INFINITY : item.offset + item.length;
    let position = item.offset;
    while (position < end) {
      const element = this.elementHead(position, encoding);
      if (element.tag === itemEnd) {
        bounds.end = element.start;
        return element.offset;
      }
      if (element.offset + element.length > end)
        throw new DicomProblem('malformed', `Element ${element.tag} is longer than its item.`);
      position = this.value(element, depth + 1, encoding);
      dataSet.elements.set(element.tag, element);
    }
    return position;
  }

  /** Encapsulated pixel data inside a sequence, such as an icon: its fragments are stepped over. */
  private skipFragments(element: Element): number {
    let position = element.offset;
    for (;;) {
      const fragment = this.elementHead(position);
      if (fragment.tag === sequenceEnd) return fragment.offset;
      if (fragment.tag !== itemTag || fragment.length < 0)
        throw new DicomProblem('malformed', `Element ${element.tag} has no fragments.`);
      this.take(fragment.offset, fragment.length, element.tag);
      position = fragment.offset + fragment.length;
    }
  }

  private element(tag: string, vr: string, { start, offset, length }: Pick<Element, 'start' | 'offset' | 'length'>): Element {
    if (length === undefinedLength) return { tag, vr, start, end: start, offset, length: -1 };
    const known = vr === 'UN' ? dictionaryVr(tag) : vr;
    // A sequence of known length that was sent as UN keeps its bytes: it is encoded unlike what is around it.
    return { tag, vr: vr === 'UN' && known === 'SQ' ? 'UN' : known, start, end: start, offset, length };
  }

  private implicitVr(tag: string, length: number, offset: number): string {
    const vr = dictionaryVr(tag);
    if (vr !== 'UN') return vr;
    if (length === undefinedLength) return 'SQ';
    return length >= 8 && this.has(offset, 4) && this.tag(offset) === itemTag ? 'SQ' : 'UN';
  }

  tag(position: number, encoding = this.encoding): string {
    const value = this.uint16(position, encoding) * 0x10000 + this.uint16(position + 2, encoding);
    return value.toString(16).toUpperCase().padStart(8, '0');
  }

  private uint16(position: number, encoding: Encoding): number {
    const bytes = this.take(position, 2);
    return encoding.littleEndian ? bytes.readUInt16LE(0) : bytes.readUInt16BE(0);
  }

  private uint32(position: number, encoding: Encoding): number {
    const bytes = this.take(position, 4);
    return encoding.littleEndian ? bytes.readUInt32LE(0) : bytes.readUInt32BE(0);
  }

  private has(position: number, length: number): boolean {
    return position + length <= this.end;
  }

  private take(position: number, length: number, tag = 'header'): Buffer {
    if (!this.has(position, length)) {
      if (this.isLast) throw truncated(tag);
      throw new WindowEnd();
    }
    return this.bytes.subarray(position - this.start, position - this.start + length);
  }
}
