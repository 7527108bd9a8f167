/**
 * Measures the model on computed phantoms of heads: `node <build>/models/cerebral-haemorrhage/measure.js [--cases 20] [--seed 101]
 * [--series thick] [--json]`. Even seeds bleed (1 to 60 ml, half of them with mass effect), odd seeds do not. Prints sensitivity, specificity,
 * errors of volume and midline, and times; with `--json` every case as a line, so that runs can be put together.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type HeadCtRequest, type HeadTruth, writeHeadCt } from '../phantoms/head-ct.js';
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
  console.table(cases.map(brief));
}

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
