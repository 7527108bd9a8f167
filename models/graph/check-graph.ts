import type { Manifest } from '../manifest.js';
import { type GraphReading, readGraphProto, type StatedTensor } from './read-graph.js';

const float32 = 1;

type Stated = Manifest['furtherGraphs'][string];

/** Reads a graph and compares its inputs and outputs with the manifest: each fault is a sentence; without one it may be given to onnxruntime. */
export function checkGraph(bytes: Buffer, { inputs, outputs }: Pick<Stated, 'inputs' | 'outputs'>): GraphReading {
  const reading = readGraphProto(bytes);
  if (reading.faults.length > 0) return reading;
  const faults = [...differences('inputs', inputs, reading.inputs), ...differences('outputs', outputs, reading.outputs)];
  return { ...reading, faults };
}

function differences(which: 'inputs' | 'outputs', wanted: Stated['inputs'], found: StatedTensor[]): string[] {
  const names = (tensors: { name: string }[]): string => tensors.map(({ name }) => name).join(', ') || 'none';
  if (names(wanted) !== names(found)) return [`The ${which} are ${names(found)}, in the manifest ${names(wanted)}.`];
  return wanted.flatMap(({ name, shape }, i) => {
    const tensor = found[i]!;
    if (tensor.type !== float32) return [`The type of ${name} is not float32.`];
    const same = shape.length === tensor.shape.length && shape.every((size, axis) => fits(size, tensor.shape[axis]!));
    return same ? [] : [`The shape of ${name} is [${tensor.shape.join(', ')}], in the manifest [${shape.join(', ')}].`];
  });
}

/** A size that varies is a name in both; the graph may leave the name out. */
const fits = (wanted: number | string, found: number | string): boolean =>
  wanted === found || (typeof wanted === 'string' && found === '');
