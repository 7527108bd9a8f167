import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import type { Finding } from '../../models/finding.js';
import { loadModelPackage } from '../../models/model-package.js';
import { writeHeadCt } from '../../models/phantoms/head-ct.js';
import { scoreStudy } from '../../models/runtime.js';
import type { Scored } from '../../models/score-messages.js';
import { describeWithRealData } from '../support/real-data.js';
import { smallChest, withFolder } from './support.js';

const model = 'pulmonary-nodule';

async function scored(folder: string): Promise<Scored> {
  const outcome = await scoreStudy({ model, folder });
  if (!outcome.ok) throw new Error(outcome.message);
  return outcome.value;
}

const near = (finding: Finding, centre: readonly number[], mm: number) =>
  Math.hypot(...centre.map((value, axis) => value - finding.centreMm![axis]!)) <= mm;

/** Processes that this one has started. */
async function children(): Promise<number[]> {
  const list = await readFile(`/proc/${process.pid}/task/${process.pid}/children`, 'utf8');
  return list.trim().split(' ').filter(Boolean).map(Number);
}

describe('scoring a chest phantom', () => {
  it('finds most planted nodules with few false positives, where and as large as they are', async () => {
    let [planted, found, falsePositives] = [0, 0, 0];
    for (const seed of [11, 12, 13]) {
      await withFolder(async (folder) => {
        const { truth } = await smallChest(folder, { seed, nodules: 4, rows: 200, slices: 60, sliceSpacingMm: 3 });
        const { findings } = await scored(folder);
        const hit = (finding: Finding) =>
          truth.nodules.find(({ centreMm, diameterMm }) => near(finding, centreMm, Math.max(4, diameterMm / 2)));
        planted += truth.nodules.length;
        found += truth.nodules.filter((nodule) => findings.some((finding) => hit(finding) === nodule)).length;
        falsePositives += findings.filter((finding) => !hit(finding)).length;
        for (const finding of findings) {
          const nodule = hit(finding);
          if (nodule?.place === 'free') expect(Math.abs(finding.diameterMm! - nodule.diameterMm)).toBeLessThan(2.5);
        }
      });
    }
    expect(found / planted).toBeGreaterThanOrEqual(0.75);
    expect(falsePositives / 3).toBeLessThanOrEqual(3);
  });

  it('names the instances, the box on each slice, the digests of its inputs and the exact model', async () => {
    await withFolder(async (folder) => {
      const centreMm = [-80, 10, 20] as const;
      const { files } = await smallChest(folder, { nodules: [{ diameterMm: 16, centreMm }], localizer: true });
      const { findings, inputs, ...result } = await scored(folder);
      const finding = findings.find((one) => near(one, centreMm, 4))!;
      const spacing = 380 / 160;
      const [column, row] = [(centreMm[0] + 190) / spacing, (centreMm[1] + 190) / spacing];
      for (const { box, sopInstanceUid } of finding.slices) {
        expect(files.map((file) => file.sopInstanceUid)).toContain(sopInstanceUid);
        expect([box.x < column, column < box.x + box.width, box.y < row, row < box.y + box.height]).toEqual([
          true,
          true,
          true,
          true,
        ]);
      }
      expect(finding.slices.length * 4).toBeGreaterThanOrEqual(12);
      expect(finding.box.width * spacing).toBeCloseTo(16, -1);
      expect(finding).toMatchObject({
        site: { code: '3341006', display: 'Right lung structure' },
        siteText: 'right lung, middle third of its height',
      });
      const { response, probability } = finding.evidence!;
      expect(finding.score).toBeCloseTo(0.85 * response! + 0.15 * probability!, 3);
      expect(inputs).toHaveLength(40);
      expect(inputs.every(({ sha256 }) => /^[0-9a-f]{64}$/.test(sha256))).toBe(true);
      const loaded = await loadModelPackage(model);
      expect(loaded.ok && loaded.value.manifest.graph.sha256).toBe(result.model.sha256);
      expect(result).toMatchObject({
        studyInstanceUid: '2.25.4711',
        seriesInstanceUid: '2.25.4711.1',
        thresholds: { score: 0.68 },
      });
      expect(result.summary['findingCount']).toBe(findings.length);
    });
  });

  it('measures a nodule that grows out of the wall as large as it is, though part of it lies in the wall', async () => {
    await withFolder(async (folder) => {
      const nodules = [18, 14].map((diameterMm) => ({ diameterMm, place: 'wall' as const }));
      const { truth } = await smallChest(folder, { seed: 3, nodules, rows: 200, slices: 60, sliceSpacingMm: 3 });
      const { centreMm, diameterMm } = truth.nodules[1]!;
      const finding = (await scored(folder)).findings.find((one) => near(one, centreMm, 4))!;
      expect(Math.abs(finding.diameterMm! - diameterMm)).toBeLessThan(1.2);
    });
  });

  it.each([false, true])(
    'tells left from right by the patient, not by the picture (seen from the head: %s)',
    async (seenFromHead) => {
      await withFolder(async (folder) => {
        const centreMm = [82, 5, 10] as const;
        await smallChest(folder, { nodules: [{ diameterMm: 16, centreMm }], seenFromHead });
        const finding = (await scored(folder)).findings.find((one) => near(one, centreMm, 4));
        expect(finding).toMatchObject({
          site: { code: '44029006', display: 'Left lung structure' },
          siteText: 'left lung, middle third of its height',
        });
      });
    },
  );

  it('reports its progress, and finds little in lungs without nodules', async () => {
    await withFolder(async (folder) => {
      await smallChest(folder, { nodules: 0, rows: 200, slices: 60, sliceSpacingMm: 3 });
      const stages = new Set<string>();
      const outcome = await scoreStudy({ model, folder, onProgress: ({ stage }) => stages.add(stage) });
      expect(outcome.ok ? outcome.value.findings.length : outcome.code).toBeLessThanOrEqual(2);
      expect([...stages]).toEqual(['reading', 'computing', 'measuring']);
    });
  });
});

