import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { transferSyntax } from '../../connectors/dicom/pixels/transfer-syntax.js';
import { type CtVolume, readCtVolume } from '../../models/dicom/ct-volume.js';
import { encodeFrame, type PhantomTransferSyntax } from '../../models/phantoms/encode-frame.js';
import { type Element, writePart10 } from '../../models/phantoms/part10-writer.js';
import { withFolder } from './support.js';

type Vector = [number, number, number];

/** How a series lies in the patient and is written. Its Hounsfield units are a linear function of the place in the patient, so every voxel tells its place. */
interface Written {
  /** Directions of a row and of a column. */
  alongRow: Vector;
  alongColumn: Vector;
  /** From one plane to the next in the order of the files. */
  step: Vector;
  slices: number;
  number: number;
  syntax: PhantomTransferSyntax;
  photometric: 'MONOCHROME1' | 'MONOCHROME2';
  intercept: number;
  slope: number;
  /** Stored in the corner of every plane, and named as Pixel Padding Value. */
  padding?: number;
  /** CT Image Storage, unless stated. */
  sopClassUid?: string;
  /** Added to the height of some plane, mm. */
  shifted?: { plane: number; mm: number };
}

const headFirst: Written = {
  alongRow: [1, 0, 0],
  alongColumn: [0, 1, 0],
  step: [0, 0, -3],
  slices: 12,
  number: 1,
  syntax: transferSyntax.explicitLittleEndian,
  photometric: 'MONOCHROME2',
  intercept: -1024,
  slope: 1,
};

const [rows, columns, rowSpacing, columnSpacing] = [20, 16, 2, 1.5];
const middle: Vector = [12, -7, 300];
const hounsfieldAt = ([x, y, z]: Vector): number => 4 * x + 7 * y + 2 * z - 600;
const plus = (a: Vector, b: Vector, factor: number): Vector => [a[0] + factor * b[0], a[1] + factor * b[1], a[2] + factor * b[2]];

/** Centre of a pixel of the plane, with the series' middle in the middle of the volume. */
function placeOf({ alongRow, alongColumn, step, slices, shifted }: Written, plane: number, row: number, column: number): Vector {
  const height = plus(middle, step, plane - (slices - 1) / 2);
  const moved: Vector = shifted?.plane === plane ? plus(height, [0, 0, 1], shifted.mm) : height;
  return plus(
    plus(moved, alongColumn, (row - (rows - 1) / 2) * rowSpacing),
    alongRow,
    (column - (columns - 1) / 2) * columnSpacing,
  );
}

const decimals = (values: number[]): string => values.map((value) => String(Number(value.toFixed(6)))).join('\\');

async function write(folder: string, series: Written): Promise<string[]> {
  const at = join(folder, `series-${series.number}`);
  await mkdir(at);
  return Promise.all(
    Array.from({ length: series.slices }, async (_, plane) => {
      const path = join(at, `${String(plane).padStart(3, '0')}.dcm`);
      await writeFile(path, await file(series, plane));
      return path;
    }),
  );
}

async function file(series: Written, plane: number): Promise<Buffer> {
  const { alongRow, alongColumn, number, syntax, photometric, intercept, slope, padding } = series;
  const pixels = new Uint16Array(rows * columns);
  for (let i = 0; i < pixels.length; i++) {
    const place = placeOf(series, plane, Math.floor(i / columns), i % columns);
    pixels[i] = Math.round((hounsfieldAt(place) - intercept) / slope);
  }
  if (padding !== undefined) pixels[0] = padding;
  const pixelData = await encodeFrame({ pixels, columns, rows, bitsStored: 16 }, syntax);
  const elements: Element[] = [
    [0x00080008, 'CS', 'ORIGINAL\\PRIMARY\\AXIAL'],
    [0x00080016, 'UI', series.sopClassUid ?? '1.2.840.10008.5.1.4.1.1.2'],
    [0x00080018, 'UI', `2.25.88.${number}.${plane + 1}`],
    [0x00080060, 'CS', 'CT'],
    [0x0020000d, 'UI', '2.25.88'],
    [0x0020000e, 'UI', `2.25.88.${number}`],
    [0x00200011, 'IS', String(number)],
    [0x00200032, 'DS', decimals(placeOf(series, plane, 0, 0))],
    [0x00200037, 'DS', decimals([...alongRow, ...alongColumn])],
    [0x00280002, 'US', 1],
    [0x00280004, 'CS', photometric],
    [0x00280010, 'US', rows],
    [0x00280011, 'US', columns],
    [0x00280030, 'DS', decimals([rowSpacing, columnSpacing])],
    [0x00280100, 'US', 16],
    [0x00280101, 'US', 16],
    [0x00280102, 'US', 15],
    [0x00280103, 'US', 0],
    ...(padding === undefined ? [] : ([[0x00280120, 'US', padding]] as Element[])),
    [0x00281052, 'DS', String(intercept)],
    [0x00281053, 'DS', String(slope)],
  ];
  const vr = pixelData instanceof Uint8Array ? 'OW' : 'OB';
  return writePart10([...elements, [0x7fe00010, vr, pixelData] as Element], {
    transferSyntaxUid: syntax,
    characterSet: 'ISO_IR 100',
  });
}

