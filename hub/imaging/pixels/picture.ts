import sharp, { type Sharp } from 'sharp';
import type { Picture } from '../../../connectors/dicom/pixels/presentation.js';
import type { PictureType, Rendering, Viewport } from './messages.js';

sharp.cache(false);
sharp.concurrency(1);

const DEFAULT_QUALITY = 90;

/** Encodes a picture (PS3.18 section 8.7.4), cut and scaled into its viewport (section 8.3.5.1.3). @returns the file. */
export function encodePicture(picture: Picture, { type, quality, viewport }: Rendering): Promise<Buffer> {
  const { pixels, columns, rows, channels } = picture;
  const raw = sharp(pixels, { raw: { width: columns, height: rows, channels } });
  return encodings[type](placed(raw, picture, viewport), quality ?? DEFAULT_QUALITY).toBuffer();
}

const encodings: Record<PictureType, (image: Sharp, quality: number) => Sharp> = {
  // Baseline, as section 8.7.4 demands; colour at full resolution where quality is asked for.
  'image/jpeg': (image, quality) =>
    image.jpeg({ quality, progressive: false, chromaSubsampling: quality >= 90 ? '4:4:4' : '4:2:0' }),
  'image/png': (image) => image.png({ compressionLevel: 6 }),
  'image/gif': (image) => image.gif({ dither: 0 }),
};

function placed(image: Sharp, { columns, rows }: Picture, viewport: Viewport | undefined): Sharp {
  if (!viewport) return image;
  const { width, height, region } = viewport;
  const shown = region ? cut(image, columns, rows, region) : image;
  return shown.resize({ width, height, fit: 'inside', kernel: 'lanczos3' });
}

/** The part of the region that lies in the image; negative extents mirror. */
function cut(image: Sharp, columns: number, rows: number, region: NonNullable<Viewport['region']>): Sharp {
  const left = Math.min(Math.max(0, Math.floor(region.x)), columns - 1);
  const top = Math.min(Math.max(0, Math.floor(region.y)), rows - 1);
  const width = Math.max(1, Math.min(columns - left, Math.round(Math.abs(region.width)) || columns));
  const height = Math.max(1, Math.min(rows - top, Math.round(Math.abs(region.height)) || rows));
  return image
    .extract({ left, top, width, height })
    .flop(region.width < 0)
    .flip(region.height < 0);
}
