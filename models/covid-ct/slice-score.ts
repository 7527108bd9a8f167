import type { CtSlice } from '../dicom/ct-slices.js';
import type { HeatMap } from '../finding.js';
import type { Manifest } from '../manifest.js';
import type { TensorData, Tools } from '../pipeline.js';

/** What the network says of one slice. */
export interface SliceScore {
  sopInstanceUid: string;
  seriesInstanceUid: string;
  probability: number;
  map: HeatMap;
}

export type Plane = Pick<CtSlice, 'hounsfield' | 'rows' | 'columns' | 'axes' | 'seriesInstanceUid' | 'instance'>;

/** Cosine that a column must have with the way from front to back. */
const leastCosine = 0.7;

/** Whether the columns of a slice run from front to back or back to front, so that turning it over makes it upright. */
export const canStandUpright = ({ axes }: Pick<Plane, 'axes'>): boolean => Math.abs(axes.y[1]!) > leastCosine;

/** Which way a slice has to be turned over to lie as seen from the feet with the sternum up. */
interface Turn {
  rows: boolean;
  columns: boolean;
}

/** Runs the graph on a slice, sternum up however it is stored, and gives the map where it lies on the slice as it is stored. */
export async function scoreSlice(plane: Plane, { parameters }: Manifest, tools: Tools): Promise<SliceScore> {
  const { rows, columns, axes, instance, seriesInstanceUid } = plane;
  const turn = { rows: axes.y[1]! < 0, columns: axes.x[0]! < 0 };
  const data = greyOf(plane, parameters['windowCentre']!, parameters['windowWidth']!, turn);
  const { probability, heat_map, box } = await tools.run({ grey: { data, shape: [1, 1, rows, columns] } });
  const [x, y, width, height] = box!.data as unknown as [number, number, number, number];
  const { sopInstanceUid } = instance;
  return {
    sopInstanceUid,
    seriesInstanceUid,
    probability: probability!.data[0]!,
    map: {
      sopInstanceUid,
      frame: 1,
      box: { x: turn.columns ? columns - x - width : x, y: turn.rows ? rows - y - height : y, width, height },
      ...mapOf(heat_map!, turn),
    },
  };
}

/** The window as greys from 0 to 255, turned over. */
function greyOf({ hounsfield, rows, columns }: Plane, centre: number, width: number, turn: Turn): Float32Array {
  const lowest = centre - width / 2;
  return turnedOver(hounsfield, rows, columns, turn).map((value) => Math.min(255, Math.max(0, ((value - lowest) / width) * 255)));
}

function mapOf({ data, shape }: TensorData, turn: Turn): Pick<HeatMap, 'rows' | 'columns' | 'values'> {
  const [rows, columns] = shape as [number, number];
  return { rows, columns, values: [...turnedOver(data, rows, columns, turn)].map((value) => Number(value.toFixed(3))) };
}

function turnedOver(values: ArrayLike<number>, rows: number, columns: number, turn: Turn): Float32Array {
  const turned = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    const from = (turn.rows ? rows - 1 - row : row) * columns;
    for (let column = 0; column < columns; column++) {
      turned[row * columns + column] = values[from + (turn.columns ? columns - 1 - column : column)]!;
    }
  }
  return turned;
}
