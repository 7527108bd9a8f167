import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { transferSyntax } from '../../connectors/dicom/pixels/transfer-syntax.js';
import { reasonAgainst } from '../../models/diabetic-retinopathy/photographs.js';
import type { Manifest } from '../../models/manifest.js';
import { loadModelPackage } from '../../models/model-package.js';
import { drawFundus } from '../../models/phantoms/fundus.js';
import type { Element } from '../../models/phantoms/part10-writer.js';
import { type ColourForm, codeColour, type PictureCoding, writePicture } from '../../models/phantoms/write-picture.js';
import { scoreStudy } from '../../models/runtime.js';
import { dcmtk } from '../support/dcmtk.js';
import { describeWithLabelledData } from '../support/labelled-data.js';
import { describeWithRealData } from '../support/real-data.js';
import {
  codeGrey,
  described,
  difference,
  ophthalmicPhotography,
  requestIn,
  scoredBy,
  shown,
  unwrap,
  wrapJpeg,
} from './pictures.js';
import { withFolder } from './support.js';

const model = 'diabetic-retinopathy';
const healthy = drawFundus({ columns: 640 });
const ill = drawFundus({ columns: 640, lesions: 40 });

const write = (folder: string, coding: PictureCoding, elements: Element[] = [], number = 1) =>
  writePicture(requestIn(folder), { number, sopClassUid: ophthalmicPhotography, modality: 'OP', elements }, coding);
const right: Element[] = [[0x00200062, 'CS', 'R']];
const left: Element[] = [[0x00200062, 'CS', 'L']];

describe('grading photographs of the fundus', () => {
  it('gives one score however the colours are stored', async () => {
    const scoreOf = (form: ColourForm) =>
      withFolder(async (folder) => {
        await write(folder, codeColour(ill, form));
        return (await scoredBy(model, folder)).summary.referable!;
      });
    const reference = await scoreOf('RGB');
    expect(reference).toBeGreaterThan(0.8);
    expect(await scoreOf('PALETTE COLOR')).toBeCloseTo(reference, 5);
    // Half of the colour is gone, and every value was rounded twice.
    expect(Math.abs((await scoreOf('YBR_FULL_422')) - reference)).toBeLessThan(0.06);
  });

  it.each<[ColourForm, number]>([
    ['RGB planar', 0],
    ['PALETTE COLOR', 0],
    ['YBR_FULL', 2],
  ])('sees the colours that were drawn in %s', async (form, largest) => {
    await withFolder(async (folder) => {
      const { path } = await write(folder, codeColour(ill, form));
      expect(difference(await shown(path), ill.pixels).largest).toBeLessThanOrEqual(largest);
    });
  });

  it.each([
    ['dcmcrle', []],
    ['dcmcjpeg', ['+e1']],
    ['dcmcjpls', []],
    ['dcmconv', ['+ti']],
    ['dcmconv', ['+td']],
    ['dcmconv', ['+tb']],
  ])('sees the colours that were drawn in what %s %j makes', async (tool, options) => {
    await withFolder(async (folder) => {
      const { path } = await write(folder, codeColour(ill, 'RGB'));
      const coded = join(folder, 'coded.dcm');
      expect(await dcmtk(tool, [...options, path, coded])).toMatchObject({ status: 0 });
      expect(difference(await shown(coded), ill.pixels).largest).toBe(0);
    });
  });

  it('sees nearly the same in JPEG baseline', async () => {
    await withFolder(async (folder) => {
      const { path } = await write(folder, codeColour(ill, 'RGB'));
      const coded = join(folder, 'coded.dcm');
      expect(await dcmtk('dcmcjpeg', ['+eb', '+q', 92, path, coded])).toMatchObject({ status: 0 });
      expect((await described(coded)).image.transferSyntaxUid).toBe(transferSyntax.jpegBaseline);
      expect(difference(await shown(coded), ill.pixels).mean).toBeLessThan(2);
    });
  });

  it('tells each eye, and the study as its worst one, leaving angiography aside', async () => {
    await withFolder(async (folder) => {
      const healthyFile = await write(folder, codeColour(healthy, 'RGB'), right, 1);
      const illFile = await write(folder, codeColour(ill, 'RGB'), left, 2);
      await write(folder, codeColour(ill, 'RGB'), [...right, [0x00080008, 'CS', 'ORIGINAL\\PRIMARY\\\\FA']], 3);
      const { summary, positive, inputs, seriesInstanceUid, findings } = await scoredBy(model, folder);
      const uids = inputs.map((input) => ('sopInstanceUid' in input ? input.sopInstanceUid : ''));
      expect(uids).toEqual([healthyFile.sopInstanceUid, illFile.sopInstanceUid]);
      expect(seriesInstanceUid).toBe(illFile.seriesInstanceUid);
      expect(summary.referableLeft).toBe(summary.referable);
      expect(summary.referableRight!).toBeLessThan(summary.referable! - 0.3);
      expect(summary.gradeRight!).toBeLessThan(summary.gradeLeft!);
      expect(summary.grade).toBe(summary.gradeLeft);
      expect([positive, findings]).toEqual([true, []]);
    });
  });

  it('grades each frame of an image with several, and no eye where none is stated', async () => {
    await withFolder(async (folder) => {
      const { elements, pixelData } = codeColour(healthy, 'RGB');
      const both = Buffer.concat([pixelData as Uint8Array, ill.pixels]);
      await write(folder, { elements: [...elements, [0x00280008, 'IS', '2']], pixelData: both });
      const { summary, positive } = await scoredBy(model, folder);
      expect(positive).toBe(true);
      expect(summary).toMatchObject({ referableRight: null, gradeRight: null, referableLeft: null, gradeLeft: null });
    });
  });
});

