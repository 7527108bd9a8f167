import type { DicomJson } from '../values.js';
import { text } from '../describe.js';
import { firstItem, macroOf, numbersOf } from './attributes.js';
import { type LookupTable, lookupTable } from './lookup-table.js';

/** VOI LUT Function (PS3.3 C.11.2.1.2 and C.11.2.1.3). */
export type WindowFunction = 'linear' | 'linear-exact' | 'sigmoid';

/** Values of interest: a window in units of the modality (PS3.3 C.11.2). */
export interface Window {
  center: number;
  width: number;
  function: WindowFunction;
}

const functions: Record<string, WindowFunction> = { LINEAR: 'linear', LINEAR_EXACT: 'linear-exact', SIGMOID: 'sigmoid' };

/** The first window, or the first table, that a frame (from 1) states; undefined where it states none. */
export function statedWindow(header: DicomJson, frame: number, signed: boolean): Window | LookupTable | undefined {
  const macro = macroOf(header, frame, '00289132');
  const [center] = numbersOf(macro, '00281050') ?? [];
  const [width] = numbersOf(macro, '00281051') ?? [];
  if (center !== undefined && width !== undefined && width > 0)
    return { center, width, function: functions[text(macro, '00281056')?.toUpperCase() ?? ''] ?? 'linear' };
  const table = firstItem(header, '00283010');
  return table && lookupTable(table, { descriptor: '00283002', data: '00283006' }, signed);
}

/** How a window maps a value of the modality to 0 to 255. */
export function windowed({ center, width, function: shape }: Window): (value: number) => number {
  if (shape === 'sigmoid') return (value) => 255 / (1 + Math.exp((-4 * (value - center)) / width));
  const [middle, range] = shape === 'linear' ? [center - 0.5, Math.max(width - 1, Number.MIN_VALUE)] : [center, width];
  return (value) => {
    const share = (value - middle) / range + 0.5;
    return share <= 0 ? 0 : share >= 1 ? 255 : share * 255;
  };
}
