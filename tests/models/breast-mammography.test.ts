import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { hotSpots } from '../../models/breast-mammography/hot-spots.js';
import { reasonAgainst } from '../../models/breast-mammography/mammograms.js';
import { shrink } from '../../models/dicom/shrink.js';
import type { PixelBox } from '../../models/finding.js';
import type { Manifest } from '../../models/manifest.js';
import { loadModelPackage } from '../../models/model-package.js';
import { drawMammogram } from '../../models/phantoms/mammogram.js';
import type { Element } from '../../models/phantoms/part10-writer.js';
import { type PictureCoding, words, writePicture } from '../../models/phantoms/write-picture.js';
import { scoreStudy } from '../../models/runtime.js';
import { dcmtk } from '../support/dcmtk.js';
import { describeWithLabelledData } from '../support/labelled-data.js';
import { describeWithRealData } from '../support/real-data.js';
import {
  codeGrey,
  codeGreyJpegLs,
  described,
  difference,
  mammographyForPresentation,
  requestIn,
  scoredBy,
  shown,
  unwrap,
  wrapJpeg,
} from './pictures.js';
import { withFolder } from './support.js';

const model = 'breast-mammography';
const mass = { x: 0.45, y: 0.1, radius: 50 };
const ill = drawMammogram({ rows: 1100, mass });
const healthyLeft = drawMammogram({ rows: 1100, side: 'left', seed: 2 });
/** As 8 bits: what a viewer shows where no window is stated but the whole range is. */
const wholeRange: Element[] = [
  [0x00281050, 'DS', '2048'],
  [0x00281051, 'DS', '4096'],
];
const drawn = Uint8ClampedArray.from(ill.pixels, (value) => (value / 4095) * 255);

const write = (folder: string, coding: PictureCoding, elements: Element[] = [], number = 1) =>
  writePicture(
    requestIn(folder),
    { number, sopClassUid: mammographyForPresentation, modality: 'MG', elements: [[0x00185101, 'CS', 'MLO'], ...elements] },
    coding,
  );
const right: Element[] = [[0x00200062, 'CS', 'R']];
const left: Element[] = [[0x00200062, 'CS', 'L']];

/** Bright where values are low, with air as padding at 0. */
function inverted(): PictureCoding {
  const pixels = ill.pixels.map((value) => (value === 0 ? 0 : 4095 - value));
  return codeGrey({ ...ill, pixels }, [...wholeRange, [0x00280120, 'US', 0]], 'MONOCHROME1');
}

/** 16 bits, four times as fine, brought back by the modality's line. */
function rescaled(): PictureCoding {
  const pixels = ill.pixels.map((value) => value * 4);
  return codeGrey({ ...ill, pixels, bitsStored: 16 }, [...wholeRange, [0x00281053, 'DS', '0.25'], [0x00281052, 'DS', '0']]);
}

/** The window as a table of 4096 entries of 8 bits. */
function throughLut(): PictureCoding {
  const entries = Array.from({ length: 4096 }, (_, i) => Math.round((i / 4095) * 255));
  const item: Element[] = [
    [0x00283002, 'US', words([4096, 0, 8])],
    [0x00283006, 'OW', words(entries)],
  ];
  return codeGrey(ill, [[0x00283010, 'SQ', { items: [item] }]]);
}