const limits = { leastSlices: 8, mostSliceSpacingMm: 5, mostVoxels: 1e6, transferSyntaxes: Object.values(transferSyntax) };

async function read(folder: string, ...series: Written[]): Promise<CtVolume> {
  const paths = (await Promise.all(series.map((one) => write(folder, one)))).flat();
  const outcome = await readCtVolume(paths, limits);
  if (!outcome.ok) throw new Error(`${outcome.code}: ${outcome.message}`);
  return outcome.value;
}

/** The largest difference between a voxel and what lies at its place in the patient, without the first of each plane, which may be padding. */
function largestError({ hounsfield, slices, spacing, origin, axes }: CtVolume): number {
  let largest = 0;
  for (let i = 0; i < hounsfield.length; i++) {
    if (i % (rows * columns) === 0) continue;
    const [plane, row, column] = [Math.floor(i / (rows * columns)), Math.floor(i / columns) % rows, i % columns];
    const up = plus(origin as Vector, axes.z as Vector, plane * spacing.z);
    const place = plus(plus(up, axes.y as Vector, row * spacing.y), axes.x as Vector, column * spacing.x);
    largest = Math.max(largest, Math.abs(hounsfieldAt(place) - hounsfield[i]!));
  }
  expect(slices * rows * columns).toBe(hounsfield.length);
  return largest;
}

const tilt = (18 * Math.PI) / 180;

describe('a CT series as a volume', () => {
  it.each<[string, Partial<Written>]>([
    ['head first, the highest plane first', {}],
    ['head first, the lowest plane first', { step: [0, 0, 3] }],
    ['feet first, seen from the other end', { alongRow: [-1, 0, 0], step: [0, 0, 3] }],
    ['prone', { alongRow: [-1, 0, 0], alongColumn: [0, -1, 0] }],
    ['lying on the right side', { alongRow: [0, 1, 0], alongColumn: [-1, 0, 0] }],
    ['by a tilted gantry', { alongColumn: [0, Math.cos(tilt), Math.sin(tilt)] }],
    ['by a gantry tilted the other way, feet first', { alongRow: [-1, 0, 0], alongColumn: [0, Math.cos(tilt), -Math.sin(tilt)] }],
    ['in run lengths', { syntax: transferSyntax.rleLossless }],
    ['in JPEG-LS', { syntax: transferSyntax.jpegLsLossless }],
    ['deflated', { syntax: transferSyntax.deflatedExplicitLittleEndian }],
    ['as MONOCHROME1, which is about display alone', { photometric: 'MONOCHROME1' }],
    ['with a slope', { slope: 0.25, intercept: -2000 }],
    ['with padding far above bone', { padding: 63536 }],
  ])('tells the same Hounsfield units at the same place of the patient: %s', async (_name, written) => {
    await withFolder(async (folder) => {
      const volume = await read(folder, { ...headFirst, ...written });
      expect(largestError(volume)).toBeLessThan(1);
      expect(volume.axes.z[2]).toBeGreaterThan(0.9);
      if (written.padding) expect(volume.hounsfield[0]).toBe(-1024);
    });
  });

  it('is made of the series with more planes where there are two', async () => {
    await withFolder(async (folder) => {
      const thin = { ...headFirst, number: 2, step: [0, 0, 1] as Vector, slices: 30 };
      expect(await read(folder, headFirst, thin)).toMatchObject({
        seriesInstanceUid: '2.25.88.2',
        slices: 30,
        spacing: { z: 1 },
      });
    });
  });

  it.each([
    ['the CT is enhanced', { sopClassUid: '1.2.840.10008.5.1.4.1.1.2.1' }, 'not-applicable', /enhanced \(multi-frame\) CT/],
    ['one plane lies out of step', { shifted: { plane: 5, mm: 1 } }, 'malformed-input'],
    ['the planes lie too far apart', { step: [0, 0, 6] as Vector }, 'not-applicable'],
    ['the planes are not axial', { alongColumn: [0, 0, -1] as Vector, step: [0, 3, 0] as Vector }, 'not-applicable'],
  ] as [string, Partial<Written>, string, RegExp?][])('is not made where %s', async (_name, written, code, ...[told = /./]) => {
    await withFolder(async (folder) => {
      const message = expect.stringMatching(told);
      expect(await readCtVolume(await write(folder, { ...headFirst, ...written }), limits)).toMatchObject({
        ok: false,
        code,
        message,
      });
    });
  });
});
