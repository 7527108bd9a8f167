import type { Picture } from '../../connectors/dicom/pixels/presentation.js';
import type { Manifest } from '../manifest.js';

/** What the graph says of the field of view. */
export interface Field {
  /** Share of the picture that is bright. */
  share: number;
  /** Around what is bright, in pixels: x, y, width, height. */
  box: readonly number[];
}

/**
 * Why a picture does not look like a fundus: its bright field is no disc, which may be cut above and below, on black; or its colours are not
 * those of a retina under white light. Undefined where it does.
 */
export function unlikeFundus(picture: Picture, { share, box }: Field, bounds: Manifest['parameters']): string | undefined {
  const [, , width = 0, height = 0] = box;
  if (Math.min(width, height) < bounds.leastFieldPixels!) return 'The photograph is too small.';
  const discShare = (share * picture.rows * picture.columns) / (width * height);
  const aspect = Math.max(width / height, height / width);
  if (aspect > bounds.mostFieldAspect! || discShare < bounds.leastDiscShare! || discShare > bounds.mostDiscShare!)
    return 'The picture does not look like a photograph of the fundus: it shows no round field on black.';
  const [red, green, blue] = meanColour(picture, box);
  if (red < bounds.leastRedOverGreen! * green || green < bounds.leastGreenOverBlue! * blue)
    return 'The picture does not look like a photograph of the fundus: its colours are others.';
  return undefined;
}

/** Of the middle half of the box, which no corner of the field reaches. */
function meanColour({ pixels, columns }: Picture, [x = 0, y = 0, width = 0, height = 0]: readonly number[]) {
  const sums: [red: number, green: number, blue: number] = [0, 0, 0];
  for (let row = Math.ceil(y + height / 4); row < y + (height * 3) / 4; row++) {
    for (let column = Math.ceil(x + width / 4); column < x + (width * 3) / 4; column++) {
      const at = (row * columns + column) * 3;
      for (let c = 0; c < 3; c++) sums[c]! += pixels[at + c]!;
    }
  }
  return sums;
}
