import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import { decodeFrame } from '../../connectors/dicom/pixels/decode-frame.js';
import { PixelProblem } from '../../connectors/dicom/pixels/problem.js';
import { type ImageHeader, readFrame, readHeader } from '../../models/dicom/read-image.js';
import type { Outcome } from '../../models/outcome.js';
import { describeWithRealData } from '../support/real-data.js';

const base = '1.2.840.10008.1.2';
const lossless = ['.1', '.1.99', '.2', '.4.57', '.4.70', '.4.80', '.4.90', '.5'];
/** Largest and mean error in Hounsfield units that the coding may cost: one step of an 8-bit coding is 32, of a 12-bit one 2. */
const lossy: [string, number, number][] = [
  ['.4.50', 80, 25],
  ['.4.51', 40, 5],
  ['.4.53', 40, 5],
  ['.4.55', 40, 5],
  ['.4.81', 1, 1],
  ['.4.91', 6, 1],
];

const unwrap = <T>(outcome: Outcome<T>): T => {
  if (!outcome.ok) throw new Error(outcome.message);
  return outcome.value;
};

async function decode(path: string): Promise<{ header: ImageHeader; hounsfield: number[] }> {
  const bytes = await readFile(path);
  const header = unwrap(readHeader(bytes));
  const { samples } = await decodeFrame(unwrap(readFrame(bytes, header)), header);
  return { header, hounsfield: Array.from(samples, (value) => value * header.rescaleSlope + header.rescaleIntercept) };
}

describeWithRealData('decoding a CT image', (data) => {
  const folder = join(data, 'single-files', 'transfer-syntax');
  const ct = (syntax: string) => decode(join(folder, `CTImage_${base}${syntax}.dcm`));

  it.each(lossless)('gives every voxel of the reference from the lossless %s', async (syntax) => {
    const [reference, image] = [await ct('.1'), await ct(syntax)];
    expect(image.header.transferSyntaxUid).toBe(base + syntax);
    expect(reference.hounsfield.every((value, i) => value === image.hounsfield[i])).toBe(true);
  });

  it.each(lossy)('comes near to the reference from the lossy %s', async (syntax, largest, mean) => {
    const [reference, image] = [await ct('.1'), await ct(syntax)];
    const errors = reference.hounsfield.map((value, i) => Math.abs(value - image.hounsfield[i]!));
    expect(errors.filter((error) => Math.round(error) > largest)).toEqual([]);
    expect(errors.reduce((sum, error) => sum + error, 0) / errors.length).toBeLessThanOrEqual(mean);
  });

  it('gives the same from the sequential and from both progressive codings', async () => {
    const [sequential, selection, progression] = [await ct('.4.51'), await ct('.4.53'), await ct('.4.55')];
    expect(sequential.hounsfield.every((value, i) => value === selection.hounsfield[i])).toBe(true);
    expect(sequential.hounsfield.every((value, i) => value === progression.hounsfield[i])).toBe(true);
  });

  it('reads a colour image in high-throughput JPEG 2000', async () => {
    const { header, hounsfield } = await decode(join(folder, `HTJ2K-lossy_${base}.4.203.dcm`));
    expect(hounsfield).toHaveLength(header.rows * header.columns * 3);
    expect(new Set(hounsfield).size).toBeGreaterThan(200);
  });

  it.each([...lossless, ...lossy.map(([syntax]) => syntax)])(
    'answers a damaged frame in %s with a failure or an image, never a throw',
    async (syntax) => {
      const bytes = await readFile(join(folder, `CTImage_${base}${syntax}.dcm`));
      const header = unwrap(readHeader(bytes));
      const frame = unwrap(readFrame(bytes, header));
      for (const damaged of [
        frame.subarray(0, 200),
        frame.subarray(0, Math.floor(frame.length / 3)),
        Buffer.alloc(2000, 0xff),
        Buffer.alloc(0),
      ]) {
        const outcome = await decodeFrame(damaged, header).catch((error: PixelProblem) => error);
        if (outcome instanceof PixelProblem) expect(outcome.code).toBe('malformed');
        else expect(outcome.samples).toHaveLength(header.rows * header.columns);
      }
    },
  );
});
