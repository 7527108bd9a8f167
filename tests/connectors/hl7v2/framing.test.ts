import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { createFrameReader, type Frame, NotMllp } from '../../../connectors/hl7v2/mllp.js';

const limits = { maxMessageBytes: 1_000, maxGarbageBytes: 100 };
const framed = (message: string): string => `\x0b${message}\x1c\r`;
const cut = (bytes: Buffer, places: readonly number[]): Buffer[] => {
  const ends = [...new Set(places.map((p) => p % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...ends].map((start, i) => bytes.subarray(start, ends[i] ?? bytes.length));
};
const read = (chunks: readonly Buffer[]): Frame[] => {
  const reader = createFrameReader(limits);
  return chunks.flatMap((chunk) => reader.push(chunk));
};
const texts = (frames: readonly Frame[]): string[] => frames.map(({ bytes }) => bytes.toString('utf8'));

const content = fc
  .string({ unit: fc.constantFrom('M', '|', '\r', '\x1c', '王', '~', ' '), maxLength: 40 })
  .map((s) => s.replace(/\x1c(?=\r)/g, '.'));
const noise = fc.string({ unit: fc.constantFrom('\r', '\n', 'x', '\x1c'), maxLength: 10 });

describe('MLLP', () => {
  it('gives the same messages however the stream is cut, with anything between them', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(noise, content), { maxLength: 6 }),
        fc.array(fc.nat(), { maxLength: 20 }),
        (parts, places) => {
          const messages = parts.map(([, message]) => (message.endsWith('\x1c') ? `${message}.` : message));
          const bytes = Buffer.from(parts.map(([garbage], i) => garbage + framed(messages[i] ?? '')).join(''));
          expect(texts(read(cut(bytes, places)))).toEqual(messages);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('begins a message anew at a start inside of it', () => {
    expect(texts(read([Buffer.from(`\x0bgiven up${framed('second')}`)]))).toEqual(['second']);
  });

  it('keeps of a message that is too large its beginning alone', () => {
    const large = Buffer.from(framed(`MSH|${'x'.repeat(20_000)}`));
    const [frame, next] = read([...cut(large, [5, 900, 1_100, 9_000]), Buffer.from(framed('small'))]);
    expect([frame?.kind, frame?.bytes.subarray(0, 4).toString(), next?.kind]).toEqual(['too-large', 'MSH|', 'message']);
    expect(frame?.bytes.length).toBeLessThan(5_000);
  });

  it('refuses a stream that is none', () => {
    expect(() => read([Buffer.from('GET / HTTP/1.1\r\n'.repeat(20))])).toThrow(NotMllp);
    expect(texts(read([Buffer.from(`${'.'.repeat(90)}${framed('a')}${'.'.repeat(90)}${framed('b')}`)]))).toEqual(['a', 'b']);
  });
});