describeWithRealData('scoring a real chest CT', (data) => {
  it('hits the lesion that its structured report marks, with at most two other findings', async () => {
    const result = await scored(join(data, 'hospital-a', 'dicom', 'NLST-101287_CT-chest_lung-cancer'));
    // Middle of the eight boxes of the report: columns 266 to 306, rows 286 to 320, planes 1174 to 1188 mm.
    const lesion = [3.7, 2.7, 1181];
    const [hits, others] = [
      result.findings.filter((one) => near(one, lesion, 9)),
      result.findings.filter((one) => !near(one, lesion, 9)),
    ];
    process.stdout.write(
      `NLST chest CT: lesion ${hits.length ? 'hit' : 'missed'}, ${others.length} other findings, ${result.elapsedMs} ms\n`,
    );
    expect(hits).toHaveLength(1);
    expect(hits[0]!.diameterMm).toBeGreaterThan(14);
    expect(hits[0]!.diameterMm).toBeLessThan(21);
    expect(hits[0]!.site!.display).toBe('Left lung structure');
    expect(others.length).toBeLessThanOrEqual(2);
    expect(result.inputs).toHaveLength(143);
  });

  it.each([
    'hospital-b/dicom/KNIX_MR-knee',
    'hospital-b/dicom/HEAD-CT_GE_QMNx85rKkkg',
    'hospital-a/dicom/RSNA-CXR_16d7f894_CR-chest',
    'hospital-a/dicom/A046441_19010101_CT-chest',
  ])('says that it does not apply to %s', async (study) => {
    expect(await scoreStudy({ model, folder: join(data, study) })).toMatchObject({ ok: false, code: 'not-applicable' });
  });
});

describe('scoring what cannot be scored', () => {
  it('fails as malformed where a file is garbage', async () => {
    await withFolder(async (folder) => {
      const { files } = await smallChest(folder);
      await writeFile(files[7]!.path, Buffer.alloc(5000, 0x41));
      expect(await scoreStudy({ model, folder })).toMatchObject({ ok: false, code: 'malformed-input' });
    });
  });

  it('fails as malformed where a slice is cut off in its pixels', async () => {
    await withFolder(async (folder) => {
      const { files } = await smallChest(folder);
      await writeFile(files[7]!.path, (await readFile(files[7]!.path)).subarray(0, 20_000));
      expect(await scoreStudy({ model, folder })).toMatchObject({ ok: false, code: 'malformed-input' });
    });
  });

  it('fails as malformed where a slice is missing', async () => {
    await withFolder(async (folder) => {
      const { files } = await smallChest(folder);
      await rm(files[20]!.path);
      expect(await scoreStudy({ model, folder })).toMatchObject({ ok: false, code: 'malformed-input' });
    });
  });

  it('does not apply to a head, to a study of too few slices, or to nothing', async () => {
    await withFolder(async (folder) => {
      const patient = { id: 'P-3', name: 'Wu^Min' };
      await writeHeadCt({ folder, patient, study: { uid: '2.25.4713', started: '2024-05-06T07:08' }, rows: 96 });
      expect(await scoreStudy({ model, folder })).toMatchObject({ ok: false, code: 'not-applicable' });
    });
    await withFolder(async (folder) => {
      const { files } = await smallChest(folder);
      expect(await scoreStudy({ model, files: files.slice(0, 10).map(({ path }) => path) })).toMatchObject({
        ok: false,
        code: 'not-applicable',
      });
      expect(await scoreStudy({ model, files: [] })).toMatchObject({ ok: false, code: 'malformed-input' });
    });
  });

  it('gives the reason when its time is up, when it is cancelled, and when it takes too much memory; no process stays', async () => {
    await withFolder(async (folder) => {
      await smallChest(folder);
      const controller = new AbortController();
      const cancelled = scoreStudy({ model, folder, signal: controller.signal, onProgress: () => controller.abort() });
      expect(await cancelled).toMatchObject({ ok: false, code: 'cancelled' });
      expect(await scoreStudy({ model, folder, signal: controller.signal })).toMatchObject({ ok: false, code: 'cancelled' });
      expect(await scoreStudy({ model, folder, timeoutMs: 50 })).toMatchObject({ ok: false, code: 'timeout' });
      expect(await scoreStudy({ model, folder, memoryLimitBytes: 64 * 1024 ** 2 })).toMatchObject({
        ok: false,
        code: 'out-of-memory',
      });
    });
  });

  it('survives the death of the scoring process', async () => {
    await withFolder(async (folder) => {
      await smallChest(folder);
      const before = new Set(await children());
      let killed = false;
      const outcome = await scoreStudy({
        model,
        folder,
        onProgress: async () => {
          if (killed) return;
          killed = true;
          const started = (await children()).filter((pid) => !before.has(pid));
          expect(started).toHaveLength(1);
          process.kill(started[0]!, 'SIGKILL');
        },
      });
      expect(outcome).toMatchObject({ ok: false, code: 'crashed' });
      expect((await readdir(folder)).length).toBeGreaterThan(0);
    });
  });
});
