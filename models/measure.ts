/**
 * Measures a detector of pulmonary nodules on computed phantoms: `node <build>/models/measure.js [--cases 20] [--seed 101] [--nodules 5]
 * [--slices 100] [--spacing 2.5] [--rows 256]`. Prints sensitivity and false positives a case over operating points, by size and place, with times.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Finding } from './finding.js';
import { writeChestCt } from './phantoms/chest-ct.js';
import type { NoduleTruth } from './phantoms/nodules.js';
import { loadModelPackage } from './model-package.js';
import { scoreStudy } from './runtime.js';
import type { Scored } from './score-messages.js';

interface Case {
  nodules: NoduleTruth[];
  scored: Scored;
}

/** A nodule, and the finding that hit it best. */
interface Hit {
  nodule: NoduleTruth;
  finding: Finding | undefined;
}

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: '20' },
    seed: { type: 'string', default: '101' },
    nodules: { type: 'string', default: '5' },
    slices: { type: 'string', default: '100' },
    spacing: { type: 'string', default: '2.5' },
    rows: { type: 'string', default: '256' },
  },
});

async function main(): Promise<void> {
  const [count, first] = [Number(values.cases), Number(values.seed)];
  const cases: Case[] = [];
  for (let seed = first; seed < first + count; seed++) cases.push(await scorePhantom(seed));
  const loaded = await loadModelPackage('pulmonary-nodule');
  if (!loaded.ok) throw new Error(loaded.message);
  const { name, version, thresholds } = loaded.value.manifest;
  const operating = thresholds['score']!;
  console.log(
    `${name} ${version} at ${operating}, phantoms with seeds ${first} to ${first + count - 1}, ${values.slices} slices of ${values.spacing} mm, ${values.rows} x ${values.rows}`,
  );
  console.table(
    [0.6, 0.62, 0.64, 0.66, 0.67, 0.68, 0.7, 0.72].map((threshold) => operatingPoint(cases, threshold, ({ score }) => score)),
  );
  console.log('By the shape alone, as the evidence gives it:');
  console.table([0.6, 0.65, 0.7].map((threshold) => operatingPoint(cases, threshold, ({ evidence }) => evidence!['response']!)));
  console.table(groups.map(([group, belongs]) => subgroup(cases, group, belongs, operating)));
  console.table([costs(cases)]);
}

/** Low enough that every candidate counts that a table tells of, by its score or by its shape alone. */
const lowest = 0.51;

async function scorePhantom(seed: number): Promise<Case> {
  const folder = await mkdtemp(join(tmpdir(), 'phantom-'));
  try {
    const { truth } = await writeChestCt({
      folder,
      patient: { id: `PHANTOM-${seed}`, name: 'Phantom^Chest' },
      study: { uid: `2.25.${seed}`, started: '2024-01-01T00:00:00' },
      seed,
      nodules: Number(values.nodules),
      slices: Number(values.slices),
      sliceSpacingMm: Number(values.spacing),
      rows: Number(values.rows),
    });
    const scored = await scoreStudy({ model: 'pulmonary-nodule', folder, thresholds: { score: lowest, mostFindings: 200 } });
    if (!scored.ok) throw new Error(`Seed ${seed}: ${scored.message}`);
    return { nodules: truth.nodules, scored: scored.value };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A finding hits a nodule when its middle lies within the nodule's radius of the nodule's middle, or within 4 mm. */
function hits(nodule: NoduleTruth, finding: Finding): boolean {
  const offset = nodule.centreMm.map((value, axis) => value - (finding.centreMm?.[axis] ?? Number.NaN));
  return Math.hypot(...offset) <= Math.max(4, nodule.diameterMm / 2);
}

const hitsOf = ({ nodules, scored }: Case): Hit[] =>
  nodules.map((nodule) => ({ nodule, finding: scored.findings.find((finding) => hits(nodule, finding)) }));

function operatingPoint(cases: Case[], threshold: number, figureOf: (finding: Finding) => number) {
  const called = (finding: Finding) => figureOf(finding) >= threshold;
  const nodules = cases.flatMap(({ nodules, scored }) => nodules.map((nodule) => ({ nodule, findings: scored.findings })));
  const found = nodules.filter(({ nodule, findings }) => findings.some((finding) => called(finding) && hits(nodule, finding)));
  const falsePositives = cases.flatMap(({ nodules, scored }) =>
    scored.findings.filter((finding) => called(finding) && !nodules.some((nodule) => hits(nodule, finding))),
  );
  return {
    threshold,
    sensitivity: round(found.length / nodules.length, 3),
    'false positives a case': round(falsePositives.length / cases.length, 2),
  };
}

const groups: [string, (nodule: NoduleTruth) => boolean][] = [
  ['5 to 8 mm', ({ diameterMm }) => diameterMm < 8],
  ['8 to 12 mm', ({ diameterMm }) => diameterMm >= 8 && diameterMm < 12],
  ['12 to 20 mm', ({ diameterMm }) => diameterMm >= 12],
  ['free in the lung', ({ place }) => place === 'free'],
  ['at the wall', ({ place }) => place === 'wall'],
];

function subgroup(cases: Case[], name: string, belongs: (nodule: NoduleTruth) => boolean, threshold: number) {
  const found = cases.flatMap(hitsOf).filter(({ nodule }) => belongs(nodule));
  const detected = found.filter(({ finding }) => finding && finding.score >= threshold);
  const errors = detected.map(({ finding, nodule }) => (finding!.diameterMm ?? Number.NaN) - nodule.diameterMm);
  const mean = (list: number[]) => round(list.reduce((sum, value) => sum + value, 0) / list.length, 2);
  return {
    nodules: name,
    count: found.length,
    sensitivity: round(detected.length / found.length, 3),
    'diameter bias mm': mean(errors),
    'mean absolute error mm': mean(errors.map(Math.abs)),
  };
}

function costs(cases: Case[]) {
  const middle = (list: number[]) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)]!;
  const stages = (['reading', 'computing', 'measuring'] as const).map((stage) => [
    `${stage} ms`,
    middle(cases.map(({ scored }) => scored.stagesMs[stage])),
  ]);
  const peak = Math.max(...cases.map(({ scored }) => scored.peakMemoryBytes));
  return {
    'median ms': middle(cases.map(({ scored }) => scored.elapsedMs)),
    ...Object.fromEntries(stages),
    'peak memory MB': Math.round(peak / 1e6),
  };
}

const round = (value: number, digits: number): number => Number(value.toFixed(digits));

await main();
