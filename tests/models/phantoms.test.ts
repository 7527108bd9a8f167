import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from '@jest/globals';
import dicomParser from 'dicom-parser';
import fc from 'fast-check';
import { readCtVolume } from '../../models/dicom/ct-volume.js';
import { readableTransferSyntaxes } from '../../connectors/dicom/pixels/decode-frame.js';
import { transferSyntax } from '../../connectors/dicom/pixels/transfer-syntax.js';
import { type CharacterSet, encodeText } from '../../models/phantoms/character-set.js';
import type { PhantomTransferSyntax } from '../../models/phantoms/encode-frame.js';
import type { Haemorrhage } from '../../models/phantoms/head-blood.js';
import { writeHeadCt } from '../../models/phantoms/head-ct.js';
import { smallChest, withFolder } from './support.js';

const limits = { leastSlices: 10, mostSliceSpacingMm: 6, transferSyntaxes: readableTransferSyntaxes, mostVoxels: 1e8 };
const hash = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

async function voxelsOf(paths: string[]) {
  const volume = await readCtVolume(paths, limits);
  if (!volume.ok) throw new Error(volume.message);
  return volume.value;
}

describe('a phantom', () => {
  it('holds the same voxels in every transfer syntax, and they are those of the planted truth', async () => {
    const syntaxes: PhantomTransferSyntax[] = [
      transferSyntax.explicitLittleEndian,
      transferSyntax.implicitLittleEndian,
      transferSyntax.deflatedExplicitLittleEndian,
      transferSyntax.jpegLsLossless,
      transferSyntax.rleLossless,
    ];
    const digests = new Set<string>();
    for (const syntax of syntaxes) {
      await withFolder(async (folder) => {
        const { files, truth } = await smallChest(folder, { transferSyntax: syntax, nodules: 2, noise: 5 });
        const volume = await voxelsOf(files.map(({ path }) => path));
        digests.add(hash(new Uint8Array(volume.hounsfield.buffer)));
        expect([volume.columns, volume.rows, volume.slices]).toEqual([160, 160, 40]);
        for (const { centreMm, hounsfield } of truth.nodules) {
          const [x, y, z] = centreMm.map((mm, axis) =>
            Math.round((mm - volume.origin[axis]!) / [volume.spacing.x, volume.spacing.y, volume.spacing.z][axis]!),
          );
          expect(Math.abs(volume.hounsfield[(z! * 160 + y!) * 160 + x!]! - hounsfield)).toBeLessThan(60);
        }
      });
    }
    expect(digests.size).toBe(1);
  });

  it('is the same byte for byte for the same seed, and another for another seed', async () => {
    const digestOf = (seed: number) =>
      withFolder(async (folder) => {
        const { files } = await smallChest(folder, { seed, slices: 30 });
        return hash(Buffer.concat(await Promise.all(files.map(({ path }) => readFile(path)))));
      });
    const [first, again, other] = [await digestOf(3), await digestOf(3), await digestOf(4)];
    expect(again).toBe(first);
    expect(other).not.toBe(first);
  });

  it.each<[CharacterSet, string]>([
    ['GB18030', 'gb18030'],
    ['ISO_IR 192', 'utf-8'],
  ])('states the Chinese name in %s', async (characterSet, encoding) => {
    await withFolder(async (folder) => {
      const { files } = await smallChest(folder, { characterSet, slices: 30 });
      const bytes = await readFile(files[0]!.path);
      const dataSet = dicomParser.parseDicom(bytes);
      const { dataOffset, length } = dataSet.elements['x00100010']!;
      expect(dataSet.string('x00080005')).toBe(characterSet);
      expect(new TextDecoder(encoding).decode(bytes.subarray(dataOffset, dataOffset + length)).trim()).toBe('Zhang^Wei=张^伟');
      expect(dataSet.string('x00100030')).toBe('19610203');
    });
  });

  it('of a head holds as much fresh blood as was planted, and its localizer is left out of the volume', async () => {
    /** Millilitres between 50 and 95 Hounsfield units: blood, and the inner side of the skull. */
    const dense = (haemorrhage?: Haemorrhage) =>
      withFolder(async (folder) => {
        const study = { uid: '2.25.4712', started: '2024-05-06T07:08:09' };
        const { files, truth } = await writeHeadCt({
          folder,
          patient: { id: 'P-2', name: 'Li^Na' },
          study,
          rows: 128,
          localizer: true,
          haemorrhages: haemorrhage ? [haemorrhage] : [],
        });
        const { hounsfield, spacing, slices } = await voxelsOf(files.map(({ path }) => path));
        expect([files.length, slices]).toEqual([33, 32]);
        const voxels = hounsfield.filter((value) => value > 50 && value < 95).length;
        return { ml: (voxels * spacing.x * spacing.y * spacing.z) / 1000, planted: truth.haemorrhages[0]?.volumeMl ?? 0 };
      });
    const [bleeding, healthy] = [await dense({ centreMm: [30, 10, 10], halfAxesMm: [15, 20, 12] }), await dense()];
    expect((bleeding.ml - healthy.ml) / bleeding.planted).toBeGreaterThan(0.9);
    expect((bleeding.ml - healthy.ml) / bleeding.planted).toBeLessThan(1.1);
  });
});

describe('encoding text in GB18030', () => {
  it('is undone by the decoder for any text without lone surrogates', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        // GB18030-2022 and -2005 map a few private-use characters differently; names hold none.
        fc.pre(!/[\uE000-\uF8FF]/.test(text));
        expect(new TextDecoder('gb18030', { ignoreBOM: true }).decode(encodeText(text, 'GB18030'))).toBe(text);
      }),
    );
  });

  it('of Latin-1 refuses what it has no code for', () => {
    expect(() => encodeText('张', 'ISO_IR 100')).toThrow(RangeError);
  });
});