describe('mammograms as they are looked at', () => {
  it.each<[string, () => PictureCoding | Promise<PictureCoding>]>([
    ['MONOCHROME2 with a window', () => codeGrey(ill, wholeRange)],
    ['MONOCHROME1 with padding', inverted],
    ['16 bits with a rescale slope', rescaled],
    ['a VOI LUT', throughLut],
    [
      'JPEG-LS',
      async () => {
        const coding = await codeGreyJpegLs(ill);
        return { ...coding, elements: [...coding.elements, ...wholeRange] };
      },
    ],
  ])('are the same from %s', async (_name, coding) => {
    await withFolder(async (folder) => {
      const { path } = await write(folder, await coding());
      expect(difference(await shown(path), new Uint8Array(drawn)).largest).toBeLessThanOrEqual(1);
    });
  });

  it('shrink to the means of squares, and not at all below twice the size that is kept', () => {
    const quarter = { pixels: Uint8Array.from([10, 20, 30, 40, 50, 60]), rows: 2, columns: 3, channels: 1 as const };
    const twice = Uint8Array.from(
      { length: 35 },
      (_, i) => quarter.pixels[Math.min(1, Math.floor(i / 14)) * 3 + Math.min(2, Math.floor((i % 7) / 2))]!,
    );
    expect(shrink({ ...quarter, pixels: twice, rows: 5, columns: 7 }, 3)).toEqual({ ...quarter, factor: 2 });
    expect(shrink(quarter, 2)).toEqual({ ...quarter, factor: 1 });
  });
});

describe('scoring mammograms', () => {
  it('finds a planted mass, in whatever form it comes, and says which breast', async () => {
    for (const coding of [codeGrey(ill, wholeRange), inverted()]) {
      await withFolder(async (folder) => {
        const { sopInstanceUid } = await write(folder, coding, right);
        const { summary, findings, maps, positive } = await scoredBy(model, folder);
        expect(positive).toBe(true);
        expect(summary.probabilityRight).toBe(summary.probability);
        expect(summary.probabilityLeft).toBeNull();
        const [first] = findings;
        expect(first).toMatchObject({ sopInstanceUid, frame: 1, site: { code: '73056007' } });
        expect(first).not.toHaveProperty('diameterMm');
        expect(overlaps(first!.box, massBox())).toBe(true);
        expect(maps).toHaveLength(1);
        expect(maps![0]!.values).toHaveLength(maps![0]!.rows * maps![0]!.columns);
        expect(maps![0]!.box.x + maps![0]!.box.width).toBeLessThan(ill.columns + 30);
      });
    }
  });

  it('tells each breast, and the study as the worse one, leaving other views aside', async () => {
    await withFolder(async (folder) => {
      const files = [
        await write(folder, codeGrey(ill, wholeRange), right, 1),
        await write(folder, codeGrey(healthyLeft, wholeRange), left, 2),
      ];
      await write(folder, codeGrey(ill, wholeRange), [...left, [0x00185101, 'CS', 'CC']], 3);
      const { summary, inputs, maps, findings } = await scoredBy(model, folder);
      expect(inputs).toMatchObject(files.map(({ sopInstanceUid }) => ({ sopInstanceUid })));
      expect(summary.probabilityRight).toBe(summary.probability);
      expect(summary.probabilityLeft!).toBeLessThan(summary.probabilityRight!);
      expect(maps!.map((map) => map.sopInstanceUid)).toEqual(files.map(({ sopInstanceUid }) => sopInstanceUid));
      expect(new Set(findings.map(({ site }) => site?.code))).toEqual(new Set(['73056007']));
    });
  });
});

/** Around the mass in the drawing of a right breast. */
function massBox(): PixelBox {
  const { rows, columns } = ill;
  const [x, y] = [columns - 1 - mass.x * columns * 0.55, rows * 0.52 + mass.y * rows * 0.42];
  return { x: x - mass.radius, y: y - mass.radius, width: 2 * mass.radius, height: 2 * mass.radius };
}

const overlaps = (a: PixelBox, b: PixelBox): boolean =>
  a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;

