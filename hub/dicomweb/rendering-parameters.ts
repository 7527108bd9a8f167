import type { Window, WindowFunction } from '../../connectors/dicom/pixels/window.js';
import type { Viewport } from '../imaging/pixels/messages.js';
import { invalid, notSupported } from '../outcomes.js';

/** How a picture is to be made (PS3.18 section 8.3.5.1). */
export interface RenderingParameters {
  window?: Window;
  viewport?: Viewport;
  /** 1 to 100. */
  quality?: number;
}

const MOST_SIDE = 8192;
const functions: readonly WindowFunction[] = ['linear', 'linear-exact', 'sigmoid'];

/** @throws Refusal 400 that names the parameter. */
export function renderingParameters(query: Readonly<Record<string, string>>): RenderingParameters {
  const { window, viewport, quality, annotation, iccprofile } = query;
  // A picture without what was asked to be on it would be taken for one with it.
  if (annotation !== undefined) throw notSupported('Nothing is written into pictures.', 'annotation');
  if (iccprofile !== undefined && iccprofile !== 'no')
    throw notSupported('Pictures come without a colour profile.', 'iccprofile');
  return {
    ...(window === undefined ? {} : { window: windowOf(window) }),
    ...(viewport === undefined ? {} : { viewport: viewportOf(viewport) }),
    ...(quality === undefined ? {} : { quality: qualityOf(quality) }),
  };
}

/** `center,width,function` (section 8.3.5.1.4). */
function windowOf(value: string): Window {
  const [center, width, shape = '', ...rest] = value.split(',');
  const [c, w] = [decimal(center), decimal(width)];
  const isFunction = (functions as readonly string[]).includes(shape.toLowerCase());
  if (c === undefined || w === undefined || w <= 0 || (shape === 'linear' && w < 1) || !isFunction || rest.length > 0)
    throw invalid('A window is a centre, a width above 0, and linear, linear-exact or sigmoid, joined by commas.', 'window');
  return { center: c, width: w, function: shape.toLowerCase() as WindowFunction };
}

/** `vw,vh,sx,sy,sw,sh` (section 8.3.5.1.3): the last four may be left out, and each of them may be empty. */
function viewportOf(value: string): Viewport {
  const parts = value.split(',');
  const [width, height] = parts.slice(0, 2).map((part) => (/^[1-9]\d{0,4}$/.test(part) ? Number(part) : 0));
  const [x = 0, y = 0, w = 0, h = 0] = parts.slice(2).map((part) => (part === '' ? 0 : (decimal(part) ?? Number.NaN)));
  const isSound = (parts.length === 2 || parts.length === 6) && [x, y, w, h].every(Number.isFinite) && x >= 0 && y >= 0;
  if (!width || !height || width > MOST_SIDE || height > MOST_SIDE || !isSound)
    throw invalid(
      `A viewport is a width and a height to ${MOST_SIDE}, and may have the x, y, width and height of a region.`,
      'viewport',
    );
  return { width, height, ...(parts.length === 6 ? { region: { x, y, width: w, height: h } } : {}) };
}

function qualityOf(value: string): number {
  const quality = /^\d{1,3}$/.test(value) ? Number(value) : 0;
  if (quality < 1 || quality > 100) throw invalid('A quality is a number from 1 to 100.', 'quality');
  return quality;
}

function decimal(value: string | undefined): number | undefined {
  if (value === undefined || !/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(value)) return undefined;
  const number = Number(value);
  return Math.abs(number) < 1e9 ? number : undefined;
}
