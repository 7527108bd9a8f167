import type { DicomJson } from '../values.js';

/** The first item of a sequence, if it has one. */
export function firstItem(header: DicomJson | undefined, sequence: string): DicomJson | undefined {
  return header?.[sequence]?.Value?.[0] as DicomJson | undefined;
}

/** The values of an attribute that are finite numbers; undefined where there is none. */
export function numbersOf(header: DicomJson | undefined, tag: string): number[] | undefined {
  const values = (header?.[tag]?.Value ?? []).map(Number).filter(Number.isFinite);
  return values.length > 0 ? values : undefined;
}

/**
 * The data set that holds a frame's macro: the item of the Per-Frame or Shared Functional Groups (PS3.3 C.7.6.16), or the header itself where an
 * image has no functional groups. `frame` counts from 1.
 */
export function macroOf(header: DicomJson, frame: number, sequence: string): DicomJson {
  const perFrame = header['52009230']?.Value?.[frame - 1] as DicomJson | undefined;
  return firstItem(perFrame, sequence) ?? firstItem(firstItem(header, '52009229'), sequence) ?? header;
}
