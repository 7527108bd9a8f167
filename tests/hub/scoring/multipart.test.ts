import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { fetchStudy } from '../../../hub/scoring/fetch-study.js';
import { TooLarge, writeParts } from '../../../hub/scoring/multipart.js';
import type { Manifest } from '../../../models/manifest.js';

const TYPE = 'multipart/related; type="application/dicom"; boundary="b0"';
const LIMITS = { bytes: 100_000, parts: 10 };
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'multipart-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const message = (parts: readonly Uint8Array[]): Buffer =>
  Buffer.concat([
    ...parts.flatMap((part) => [Buffer.from('\r\n--b0\r\nContent-Type: application/dicom\r\n\r\n'), part]),
    Buffer.from('\r\n--b0--\r\n'),
  ]);

const inChunks = (bytes: Buffer, size: number): Readable =>
  Readable.from(Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size)));

describe('parts of a multipart stream', () => {
  it('arrive byte for byte, whatever they hold and however the stream is cut', async () => {
    // Bytes that look like the beginning of the delimiter are drawn on purpose.
    const piece = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.constantFrom('\r\n--b', '\r\n', '--b0', '\r\n--').map((t) => Buffer.from(t)),
    );
    const part = fc.array(piece, { maxLength: 6 }).map((pieces) => Buffer.concat(pieces));
    const clean = part.filter((bytes) => !Buffer.concat([Buffer.from('\r\n'), bytes, Buffer.from('\r')]).includes('\r\n--b0'));
    await fc.assert(
      fc.asyncProperty(fc.array(clean, { minLength: 1, maxLength: 5 }), fc.integer({ min: 1, max: 60 }), async (parts, size) => {
        const place = await mkdtemp(join(folder, 'x-'));
        const files = await writeParts(TYPE, inChunks(message(parts), size), place, LIMITS);
        expect(await Promise.all(files.map((file) => readFile(file)))).toEqual(parts);
      }),
      { numRuns: 60 },
    );
  });

  it('are private files', async () => {
    const [file] = await writeParts(TYPE, inChunks(message([Buffer.from('x')]), 7), folder, LIMITS);
    expect((await stat(file!)).mode & 0o777).toBe(0o600);
  });

  it('are refused when the stream ends before its closing delimiter', async () => {
    const cut = message([Buffer.from('abc')]).subarray(0, -10);
    await expect(writeParts(TYPE, inChunks(cut, 9), folder, LIMITS)).rejects.toMatchObject({ code: 'bad-response' });
  });

  it('are refused when the reply is no multipart, as from a log-in page', async () => {
    await expect(writeParts('text/html', Readable.from(['<html>']), folder, LIMITS)).rejects.toMatchObject({
      code: 'bad-response',
    });
  });

  it('are bounded in number, bytes and headers', async () => {
    const many = message(Array.from({ length: 11 }, () => Buffer.from('x')));
    await expect(writeParts(TYPE, inChunks(many, 50), folder, LIMITS)).rejects.toBeInstanceOf(TooLarge);
    const big = message([Buffer.alloc(100_001)]);
    const place = await mkdtemp(join(folder, 'x-'));
    await expect(writeParts(TYPE, inChunks(big, 5000), place, LIMITS)).rejects.toBeInstanceOf(TooLarge);
    const endless = Readable.from([Buffer.from('--b0\r\n'), Buffer.alloc(20_000, 'h')]);
    await expect(writeParts(TYPE, endless, place, LIMITS)).rejects.toMatchObject({ code: 'bad-response' });
  });

  it('are bounded over all series of a study', async () => {
    const series = [1, 2, 3].map((n) => ({ uid: `1.2.${n}`, modality: { code: 'CT' } }));
    const identifier = [{ system: 'urn:dicom:uid', value: 'urn:oid:1.2' }];
    const study = {
      ...{
        type: 'ImagingStudy',
        id: 's',
        patient_id: 'p',
        custodian_id: 'a',
        version: 1,
        last_updated: new Date(),
        deleted: false,
      },
      ...{ modality: ['CT'], body_site: [], date_from: null, labels: [], parties: [], meta: null },
      content: JSON.stringify({ series, identifier }),
    };
    const ct = { accepts: { modality: ['CT'] } } as unknown as Manifest;
    const retrieve = async () => ({ contentType: TYPE, body: inChunks(message([Buffer.alloc(100), Buffer.alloc(100)]), 50) });
    const fetched = async (bytes: number, parts: number) => {
      const place = await mkdtemp(join(folder, 'study-'));
      const limits = { ofSeries: { bytes: 1_000, parts: 10 }, ofStudy: { bytes, parts } };
      return fetchStudy(study, ct, place, retrieve as never, new AbortController().signal, limits);
    };
    expect(await fetched(600, 6)).toMatchObject({ ok: true, value: { files: { length: 6 } } });
    for (const [bytes, parts] of [
      [599, 6],
      [600, 5],
    ] as const)
      expect(await fetched(bytes, parts)).toMatchObject({ ok: false, code: 'not-applicable' });
  });
});
