import type { BoxOnInstance, Finding, Interpretation } from '../finding.js';
import type { Manifest } from '../manifest.js';
import type { Tensors } from '../pipeline.js';
import type { LungGrid } from './preprocess.js';
import { growRegion, type Region } from './region.js';

interface Candidate {
  score: number;
  /** Plane, row, column on the cropped grid. */
  place: [number, number, number];
  /** Standard deviation of the best scale, mm. */
  scale: number;
}

/** A finding that was measured. */
type Nodule = Finding & Required<Pick<Finding, 'centreMm' | 'diameterMm' | 'volumeMm3'>>;

type Found = Pick<Interpretation, 'positive' | 'summary'> & { findings: Nodule[] };

/** Turns the peaks of the response into findings: measured, without doubles, above the operating point, the best first. */
export function findNodules(outputs: Tensors, grid: LungGrid, manifest: Manifest): Found {
  const { thresholds } = manifest;
  const findings: Nodule[] = [];
  for (const candidate of candidatesOf(outputs, thresholds['score']!)) {
    if (findings.length >= thresholds['mostFindings']!) break;
    const finding = measure(candidate, grid, manifest.parameters['growthInRadii']!);
    if (!finding || finding.diameterMm < thresholds['leastDiameterMm']! || finding.diameterMm > thresholds['mostDiameterMm']!)
      continue;
    if (!findings.some((better) => overlap(better, finding))) findings.push(finding);
  }
  return { findings, positive: findings.length > 0, summary: summarize(findings) };
}

function candidatesOf({ score, place, scale }: Tensors, threshold: number): Candidate[] {
  return [...score!.data]
    .map((value, i) => ({
      score: value,
      place: [...place!.data.subarray(3 * i, 3 * i + 3)] as Candidate['place'],
      scale: scale!.data[i]!,
    }))
    .filter((candidate) => candidate.score >= threshold)
    .sort((a, b) => b.score - a.score);
}

function measure({ score, place, scale }: Candidate, grid: LungGrid, growthInRadii: number): Nodule | undefined {
  // A ball of radius r answers best to the scale r / sqrt(3).
  const radius = (scale * Math.sqrt(3)) / grid.voxel;
  const region = growRegion(grid, place, growthInRadii * radius);
  if (!region) return undefined;
  const volumeMm3 = region.voxels * grid.voxel ** 3;
  const slices = slicesOf(region, grid);
  const middle = slices[Math.floor(slices.length / 2)];
  if (!middle) return undefined;
  return {
    score: rounded(score, 4),
    diameterMm: rounded(Math.cbrt((6 * volumeMm3) / Math.PI), 1),
    volumeMm3: rounded(volumeMm3, 0),
    centreMm: patientPosition(region.centre, grid),
    ...middle,
    slices,
  };
}

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

function patientPosition([plane, row, column]: [number, number, number], { volume, voxel, low }: LungGrid): Nodule['centreMm'] {
  const { origin, axes } = volume;
  const [x, y, z] = [(column + low[2]) * voxel, (row + low[1]) * voxel, (plane + low[0]) * voxel];
  return [0, 1, 2].map((i) => rounded(origin[i]! + x * axes.x[i]! + y * axes.y[i]! + z * axes.z[i]!, 1)) as Nodule['centreMm'];
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
