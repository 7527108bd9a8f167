import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { type HeadCtRequest, writeHeadCt } from '../../models/phantoms/head-ct.js';
import type { PhantomRequest } from '../../models/phantoms/write-ct-series.js';
import { scoreStudy } from '../../models/runtime.js';
import { describeWithRealData } from '../support/real-data.js';
import { smallChest, withFolder } from './support.js';

const model = 'cerebral-haemorrhage';

type Head = Omit<HeadCtRequest, keyof PhantomRequest> & { seed?: number };
const patient = { id: 'P-4', name: 'Zhao^Lan' };
const study = { uid: '2.25.4714', started: '2024-05-06T07:08:09' };

const writeHead = (folder: string, head: Head) =>
  writeHeadCt({ folder, patient, study, rows: 200, slices: 26, sliceSpacingMm: 5.5, ...head });

/** Writes a head and scores it. */
const scoreHead = (head: Head) =>
  withFolder(async (folder) => {
    const { truth, files } = await writeHead(folder, head);
    const outcome = await scoreStudy({ model, folder });
    if (!outcome.ok) throw new Error(outcome.message);
    return { ...outcome.value, truth, files };
  });

const code = (head: Head, change: (folder: string) => Promise<unknown> = async () => undefined) =>
  withFolder(async (folder) => {
    await writeHead(folder, head);
    await change(folder);
    const outcome = await scoreStudy({ model, folder });
    return outcome.ok ? 'scored' : outcome.code;
  });

describe('scoring a head phantom for fresh blood', () => {
  it('finds blood where it is, on its side, with its volume, boxes, digests and the exact model', async () => {
    const { findings, summary, positive, inputs, files, truth, seriesInstanceUid } = await scoreHead({
      haemorrhages: [{ centreMm: [35, 5, 18], halfAxesMm: [14, 17, 15] }],
      localizer: true,
    });
    const [planted] = truth.haemorrhages;
    expect(positive).toBe(true);
    expect(findings).toHaveLength(1);
    const { centreMm, volumeMm3, site, diameterMm, box, sopInstanceUid, slices } = findings[0]!;
    expect(Math.hypot(...centreMm!.map((mm, axis) => mm - planted!.centreMm[axis]!))).toBeLessThan(2);
    expect(volumeMm3! / 1000 / planted!.volumeMl).toBeGreaterThan(0.85);
    expect(volumeMm3! / 1000 / planted!.volumeMl).toBeLessThan(1.15);
    expect(diameterMm).toBeGreaterThan(30);
    expect(diameterMm).toBeLessThan(40);
    expect(site?.code).toBe('left-half-of-cranial-cavity');
    // 35 mm to the left and 5 mm to the back of the middle of 200 pixels of 1.2 mm.
    expect(Math.abs(box.x + box.width / 2 - (100 + 35 / 1.2))).toBeLessThan(2);
    expect(Math.abs(box.y + box.height / 2 - (100 + 5 / 1.2))).toBeLessThan(2);
    expect(slices.map((slice) => slice.sopInstanceUid)).toContain(sopInstanceUid);
    const known = new Set(files.map((file) => file.sopInstanceUid));
    expect(slices.every((slice) => known.has(slice.sopInstanceUid))).toBe(true);
    expect(inputs).toHaveLength(26);
    expect(inputs.every(({ sha256 }) => /^[0-9a-f]{64}$/.test(sha256))).toBe(true);
    expect(seriesInstanceUid).toBe('2.25.4714.1');
    expect(summary).toMatchObject({ findingCount: 1, totalVolumeMl: volumeMm3 && Number((volumeMm3 / 1000).toFixed(1)) });
    expect(summary['largestAbc2Ml']! / planted!.volumeMl).toBeCloseTo(1, 0);
    expect(summary['volumeAtInnerTableMl']).toBe(0);
  });

  it('counts volume right through stacks of different slices under a tilted gantry, and says what touches the skull', async () => {
    const { findings, summary, truth } = await scoreHead({
      haemorrhages: [
        { centreMm: [-25, 40, -32], halfAxesMm: [11, 11, 11] },
        { centreMm: [-60, 10, 25], halfAxesMm: [35, 28, 28], layerMm: 10 },
      ],
      slices: 30,
      sliceSpacingMm: 7,
      thinnerBelow: { slices: 18, spacingMm: 4 },
      tiltDegrees: 15,
    });
    expect(findings.map(({ site }) => site?.code)).toEqual(['right-half-of-cranial-cavity', 'right-half-of-cranial-cavity']);
    const [planted, found] = [truth.haemorrhages, findings].map((list) =>
      list.map((one) => ('volumeMl' in one ? one.volumeMl : one.volumeMm3! / 1000)).sort((a, b) => a - b),
    );
    for (const [i, ml] of found!.entries()) expect(Math.abs(ml / planted![i]! - 1)).toBeLessThan(0.25);
    expect(summary['volumeAtInnerTableMl']).toBeCloseTo(found![1]!, 1);
  });

  it.each([301, 303])('is negative for a noisy head of age with calcium and without blood (seed %i)', async (seed) => {
    const { positive, findings, summary } = await scoreHead({ seed, varied: true, noise: 6 });
    expect(findings).toEqual([]);
    expect(positive).toBe(false);
    expect(summary).toMatchObject({ totalVolumeMl: 0, findingCount: 0, highestScore: null, largestAbc2Ml: null });
  });

  it('measures how far the ventricles are pushed, and to which side', async () => {
    const { summary, truth } = await scoreHead({ shiftMm: -8 });
    expect(truth.midlineShiftMm).toBeLessThan(-7);
    expect(Math.abs(summary['midlineShiftMm']! + truth.midlineShiftMm)).toBeLessThan(1.5);
    // The second of the values in the manifest: right.
    expect(summary['midlineShiftSide']).toBe(1);
  });
});

