import { between, randomStream } from './random.js';
import type { ColourPicture } from './write-picture.js';

export interface FundusRequest {
  /** Width; the height is two thirds of it, and the round field of view is cut above and below. Default 768. */
  columns?: number;
  /** Bright spots like hard exudates, and as many dark ones like haemorrhages. Default 0. */
  lesions?: number;
  /** Default 1. */
  seed?: number;
}

type Colour = readonly [red: number, green: number, blue: number];

const retina: Colour = [178, 84, 34];
const opticDisc: Colour = [240, 190, 110];
const vessel: Colour = [110, 36, 18];
const exudate: Colour = [238, 212, 96];
const haemorrhage: Colour = [84, 20, 14];

/** Draws a fundus as a camera sees it: optic disc, macula, four arcades of vessels, and spots. No copy of nature: it has its colours and sizes. */
export function drawFundus({ columns = 768, lesions = 0, seed = 1 }: FundusRequest = {}): ColourPicture {
  const rows = Math.round((columns * 2) / 3);
  const pixels = new Uint8Array(rows * columns * 3);
  const radius = columns * 0.4;
  const spots = drawSpots(radius, lesions, seed);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      // In radii of the field from its middle, the optic disc on the right.
      const [x, y] = [(column - columns / 2) / radius, (row - rows / 2) / radius];
      const distance = Math.hypot(x, y);
      if (distance > 1) continue;
      const macula = Math.exp(-((x + 0.15) ** 2 + y ** 2) / 0.02);
      const light = 1 - 0.35 * distance ** 2 - 0.3 * macula;
      const colour = spots.reduce((under, spot) => mixed(under, spot.colour, spot.cover(x, y)), vesselsOver(x, y));
      for (let c = 0; c < 3; c++) pixels[(row * columns + column) * 3 + c] = colour[c]! * light;
    }
  }
  return { pixels, rows, columns };
}

function vesselsOver(x: number, y: number): Colour {
  const disc = Math.exp(-(Math.max(0, Math.hypot(x - 0.5, y) - 0.1) ** 2) / 0.0006);
  const under = mixed(retina, opticDisc, disc);
  // Two arcades, each a vein and an artery: parabolas that open towards the macula.
  const cover = [0.55, 0.75, 0.95].map((bend, i) => {
    const off = Math.abs(x - (0.5 - bend * 2.2 * y ** 2));
    const width = 0.016 - 0.003 * i;
    return off < 0.2 ? 0.8 * Math.exp(-((off / width) ** 2)) : 0;
  });
  return mixed(under, vessel, Math.max(...cover));
}

interface Spot {
  colour: Colour;
  /** 0 to 1. */
  cover(x: number, y: number): number;
}

function drawSpots(radius: number, lesions: number, seed: number): Spot[] {
  const random = randomStream(seed);
  return Array.from({ length: lesions * 2 }, (_, i) => {
    const [angle, distance] = [between(random, 0, 2 * Math.PI), between(random, 0.15, 0.8)];
    const [left, top] = [distance * Math.cos(angle), distance * Math.sin(angle)];
    const size = between(random, 3, 7) / radius;
    const cover = (x: number, y: number) => {
      const off = Math.hypot(x - left, y - top) / size;
      return off < 3 ? Math.exp(-(off ** 4)) : 0;
    };
    return { colour: i % 2 === 0 ? exudate : haemorrhage, cover };
  });
}

const mixed = (under: Colour, over: Colour, share: number): Colour =>
  share === 0
    ? under
    : [under[0] + (over[0] - under[0]) * share, under[1] + (over[1] - under[1]) * share, under[2] + (over[2] - under[2]) * share];
