import type { BoxOnInstance, Finding, Interpretation } from '../finding.js';
import type { Manifest } from '../manifest.js';
import { type Lungs, siteOf, tellLungsApart } from '../chest/lung-side.js';
import { ballOfFreeSurface } from './ball.js';
import type { Candidate } from './candidates.js';
import type { LungGrid } from './preprocess.js';
import { growRegion, isTissue, isWithin, type Region, regionInBall, type Voxel } from './region.js';

type Parameters = Manifest['parameters'];

/** A finding that was measured. */
type Nodule = Finding & Required<Pick<Finding, 'centreMm' | 'diameterMm' | 'volumeMm3'>>;

type Found = Pick<Interpretation, 'positive' | 'summary'> & { findings: Nodule[] };

/** Turns candidates, the best first, into findings: measured, without doubles, in the same order. */
export function findNodules(candidates: Candidate[], grid: LungGrid, { thresholds, parameters }: Manifest): Found {
  const findings: Nodule[] = [];
  const lungs = candidates.length > 0 ? tellLungsApart({ ...grid, positionOf: (place) => positionOf(place, grid) }) : undefined;
  for (const candidate of candidates) {
    if (findings.length >= thresholds['mostFindings']!) break;
    const finding = measure(candidate, grid, parameters, lungs);
    if (!finding || finding.diameterMm < thresholds['leastDiameterMm']! || finding.diameterMm > thresholds['mostDiameterMm']!)
      continue;
    if (!findings.some((better) => overlap(better, finding))) findings.push(finding);
  }
  return { findings, positive: findings.length > 0, summary: summarize(findings) };
}

function measure(
  { score, response, probability, place, scale }: Candidate,
  grid: LungGrid,
  parameters: Parameters,
  lungs: Lungs | undefined,
): Nodule | undefined {
  const region = regionOf(place, scale, grid, parameters);
  if (!region) return undefined;
  const volumeMm3 = region.voxels * grid.voxel ** 3;
  const slices = slicesOf(region, grid);
  const middle = slices[Math.floor(slices.length / 2)];
  if (!middle) return undefined;
  const centreMm = positionOf(region.centre, grid).map((value) => rounded(value, 1)) as Nodule['centreMm'];
  return {
    score: rounded(score, 4),
    evidence: { response: rounded(response, 4), probability: rounded(probability, 4) },
    diameterMm: rounded(Math.cbrt((6 * volumeMm3) / Math.PI), 1),
    volumeMm3: rounded(volumeMm3, 0),
    centreMm,
    ...(lungs && siteOf(lungs, lateralOfAirAround(region, grid), centreMm[2])),
    ...middle,
    slices,
  };
}

/** What hangs together around the place; where the wall takes much of its surface, the ball that its free surface tells. */
function regionOf(place: Voxel, scale: number, grid: LungGrid, parameters: Parameters): Region | undefined {
  // A ball of radius r answers best to the scale r / sqrt(3).
  const radius = (scale * Math.sqrt(3)) / grid.voxel;
  const region = growRegion(grid, place, parameters['growthInRadii']! * radius);
  if (!region || region.walled < parameters['walledShare']! * surfaceOf(region)) return region;
  const ball = ballOfFreeSurface(grid, { centre: region.centre, radius }, parameters['ballInRadii']!);
  return (ball && regionInBall(grid, ball)) ?? region;
}

