import type { RetrieveReply } from '../../../connectors/connector.js';
import type { Part } from '../../../connectors/dicom/multipart.js';
import { PixelFailure } from '../../imaging/pixels/failure.js';
import { partsOf } from '../../imaging/parts.js';
import type { PictureType, PixelTask } from '../../imaging/pixels/messages.js';
import type { Answer } from '../../imaging/pixels/pixel-room.js';
import type { Offer } from '../accept.js';
import { type AnsweredKind, type Answering, framed } from './kind.js';
import { onlyObject } from './only-object.js';

/** Rendered media types of images (PS3.18 table 8.7.4-1), the default first. */
const types: readonly PictureType[] = ['image/jpeg', 'image/png', 'image/gif'];
export const singlePictures: readonly Offer[] = types.map((type) => ({ type, framing: 'single' }));
const pictures: readonly Offer[] = [...singlePictures, ...types.map((type) => ({ type, framing: 'multipart' as const }))];

/**
 * Studies, series, instances and frames as pictures (PS3.18 section 10.4.1.1.4): one picture a frame. A single part is the answer where there is one
 * picture and no more, so that nobody takes the first frame for all there is.
 */
export const rendered: AnsweredKind = {
  offers: pictures,
  parameters: ['window', 'viewport', 'quality', 'annotation', 'iccprofile'],
  fitting: (answering) => (pictureCount(answering) === 1 ? pictures : pictures.filter(({ framing }) => framing === 'multipart')),
  async answer(answering, { offer }) {
    const { frames, rendering } = answering.wanted;
    const isOne = offer.framing === 'single';
    const task = {
      kind: 'render',
      type: offer.type as PictureType,
      ...rendering,
      ...pick(frames ?? (isOne ? [1] : undefined)),
    } as const;
    const isInstance = answering.wanted.sopInstanceUid !== undefined;
    return framed(offer, isInstance ? picturesOf(await onlyObject(answering, task)) : await allPictures(answering, task));
  },
};

const pick = (frames: number[] | undefined): { frames?: number[] } => (frames ? { frames } : {});

/** An instance that states no Number of Frames (0028,0008) has one. */
function pictureCount({ wanted: { frames }, retrieval: { stored } }: Answering): number {
  return frames?.length ?? stored.reduce((sum, one) => sum + (one.frames ?? 1), 0);
}

async function allPictures({ ask, room, signal }: Answering, task: PixelTask): Promise<AsyncGenerator<Part>> {
  const reply: RetrieveReply = await ask('instances');
  return (async function* () {
    for await (const { body } of partsOf(reply.contentType, reply.body)) {
      try {
        yield* picturesOf(await room.run(task, body, signal));
      } catch (error) {
        // Reports and other objects without pixels lie among the images of a study.
        if (!(error instanceof PixelFailure && error.code === 'unsupported')) throw error;
      }
    }
  })();
}

export async function* picturesOf(answer: Answer): AsyncGenerator<Part> {
  for await (const { head, body } of answer) yield { contentType: head.mediaType, body };
}
