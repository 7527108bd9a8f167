import { text } from '../../connectors/dicom/describe.js';
import { macroOf } from '../../connectors/dicom/pixels/attributes.js';
import type { DicomJson } from '../../connectors/dicom/values.js';

/** Of the patient. */
export type Side = 'right' | 'left';

const sides: Record<string, Side | undefined> = { R: 'right', L: 'left' };

/**
 * Which of a paired organ a frame (from 1) shows: Image Laterality (0020,0062), Frame Laterality (0020,9072), or the Laterality (0020,0060) of the
 * series. Undefined where none is stated, or both sides, or the image and its series contradict each other.
 */
export function sideOf(header: DicomJson, frame: number): Side | undefined {
  const stated = [
    text(header, '00200062'),
    text(macroOf(header, frame, '00209071'), '00209072'),
    text(header, '00200060'),
  ].flatMap((value) => value?.toUpperCase() ?? []);
  const [first, ...others] = stated;
  return others.every((other) => other === first) ? sides[first ?? ''] : undefined;
}