describe('what is no photograph of the fundus', () => {
  let manifest: Manifest;
  beforeAll(async () => {
    manifest = unwrap(await loadModelPackage(model)).manifest;
  });

  it.each<[string, Element[], RegExp]>([
    ['of angiography', [[0x00080008, 'CS', 'ORIGINAL\\PRIMARY\\\\ICG']], /Angiography/],
    ['with contrast medium', [[0x00180012, 'SQ', { items: [[[0x00080100, 'SH', '59503006']]] }]], /Angiography/],
    ['a montage', [[0x00080008, 'CS', 'DERIVED\\SECONDARY\\MONTAGE\\COLOR']], /montage/],
    ['of optical coherence tomography', [[0x00080016, 'UI', '1.2.840.10008.5.1.4.1.1.77.1.5.4']], /Tomography/],
    ['of a slit lamp', [[0x00220015, 'SQ', { items: [[[0x00080100, 'SH', '409900009']]] }]], /fundus camera/],
    ['of the skin', [[0x00180015, 'CS', 'SKIN']], /another part/],
    ['of another modality', [[0x00080060, 'CS', 'XC']], /no ophthalmic photographs/],
  ])('is left aside by its header: one %s', async (_name, elements, reason) => {
    await withFolder(async (folder) => {
      const { path } = await write(folder, codeColour(ill, 'RGB'), elements);
      expect(reasonAgainst(await described(path), manifest)).toMatch(reason);
      const taken = await write(folder, codeColour(ill, 'RGB'), [
        [0x00220015, 'SQ', { items: [[[0x00080100, 'SH', '409898007']]] }],
        [0x00180015, 'CS', 'EYE'],
      ]);
      expect(reasonAgainst(await described(taken.path), manifest)).toBeUndefined();
    });
  });

  it.each<[string, PictureCoding, RegExp]>([
    ['too small', codeColour(drawFundus({ columns: 300 }), 'RGB'), /too small/],
    ['grey', codeGrey({ pixels: new Uint16Array(600 * 600), rows: 600, columns: 600, bitsStored: 12 }), /Angiography/],
    ['a landscape', codeColour(landscape(), 'RGB'), /no round field/],
    ['a round green field', codeColour(inGreen(), 'RGB'), /colours/],
  ])('is not applicable: a picture that is %s', async (_name, coding, reason) => {
    await withFolder(async (folder) => {
      await write(folder, coding);
      const outcome = await scoreStudy({ model, folder });
      expect(outcome).toMatchObject({ ok: false, code: 'not-applicable', message: expect.stringMatching(reason) as unknown });
    });
  });

  it('is malformed when the file ends early or its frame does not decode', async () => {
    await withFolder(async (folder) => {
      const { path } = await write(folder, codeColour(ill, 'RGB'));
      await writeFile(path, (await readFile(path)).subarray(0, 4000));
      expect(await scoreStudy({ model, folder })).toMatchObject({ ok: false, code: 'malformed-input' });
    });
  });
});

function landscape() {
  const picture = drawFundus({ columns: 640 });
  return { ...picture, pixels: picture.pixels.map((_, i) => 60 + ((i * 7) % 120)) };
}

function inGreen() {
  const { pixels, ...size } = drawFundus({ columns: 640 });
  return { ...size, pixels: pixels.map((_, i) => (i % 3 === 1 ? pixels[i - 1]! : (pixels[i]! * 0.4) | 0)) };
}

describeWithRealData('grading a study of another kind', (data) => {
  it('is not applicable to an MR of the knee', async () => {
    const outcome = await scoreStudy({ model, folder: join(data, 'hospital-b/dicom/KNIX_MR-knee') });
    expect(outcome).toMatchObject({ ok: false, code: 'not-applicable', message: 'The study holds no ophthalmic photographs.' });
  });
});

describeWithLabelledData('labelled photographs as DICOM', (data) => {
  it('get the values that the recipe measured', async () => {
    const file = new URL('../../../models/diabetic-retinopathy/train/figures.json', import.meta.url);
    const figures = JSON.parse(await readFile(file, 'utf8')) as Record<string, Record<string, number[]>>;
    const measured = Object.entries(figures['val, every 14th file (referable, grades)']!).filter((_, i) => i % 2 === 1);
    expect(measured).toHaveLength(3);
    for (const [name, [referable, ...grades]] of measured) {
      await withFolder(async (folder) => {
        await write(folder, await wrapJpeg(join(data, 'fundus-dr-idrid/val', name), 3));
        const { summary } = await scoredBy(model, folder);
        expect(Math.abs(summary.referable! - referable!)).toBeLessThan(1e-3);
        expect(summary.grade).toBe(grades.indexOf(Math.max(...grades)));
      });
    }
  });
});
