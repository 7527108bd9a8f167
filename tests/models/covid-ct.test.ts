import { copyFile, mkdir, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import type { ChestCt, ChestCtRequest } from '../../models/phantoms/chest-ct.js';
import { writeHeadCt } from '../../models/phantoms/head-ct.js';
import type { PlantedOpacity } from '../../models/phantoms/opacities.js';
import { scoreStudy } from '../../models/runtime.js';
import type { Scored } from '../../models/score-messages.js';
import { describeWithRealData } from '../support/real-data.js';
import { smallChest, withFolder } from './support.js';

const model = 'covid-ct';

async function scored(folder: string): Promise<Scored> {
  const outcome = await scoreStudy({ model, folder });
  if (!outcome.ok) throw new Error(outcome.message);
  return outcome.value;
}

/** Writes a chest with these patches, scores it, and gives the truth beside the score. */
function scoredChest(request: Partial<ChestCtRequest>): Promise<Scored & ChestCt> {
  return withFolder(async (folder) => ({ ...(await smallChest(folder, { nodules: 0, ...request })), ...(await scored(folder)) }));
}

/** Why a chest with these patches has no score. */
const refused = (opacities: PlantedOpacity[]) =>
  withFolder(async (folder) => {
    await smallChest(folder, { nodules: 0, opacities });
    return scoreStudy({ model, folder });
  });

const underThePleura: PlantedOpacity[] = [
  { centreMm: [110, 40, -10], halfAxesMm: [40, 35, 40] },
  { centreMm: [90, 60, 20], halfAxesMm: [40, 30, 30], hounsfield: -450 },
  { centreMm: [-110, 50, -10], halfAxesMm: [35, 30, 40], hounsfield: -550 },
];
const throughout = (side: 'left' | 'both', hounsfield: number): PlantedOpacity[] => [
  side === 'left'
    ? { centreMm: [90, 0, 0], halfAxesMm: [89, 200, 300], hounsfield }
    : { centreMm: [0, 0, 0], halfAxesMm: [400, 400, 300], hounsfield },
];

describe('the burden of a chest phantom', () => {
  it('is about a per cent without disease', async () => {
    const { summary } = await scoredChest({ seed: 31 });
    expect(summary['burdenPercent']).toBeLessThan(2);
    expect(summary['consolidationPercent']).toBeLessThan(1);
  });

  it('is the planted volume of ground glass on either side, within a tenth and what vessels make up', async () => {
    const { summary, truth, seriesInstanceUid, maps, files } = await scoredChest({ seed: 32, opacities: underThePleura });
    const planted = { Left: sum(truth.opacities, 'left'), Right: sum(truth.opacities, 'right') };
    for (const side of ['Left', 'Right'] as const) {
      const measured = summary[`burden${side}Ml`]!;
      expect(measured).toBeGreaterThan(0.9 * planted[side]);
      expect(measured).toBeLessThan(1.1 * planted[side] + 40);
    }
    expect(summary['burdenMl']).toBeCloseTo(summary['burdenLeftMl']! + summary['burdenRightMl']!, -1);
    expect(summary['consolidationPercent']).toBeLessThan(1);
    expect(seriesInstanceUid).toBe(files[0]!.seriesInstanceUid);
    expect(maps).toHaveLength(5);
  });

  it('is nearly all of lungs that are full of ground glass', async () => {
    const { summary } = await scoredChest({ seed: 33, opacities: throughout('both', -450) });
    expect(summary['burdenPercent']).toBeGreaterThan(95);
  });
});

it('a patient who lies prone has the same score, the same sides, and the maps where the slices are stored', async () => {
  const opacities = underThePleura.slice(0, 2);
  const [supine, prone] = [await scoredChest({ opacities }), await scoredChest({ opacities, prone: true })];
  for (const name of ['caseScore', 'highestSliceScore', 'slicesScored']) expect(prone.summary[name]).toBe(supine.summary[name]);
  expect(Math.abs(prone.summary['burdenMl']! - supine.summary['burdenMl']!)).toBeLessThan(10);
  expect(prone.summary['burdenLeftMl']).toBeGreaterThan(10 * prone.summary['burdenRightMl']!);
  const [turned, upright] = [prone.maps![0]!, supine.maps![0]!];
  expect(turned.sopInstanceUid).toBe(upright.sopInstanceUid);
  expect(turned.values).toEqual(upright.values.toReversed());
  const { x, y, width, height } = upright.box;
  expect(turned.box).toEqual({ x: 160 - x - width, y: 160 - y - height, width, height });
});

it('a study of single slices has scores of slices, and none of the case or in ml', async () => {
  await withFolder(async (folder) => {
    const { files } = await smallChest(join(folder, 'whole'), { nodules: 0, localizer: true });
    const few = join(folder, 'few');
    await mkdir(few);
    for (const file of [files[18]!, files[21]!, files.at(-1)!])
      await copyFile(file.path, join(few, `${file.sopInstanceUid}.dcm`));
    const { summary, maps, inputs } = await scored(few);
    expect(summary).toMatchObject({ basis: 2, slicesScored: 2, caseScore: null, burdenPercent: null, burdenMl: null });
    expect(summary['highestSliceScore']).toBeGreaterThan(0);
    expect([maps, inputs].map((list) => list?.length)).toEqual([2, 2]);
  });
});

describe('lungs that cannot be seen', () => {
  it.each([
    ['both are filled throughout', throughout('both', 30), 'No lungs are seen'],
    ['one is filled throughout', throughout('left', 30), 'Only one lung is seen'],
  ])('are no negative result where %s', async (_, opacities, message) => {
    expect(await refused(opacities)).toMatchObject({
      ok: false,
      code: 'not-applicable',
      message: expect.stringContaining(message),
    });
  });

  it('have no burden where their back half is filled, and no score below the threshold', async () => {
    const behind = [-90, 90].map((x) => ({ centreMm: [x, 70, 0] as const, halfAxesMm: [80, 60, 100] as const, hounsfield: 30 }));
    const outcome = await refused(behind);
    if (outcome.ok) expect(outcome.value).toMatchObject({ positive: true, summary: { basis: 1, burdenPercent: null } });
    else expect(outcome).toMatchObject({ code: 'not-applicable', message: expect.stringContaining('as dense as tissue') });
  });
});

it('a head is not applicable, a damaged slice malformed', async () => {
  await withFolder(async (folder) => {
    const patient = { id: 'P-3', name: 'Wu^Min' };
    await writeHeadCt({ folder, patient, study: { uid: '2.25.4713', started: '2024-05-06T07:08' }, rows: 96 });
    expect(await scoreStudy({ model, folder })).toMatchObject({ ok: false, code: 'not-applicable' });
  });
  await withFolder(async (folder) => {
    const { files } = await smallChest(folder);
    await truncate(files[7]!.path, 20_000);
    expect(await scoreStudy({ model, folder })).toMatchObject({ ok: false, code: 'malformed-input' });
  });
});

describeWithRealData('signs of COVID-19 on real studies', (data) => {
  it('a low-dose CT with a lung cancer is below the threshold, with a small burden', async () => {
    const { summary, positive } = await scored(join(data, 'hospital-a/dicom/NLST-101287_CT-chest_lung-cancer'));
    process.stdout.write(`NLST chest CT: case score ${summary['caseScore']}, burden ${summary['burdenPercent']} %\n`);
    expect(positive).toBe(false);
    expect(summary).toMatchObject({ basis: 0, slicesScored: 24 });
    expect(summary['burdenPercent']).toBeLessThan(4);
  });

  it.each(['hospital-a/dicom/A046441_19010101_CT-chest', 'hospital-c/dicom/A046441_19001111_CT-abdomen'])(
    'the one axial slice of a very ill lung in %s is above it',
    async (study) => {
      const { summary, positive } = await scored(join(data, study));
      expect(positive).toBe(true);
      expect(summary).toMatchObject({ basis: 2, slicesScored: 1, caseScore: null, burdenMl: null });
    },
  );

  it.each([
    'hospital-b/dicom/KNIX_MR-knee',
    'hospital-b/dicom/HEAD-CT_GE_QMNx85rKkkg',
    'hospital-a/dicom/RSNA-CXR_16d7f894_CR-chest',
  ])('does not apply to %s', async (study) => {
    expect(await scoreStudy({ model, folder: join(data, study) })).toMatchObject({ ok: false, code: 'not-applicable' });
  });
});

const sum = (truth: ChestCt['truth']['opacities'], side: 'left' | 'right'): number =>
  truth.reduce((total, { volumeMl }) => total + volumeMl[side], 0);
