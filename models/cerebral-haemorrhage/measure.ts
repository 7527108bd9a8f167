/**
 * Measures the model on computed phantoms of heads: `node <build>/models/cerebral-haemorrhage/measure.js [--cases 20] [--seed 101]
 * [--series thick] [--json]`. Even seeds bleed (1 to 60 ml, half of them with mass effect), odd seeds do not. Prints sensitivity, specificity,
 * errors of volume and midline, and times; with `--json` every case as a line, so that runs can be put together.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Finding } from '../finding.js';
import { loadModelPackage } from '../model-package.js';
import { type HaemorrhageTruth, type HeadCtRequest, type HeadTruth, writeHeadCt } from '../phantoms/head-ct.js';
import { between, randomStream } from '../phantoms/random.js';
import { scoreStudy } from '../runtime.js';
import type { Scored } from '../score-messages.js';

interface Case {
  seed: number;
  series: string;
  truth: HeadTruth;
  scored: Scored;
}

/** Slices and noise as scanners give them. */
const kinds: Record<string, Partial<HeadCtRequest>> = {
  thin: { slices: 130, sliceSpacingMm: 1.25, noise: 9, rows: 224 },
  middle: { slices: 60, sliceSpacingMm: 2.5, noise: 6, rows: 224 },
  thick: { slices: 30, sliceSpacingMm: 5, noise: 4, rows: 224 },
  tilted: { slices: 30, sliceSpacingMm: 5, noise: 4, tiltDegrees: 18, rows: 224 },
  mixed: { slices: 26, sliceSpacingMm: 7, thinnerBelow: { slices: 10, spacingMm: 3.5 }, noise: 4, tiltDegrees: 15, rows: 224 },
  noisy: { slices: 30, sliceSpacingMm: 5, noise: 8, rows: 224 },
};

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: '20' },
    seed: { type: 'string', default: '101' },
    series: { type: 'string', default: 'thick' },
    json: { type: 'boolean', default: false },
  },
});

async function main(): Promise<void> {
  const cases: Case[] = [];
  for (const series of values.series.split(',')) {
    for (let seed = Number(values.seed); seed < Number(values.seed) + Number(values.cases); seed++) {
      const one = await scorePhantom(seed, series);
      cases.push(one);
      if (values.json) console.log(JSON.stringify(brief(one)));
    }
  }
  if (values.json) return;
  const loaded = await loadModelPackage('cerebral-haemorrhage');
  if (!loaded.ok) throw new Error(loaded.message);
  const operating = loaded.value.manifest.thresholds as Operating;
  const series = [...new Set(cases.map((one) => one.series))].map((name) => ({
    name,
    list: cases.filter((one) => one.series === name),
  }));
  console.table(
    [...series, { name: 'all', list: cases }].map(({ name, list }) => ({ series: name, ...detection(list, operating) })),
  );
  console.table(sizes.map(([size, belongs]) => ({ size, ...volumes(cases, operating, belongs) })));
  console.table(
    series.map(({ name, list }) => ({ series: name, ...volumes(list, operating, () => true), ...midline(list), ...costs(list) })),
  );
}

type Operating = { score: number; leastVolumeMl: number };

const sizes: [string, (ml: number) => boolean][] = [
  ['1 to 3 ml', (ml) => ml < 3],
  ['3 to 10 ml', (ml) => ml >= 3 && ml < 10],
  ['10 to 30 ml', (ml) => ml >= 10 && ml < 30],
  ['30 to 60 ml', (ml) => ml >= 30],
];

const reported = ({ scored }: Case, { score, leastVolumeMl }: Operating): Finding[] =>
  scored.findings.filter((finding) => finding.score >= score && finding.volumeMm3! >= 1000 * leastVolumeMl);

/** A finding hits where its middle lies within 5 mm of that of the blood, or within half the radius of a ball of its volume. */
function hits(truth: HaemorrhageTruth, finding: Finding): boolean {
  const offset = truth.centreMm.map((mm, axis) => mm - finding.centreMm![axis]!);
  return Math.hypot(...offset) <= Math.max(5, 0.5 * Math.cbrt((3000 * truth.volumeMl) / (4 * Math.PI)));
}

