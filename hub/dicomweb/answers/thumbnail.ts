import type { PictureType } from '../../imaging/pixels/messages.js';
import { type AnsweredKind, framed } from './kind.js';
import { onlyObject } from './only-object.js';
import { picturesOf, singlePictures } from './rendered.js';

const side = 128;

/** One small picture that stands for a study, series, instance or frame (PS3.18 section 10.4.1.1.4); of an instance its middle frame. */
export const thumbnail: AnsweredKind = {
  offers: singlePictures,
  parameters: ['viewport'],
  isRepresentative: true,
  fitting: () => singlePictures,
  async answer(answering, { offer }) {
    const { wanted, retrieval } = answering;
    const frames = wanted.frames?.slice(0, 1) ?? [Math.ceil((retrieval.stored[0]?.frames ?? 1) / 2)];
    const { viewport = { width: side, height: side } } = wanted.rendering;
    const task = { kind: 'render', type: offer.type as PictureType, frames, viewport, quality: 80 } as const;
    return framed(offer, picturesOf(await onlyObject(answering, task)));
  },
};