/** Mean x of the air around a region, mm: a nodule beside the mediastinum belongs to the lung whose air it touches. */
function lateralOfAirAround({ voxels, centre }: Region, grid: LungGrid): number {
  const reach = Math.ceil(Math.cbrt((3 * voxels) / (4 * Math.PI)) + 6 / grid.voxel);
  const [, rows, columns] = grid.shape;
  const steps = Array.from({ length: 2 * reach + 1 }, (_, i) => i - reach);
  const middle = centre.map(Math.round) as Voxel;
  const lateral: number[] = [];
  for (const plane of steps.map((step) => middle[0] + step))
    for (const row of steps.map((step) => middle[1] + step))
      for (const column of steps.map((step) => middle[2] + step)) {
        const at = (plane * rows + row) * columns + column;
        const isAir = isWithin(grid, [plane, row, column]) && grid.lung[at] === 1 && !isTissue(grid, [plane, row, column]);
        if (isAir) lateral.push(positionOf([plane, row, column], grid)[0]);
      }
  return lateral.reduce((sum, x) => sum + x, 0) / lateral.length;
}

/** Faces of a ball of as many voxels: one and a half times its surface. */
const surfaceOf = ({ voxels }: Region): number => 1.5 * 4 * Math.PI * ((3 * voxels) / (4 * Math.PI)) ** (2 / 3);

/** The box on every slice of the series that lies within the region. */
function slicesOf(region: Region, grid: LungGrid): BoxOnInstance[] {
  const { volume, voxel, low } = grid;
  const planes = [...region.extents.keys()];
  const height = (plane: number) => ((plane + low[0]) * voxel) / volume.spacing.z;
  const first = Math.max(0, Math.ceil(height(Math.min(...planes) - 0.5)));
  const last = Math.min(volume.slices - 1, Math.floor(height(Math.max(...planes) + 0.5)));
  const slices: BoxOnInstance[] = [];
  for (let slice = first; slice <= last; slice++) {
    const plane = planes.reduce((best, at) => (Math.abs(height(at) - slice) < Math.abs(height(best) - slice) ? at : best));
    slices.push({
      sopInstanceUid: volume.instances[slice]!.sopInstanceUid,
      frame: 1,
      box: pixelBox(region.extents.get(plane)!, grid),
    });
  }
  return slices;
}

function pixelBox(extent: { top: number; bottom: number; left: number; right: number }, { volume, voxel, low }: LungGrid) {
  const column = (index: number) => ((index + low[2]) * voxel) / volume.spacing.x + 0.5;
  const row = (index: number) => ((index + low[1]) * voxel) / volume.spacing.y + 0.5;
  const x = Math.max(0, column(extent.left - 0.5));
  const y = Math.max(0, row(extent.top - 0.5));
  return {
    x: rounded(x, 1),
    y: rounded(y, 1),
    width: rounded(Math.min(volume.columns, column(extent.right + 0.5)) - x, 1),
    height: rounded(Math.min(volume.rows, row(extent.bottom + 0.5)) - y, 1),
  };
}

/** A place on the cropped grid in the patient's space, mm. */
function positionOf([plane, row, column]: Voxel, { volume, voxel, low }: LungGrid): NonNullable<Finding['centreMm']> {
  const { origin, axes } = volume;
  const [x, y, z] = [(column + low[2]) * voxel, (row + low[1]) * voxel, (plane + low[0]) * voxel];
  const along = (i: 0 | 1 | 2) => origin[i]! + x * axes.x[i]! + y * axes.y[i]! + z * axes.z[i]!;
  return [along(0), along(1), along(2)];
}

/** Two findings are one when the middle of the weaker lies in the ball of the stronger. */
function overlap(better: Nodule, other: Nodule): boolean {
  const [dx, dy, dz] = [0, 1, 2].map((i) => better.centreMm[i]! - other.centreMm[i]!) as [number, number, number];
  return Math.hypot(dx, dy, dz) < Math.max(better.diameterMm, other.diameterMm) / 2 + 1;
}

function summarize(findings: Nodule[]): Interpretation['summary'] {
  return {
    findingCount: findings.length,
    highestScore: findings[0]?.score ?? null,
    largestDiameterMm: findings.length > 0 ? Math.max(...findings.map((finding) => finding.diameterMm)) : null,
  };
}

const rounded = (value: number, digits: number): number => Number(value.toFixed(digits));