describe('scoring for fresh blood', () => {
  it('takes the smooth kernel although the sharp one has more slices', async () => {
    await withFolder(async (folder) => {
      await writeHead(folder, { kernel: 'STANDARD', rows: 160 });
      await writeHead(folder, { kernel: 'BONE', rows: 160, slices: 34, sliceSpacingMm: 4, seriesNumber: 3 });
      const outcome = await scoreStudy({ model, folder });
      expect(outcome).toMatchObject({ ok: true, value: { seriesInstanceUid: '2.25.4714.1' } });
    });
  });

  it('does not apply with contrast agent, to slices too thick or too few, to part of a head, to heavy noise, or to a chest', async () => {
    expect(await code({ rows: 96, contrastAgent: 'Iohexol' })).toBe('not-applicable');
    expect(await code({ rows: 96, slices: 18, sliceSpacingMm: 8 })).toBe('not-applicable');
    expect(await code({ rows: 96, slices: 8, sliceSpacingMm: 7 })).toBe('not-applicable');
    expect(await code({ rows: 96, slices: 14, sliceSpacingMm: 2 })).toBe('not-applicable');
    expect(await code({ rows: 160, slices: 26, noise: 40 })).toBe('not-applicable');
    await withFolder(async (folder) => {
      await smallChest(folder);
      expect(await scoreStudy({ model, folder })).toMatchObject({ ok: false, code: 'not-applicable' });
    });
  });

  it('fails as malformed where a slice is missing', async () => {
    const withoutOne = (folder: string) => rm(join(folder, 'series-1', 'IM0012.dcm'));
    expect(await code({ rows: 96 }, withoutOne)).toBe('malformed-input');
    expect(await code({ rows: 96, sliceSpacingMm: 7, thinnerBelow: { slices: 10, spacingMm: 4 } }, withoutOne)).toBe(
      'malformed-input',
    );
  });
});

describeWithRealData('scoring a real head for fresh blood', (data) => {
  it('says nothing of blood where there is calcium, an old infarct and a tilted gantry, and little of a shift', async () => {
    const outcome = await scoreStudy({ model, folder: join(data, 'hospital-b', 'dicom', 'HEAD-CT_GE_QMNx85rKkkg') });
    if (!outcome.ok) throw new Error(outcome.message);
    const { positive, findings, summary, inputs } = outcome.value;
    expect({ positive, findings, slices: inputs.length }).toEqual({ positive: false, findings: [], slices: 28 });
    expect(summary['midlineShiftMm']).toBeLessThan(2);
  });

  it.each([
    'hospital-b/dicom/KNIX_MR-knee',
    'hospital-c/dicom/WMHI_MR-brain_PDF-report',
    'hospital-a/dicom/NLST-101287_CT-chest_lung-cancer',
  ])('does not apply to %s', async (folder) => {
    expect(await scoreStudy({ model, folder: join(data, folder) })).toMatchObject({ ok: false, code: 'not-applicable' });
  });
});
