import type { DicomJson } from '../values.js';
import { firstItem, macroOf, numbersOf } from './attributes.js';
import { type LookupTable, lookedUp, lookupTable } from './lookup-table.js';
import type { Samples } from './stored-values.js';

/** From stored values to those of the modality, such as Hounsfield units (PS3.3 C.11.1): a line, or a table. */
export type ModalityTransform = { slope: number; intercept: number } | LookupTable;

/** The modality transform of a frame (from 1), of the image or its functional groups; the identity where there is none. */
export function modalityTransform(header: DicomJson, frame: number, signed: boolean): ModalityTransform {
  const table = firstItem(header, '00283000');
  const lookup = table && lookupTable(table, { descriptor: '00283002', data: '00283006' }, signed);
  if (lookup) return lookup;
  const macro = macroOf(header, frame, '00289145');
  const slope = numbersOf(macro, '00281053')?.[0];
  return { slope: slope || 1, intercept: numbersOf(macro, '00281052')?.[0] ?? 0 };
}

/** Stored values in units of the modality, in the same order. */
export function modalityValues(samples: Samples, transform: ModalityTransform): Float32Array {
  const out = new Float32Array(samples.length);
  if ('entries' in transform) for (let i = 0; i < out.length; i++) out[i] = lookedUp(transform, samples[i]!);
  else for (let i = 0; i < out.length; i++) out[i] = samples[i]! * transform.slope + transform.intercept;
  return out;
}
