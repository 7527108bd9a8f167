import { inLung } from './chest-anatomy.js';
import { type PhantomVolume, paintSolid, type Vector } from './volume.js';

// Called for every voxel: a look-up of the global each time would cost more than the arithmetic in a sandboxed context.
const { max, min, sqrt } = Math;

/** A patch of ground glass or consolidation: the part of an ellipsoid that lies in the lungs. */
export interface PlantedOpacity {
  /** Middle in the patient's space, mm; may lie in the wall, then the patch is a cap under the pleura. */
  centreMm: Vector;
  halfAxesMm: Vector;
  /** Default -500 (ground glass); consolidation has about 30. */
  hounsfield?: number;
}

export interface OpacityTruth extends Required<PlantedOpacity> {
  volumeMl: { left: number; right: number };
}

/** Plants the patches, vessels shining through and airways left open, and returns them with their volumes. */
export function plantOpacities(volume: PhantomVolume, opacities: PlantedOpacity[], halfHeight: number): OpacityTruth[] {
  return opacities.map(({ centreMm, halfAxesMm, hounsfield = -500 }) => {
    const opacity = { centreMm, halfAxesMm, hounsfield };
    const low = centreMm.map((value, axis) => value - halfAxesMm[axis]!) as unknown as Vector;
    const high = centreMm.map((value, axis) => value + halfAxesMm[axis]!) as unknown as Vector;
    const distance = (x: number, y: number, z: number) =>
      inLung([x, y, z], halfHeight) ? depth(opacity, x, y, z) : Number.POSITIVE_INFINITY;
    paintSolid(volume, { low, high }, distance, hounsfield, (there, painted) => (there < -960 ? there : max(there, painted)));
    return { ...opacity, volumeMl: volumeOf(opacity, halfHeight) };
  });
}

/** About the distance to the surface of the ellipsoid, mm, negative inside. */
function depth({ centreMm, halfAxesMm }: PlantedOpacity, x: number, y: number, z: number): number {
  const [a, b, c] = halfAxesMm;
  return (sqrt(((x - centreMm[0]) / a) ** 2 + ((y - centreMm[1]) / b) ** 2 + ((z - centreMm[2]) / c) ** 2) - 1) * min(a, b, c);
}

/** Counted on a grid of 2 mm of its own, so that it does not depend on the voxels of the phantom. */
function volumeOf(opacity: PlantedOpacity, halfHeight: number): OpacityTruth['volumeMl'] {
  const volumeMl = { left: 0, right: 0 };
  const largestLung: Vector = [138, 92, halfHeight];
  const range = (axis: 0 | 1 | 2) => ({
    from: max(opacity.centreMm[axis] - opacity.halfAxesMm[axis], -largestLung[axis]),
    to: min(opacity.centreMm[axis] + opacity.halfAxesMm[axis], largestLung[axis]),
  });
  const [alongX, alongY, alongZ] = [range(0), range(1), range(2)];
  for (let x = alongX.from; x <= alongX.to; x += 2) {
    for (let y = alongY.from; y <= alongY.to; y += 2) {
      for (let z = alongZ.from; z <= alongZ.to; z += 2) {
        if (depth(opacity, x, y, z) < 0 && inLung([x, y, z], halfHeight)) volumeMl[x > 0 ? 'left' : 'right'] += 0.008;
      }
    }
  }
  return volumeMl;
}