describe('hot spots', () => {
  const evidence = {
    values: Float32Array.from([0.9, 0.6, 0, 0, 0.2, 0, 0, 0.7, 0, 0, 0, 0.5]),
    rows: 3,
    columns: 4,
    box: { x: 10, y: 20, width: 40, height: 30 },
  };
  const whole = { rows: 100, columns: 100 };

  it('are groups of cells, the hottest first, as boxes in pixels', () => {
    expect(hotSpots(evidence, whole, { leastHeat: 0.5, most: 5 })).toEqual([
      { heat: expect.closeTo(0.9), box: { x: 10, y: 20, width: 20, height: 10 } },
      { heat: expect.closeTo(0.7), box: { x: 40, y: 30, width: 10, height: 20 } },
    ]);
    expect(hotSpots(evidence, whole, { leastHeat: 0.5, most: 1 })).toHaveLength(1);
    expect(hotSpots(evidence, whole, { leastHeat: 0.95, most: 5 })).toEqual([]);
  });

  it('end at the edges of the picture', () => {
    const [, second] = hotSpots(evidence, { rows: 45, columns: 46 }, { leastHeat: 0.5, most: 5 });
    expect(second!.box).toEqual({ x: 40, y: 30, width: 6, height: 15 });
  });
});

describe('what is no mammogram for the model', () => {
  let manifest: Manifest;
  beforeAll(async () => {
    manifest = unwrap(await loadModelPackage(model)).manifest;
  });
  const tiny: PictureCoding = codeGrey({ pixels: new Uint16Array(16), rows: 4, columns: 4, bitsStored: 12 });
  const view = (code: string, modifier?: string): Element => [
    0x00540220,
    'SQ',
    {
      items: [
        [
          [0x00080100, 'SH', code],
          ...(modifier ? [[0x00540222, 'SQ', { items: [[[0x00080100, 'SH', modifier]]] }] as Element] : []),
        ],
      ],
    },
  ];

  it.each<[string, Element[], RegExp]>([
    ['tomosynthesis', [[0x00080016, 'UI', '1.2.840.10008.5.1.4.1.1.13.1.3']], /Tomosynthesis/],
    ['several frames', [[0x00280008, 'IS', '3']], /Tomosynthesis/],
    ['raw pixels', [[0x00080016, 'UI', '1.2.840.10008.5.1.4.1.1.1.2.1']], /raw/],
    ['raw pixels by intent', [[0x00080068, 'CS', 'FOR PROCESSING']], /raw/],
    ['a picture computed from tomosynthesis', [[0x00080008, 'CS', 'DERIVED\\PRIMARY\\TOMO_2D\\GENERATED_2D']], /computed/],
    ['a phantom', [[0x00280300, 'CS', 'YES']], /phantom/],
    ['an implant', [[0x00281300, 'CS', 'YES']], /implants/],
    ['the cranio-caudal view', [view('399162004')], /oblique/],
    ['no view', [[0x00185101, 'CS', '']], /oblique/],
    ['a spot view', [view('399368009', '399055006')], /Spot/],
    ['a spot paddle', [[0x001811a4, 'LO', 'SPOT COMPRESSION']], /Spot/],
    ['magnification', [[0x00181114, 'DS', '1.8']], /Spot/],
    ['a part of the breast', [[0x00281350, 'CS', 'YES']], /Spot/],
    ['another modality', [[0x00080060, 'CS', 'MR']], /no mammograms/],
    [
      'an X-ray of the chest',
      [
        [0x00080060, 'CS', 'DX'],
        [0x00180015, 'CS', 'CHEST'],
      ],
      /no mammograms/,
    ],
  ])('is left aside by its header: %s', async (_name, elements, reason) => {
    await withFolder(async (folder) => {
      expect(reasonAgainst(await described((await write(folder, tiny, elements)).path), manifest)).toMatch(reason);
    });
  });

  it.each<[string, Element[]]>([
    ['by the code of its view alone', [[0x00185101, 'CS', ''], view('R-10226')]],
    [
      'of CR or DX by its body part',
      [
        [0x00080060, 'CS', 'DX'],
        [0x00080016, 'UI', '1.2.840.10008.5.1.4.1.1.1.1'],
        [0x00180015, 'CS', 'BREAST'],
      ],
    ],
  ])('is taken: an oblique view %s', async (_name, elements) => {
    await withFolder(async (folder) => {
      expect(reasonAgainst(await described((await write(folder, tiny, elements)).path), manifest)).toBeUndefined();
    });
  });

  it('is not applicable: a picture without black around, one that is too small, a damaged file', async () => {
    const grey = { pixels: new Uint16Array(1100 * 900).fill(3000), rows: 1100, columns: 900, bitsStored: 12 };
    for (const [coding, message] of [
      [codeGrey(grey, wholeRange), 'The picture does not look like a mammogram: a breast on black.'],
      [tiny, 'The mammogram is too small.'],
    ] as const) {
      await withFolder(async (folder) => {
        await write(folder, coding);
        expect(await scoreStudy({ model, folder })).toEqual({ ok: false, code: 'not-applicable', message });
      });
    }
    await withFolder(async (folder) => {
      const coding = await codeGreyJpegLs(ill);
      const { fragments } = coding.pixelData as { fragments: Uint8Array[] };
      await write(folder, { ...coding, pixelData: { fragments: [fragments[0]!.subarray(0, 40)] } });
      expect(await scoreStudy({ model, folder })).toMatchObject({ ok: false, code: 'malformed-input' });
    });
  });
});