function detection(cases: Case[], operating: Operating) {
  const bleeding = cases.filter(({ truth }) => truth.haemorrhages.length > 0);
  const normal = cases.filter(({ truth }) => truth.haemorrhages.length === 0);
  const found = bleeding.filter((one) => reported(one, operating).some((finding) => hits(one.truth.haemorrhages[0]!, finding)));
  const wrong = cases.flatMap((one) =>
    reported(one, operating).filter((finding) => !one.truth.haemorrhages.some((truth) => hits(truth, finding))),
  );
  return {
    bleeding: bleeding.length,
    found: found.length,
    normal: normal.length,
    negative: normal.filter((one) => reported(one, operating).length === 0).length,
    'false positives': wrong.length,
  };
}

function volumes(cases: Case[], operating: Operating, belongs: (ml: number) => boolean) {
  const pairs = cases.flatMap((one) =>
    one.truth.haemorrhages
      .filter(({ volumeMl }) => belongs(volumeMl))
      .map((truth) => ({ truth, finding: reported(one, operating).find((finding) => hits(truth, finding)) })),
  );
  const errors = pairs.flatMap(({ truth, finding }) => (finding ? [finding.volumeMm3! / 1000 - truth.volumeMl] : []));
  const shares = pairs.flatMap(({ truth, finding }) => (finding ? [finding.volumeMm3! / 1000 / truth.volumeMl - 1] : []));
  return {
    planted: pairs.length,
    found: errors.length,
    'volume bias ml': mean(errors),
    'mean absolute error ml': mean(errors.map(Math.abs)),
    'mean absolute error %': rounded(100 * mean(shares.map(Math.abs)), 0),
  };
}

function midline(cases: Case[]) {
  const errors = cases
    .map(brief)
    .flatMap(({ shift, measuredShift }) => (measuredShift === null ? [] : [Math.abs(measuredShift - shift)]));
  return { 'shift measured': errors.length, 'shift error mm': mean(errors), 'largest shift error mm': Math.max(...errors) };
}

const costs = (cases: Case[]) => ({
  'median ms': cases.map(({ scored }) => scored.elapsedMs).sort((a, b) => a - b)[cases.length >> 1],
  'peak MB': Math.round(Math.max(...cases.map(({ scored }) => scored.peakMemoryBytes)) / 1e6),
});

const mean = (list: number[]): number => rounded(list.reduce((sum, value) => sum + value, 0) / list.length, 2);

async function scorePhantom(seed: number, series: string): Promise<Case> {
  const folder = await mkdtemp(join(tmpdir(), 'phantom-'));
  try {
    const random = randomStream(seed * 7919);
    const { truth } = await writeHeadCt({
      folder,
      patient: { id: `PHANTOM-${seed}`, name: 'Phantom^Head' },
      study: { uid: `2.25.${seed}`, started: '2024-01-01T00:00:00' },
      seed,
      varied: true,
      ...kinds[series],
      ...(seed % 2 === 0 ? bleeding(random) : {}),
    });
    const scored = await scoreStudy({ model: 'cerebral-haemorrhage', folder, thresholds: { score: 0, leastVolumeMl: 0.1 } });
    if (!scored.ok) throw new Error(`Seed ${seed}, ${series}: ${scored.message}`);
    return { seed, series, truth, scored: scored.value };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Volumes are spread evenly over their logarithm. */
function bleeding(random: () => number): Partial<HeadCtRequest> {
  return { haemorrhages: [Math.exp(between(random, 0, Math.log(60)))], shiftMm: random() < 0.5 ? 0 : between(random, -12, 12) };
}

const brief = ({ seed, series, truth, scored: { findings, summary, elapsedMs, peakMemoryBytes } }: Case) => ({
  seed,
  series,
  planted: truth.haemorrhages.map(({ place, volumeMl, centreMm }) => ({
    place,
    ml: rounded(volumeMl, 1),
    centre: centreMm.map((mm) => rounded(mm, 0)),
  })),
  shift: rounded(truth.midlineShiftMm, 1),
  found: findings.map(({ score, volumeMm3, centreMm, site }) => ({
    score,
    ml: volumeMm3! / 1000,
    centre: centreMm!.map((mm) => rounded(mm, 0)),
    side: site?.code[0],
  })),
  measuredShift:
    summary['midlineShiftMm'] === null ? null : summary['midlineShiftMm']! * (summary['midlineShiftSide'] === 1 ? -1 : 1),
  abc2: summary['largestAbc2Ml'],
  ms: elapsedMs,
  mb: Math.round(peakMemoryBytes / 1e6),
});

const rounded = (value: number, digits: number): number => Number(value.toFixed(digits));

await main();
