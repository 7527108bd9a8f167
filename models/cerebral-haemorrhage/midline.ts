import type { Cavity } from './cavity.js';
import type { HeadGrid } from './head-volume.js';

/** The plane that halves the cranial cavity, as the skull has it. */
export interface Midline {
  /** Distance of a place from it, mm: positive towards higher columns. */
  sideOf(plane: number, row: number, column: number): number;
  /** Position along it from front to back of the image, mm. */
  alongOf(row: number, column: number): number;
  /** The place at a distance and a position: row and column, as fractions. */
  placeOf(plane: number, side: number, along: number): [row: number, column: number];
}

/** Planes whose cavity is smaller than this share of the largest one tell nothing about the midline: there the skull has an odd form. */
const leastAreaShare = 0.6;
const rounds = 8;
/** The middles of chords lie on the conjugate diameter, not on the axis: for a head each turn overshoots by two thirds, so it is shortened. */
const damping = 0.6;

/**
 * The midline of the skull: the axis across which the chords of the cavity are halved, found by turning the axis until the chords that are
 * perpendicular to it have their middles along it, on all planes with a large cavity together. It may lean, but is not bent.
 */
export function midlineOf({ mask, areas }: Cavity, grid: HeadGrid): Midline {
  const { planes, columns, pixel } = grid;
  const largest = Math.max(...areas);
  const used = planes.flatMap((_, plane) => (areas[plane]! >= leastAreaShare * largest ? [plane] : []));
  let [angle, offset, lean] = [0, 0, 0];
  for (let round = 0; round < rounds; round++) {
    const middles = used.flatMap((plane) => chordMiddles(mask, plane, angle, grid));
    const [constant, slope, rise] = leastSquares(middles);
    angle += damping * Math.atan(slope);
    [offset, lean] = [constant, rise];
  }
  const [s, c] = [Math.sin(angle), Math.cos(angle)];
  const sideAt = (plane: number) => offset + lean * planes[plane]!.height;
  return {
    sideOf: (plane, row, column) => c * column * pixel.x - s * row * pixel.y - sideAt(plane),
    alongOf: (row, column) => s * column * pixel.x + c * row * pixel.y,
    placeOf: (plane, side, along) => {
      const across = side + sideAt(plane);
      return [(c * along - s * across) / pixel.y, (c * across + s * along) / pixel.x];
    },
  };

  /** For each position along the axis, 1 mm apart, the middle of the chord: along, height, middle. */
  function chordMiddles(cavity: Uint8Array, plane: number, turn: number, { rows }: HeadGrid): Middle[] {
    const [sine, cosine] = [Math.sin(turn), Math.cos(turn)];
    const ends = new Map<number, [low: number, high: number]>();
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        if (!cavity[(plane * rows + row) * columns + column]) continue;
        const across = cosine * column * pixel.x - sine * row * pixel.y;
        const along = Math.round(sine * column * pixel.x + cosine * row * pixel.y);
        const known = ends.get(along);
        if (!known) ends.set(along, [across, across]);
        else if (across < known[0]) known[0] = across;
        else if (across > known[1]) known[1] = across;
      }
    }
    const at = [...ends.keys()].sort((a, b) => a - b);
    // Near the front and the back the chords are short and the skull is notched.
    const kept = at.slice(Math.floor(at.length * 0.15), Math.ceil(at.length * 0.85));
    return kept.map((along) => {
      const [low, high] = ends.get(along)!;
      return { along, height: planes[plane]!.height, middle: (low + high) / 2 };
    });
  }
}

interface Middle {
  along: number;
  height: number;
  middle: number;
}

/** middle = constant + slope * along + rise * height. */
function leastSquares(points: Middle[]): [constant: number, slope: number, rise: number] {
  const mean = (of: (point: Middle) => number) => points.reduce((sum, point) => sum + of(point), 0) / points.length;
  const [a, h, m] = [mean((p) => p.along), mean((p) => p.height), mean((p) => p.middle)];
  const aa = mean((p) => (p.along - a) ** 2);
  const hh = mean((p) => (p.height - h) ** 2);
  const ah = mean((p) => (p.along - a) * (p.height - h));
  const am = mean((p) => (p.along - a) * (p.middle - m));
  const hm = mean((p) => (p.height - h) * (p.middle - m));
  const determinant = aa * hh - ah * ah;
  // One plane has no lean.
  const [slope, rise] =
    determinant < 1e-6 ? [am / aa, 0] : [(am * hh - hm * ah) / determinant, (hm * aa - am * ah) / determinant];
  return [m - slope * a - rise * h, slope, rise];
}