describeWithRealData('a digital mammogram of a hospital', (data) => {
  const study = join(data, 'hospital-b/dicom/MG-screening_0000000000');

  it('is scored: the right breast, with the evidence within it', async () => {
    const { summary, findings, maps } = await scoredBy(model, study);
    expect(summary.probabilityRight).toBe(summary.probability);
    expect(summary.probabilityLeft).toBeNull();
    // The breast lies in the right half of 2394 columns, its lower fold at about row 2240 of 3062.
    expect(maps![0]!.box.x).toBeGreaterThan(1000);
    for (const { box, site } of findings) {
      expect(box.x).toBeGreaterThan(1100);
      expect(box.y + box.height).toBeLessThan(2240);
      expect(site?.code).toBe('73056007');
    }
  });

  it('looks as dcmtk shows it with the same window', async () => {
    await withFolder(async (folder) => {
      const [path, file] = [join(study, 'GH133.dcm'), join(folder, 'shown.pgm')];
      const made = await dcmtk('dcmj2pnm', ['+Wi', 1, '+Wfs', '+op', path, file]);
      expect(made).toMatchObject({ status: 0 });
      const pgm = await readFile(file);
      const pixels = new Uint8Array(pgm.subarray(pgm.length - 3062 * 2394));
      const { mean } = difference(await shown(path), pixels);
      expect(mean).toBeLessThan(1);
    });
  });

  it('does not fit an MR of the knee or an X-ray of the chest', async () => {
    for (const other of ['hospital-b/dicom/KNIX_MR-knee', 'hospital-a/dicom/RSNA-CXR_16d7f894_CR-chest']) {
      const outcome = await scoreStudy({ model, folder: join(data, other) });
      expect(outcome).toEqual({ ok: false, code: 'not-applicable', message: 'The study holds no mammograms.' });
    }
  });
});

describeWithLabelledData('labelled mammograms as DICOM', (data) => {
  it('get the values that the recipe measured', async () => {
    const file = new URL('../../../models/breast-mammography/train/figures.json', import.meta.url);
    const figures = JSON.parse(await readFile(file, 'utf8')) as Record<string, Record<string, number>>;
    const measured = Object.entries(figures['val, every 16th file (probability)']!);
    expect(measured).toHaveLength(3);
    for (const [name, probability] of measured) {
      await withFolder(async (folder) => {
        await write(folder, await wrapJpeg(join(data, 'mammo-mini-mias/val', name), 1));
        expect(Math.abs((await scoredBy(model, folder)).summary.probability! - probability)).toBeLessThan(1e-3);
      });
    }
  });
});
