import type { Part } from '../../../connectors/dicom/multipart.js';
import type { Answer } from '../../imaging/pixels/pixel-room.js';
import { frames, answerFrames, fittingFrames } from './frames.js';
import { type AnsweredKind, type Answering, both, framed, labelled } from './kind.js';
import { onlyObject } from './only-object.js';

const pixelData = new Set(['7FE00010', '7FE00008', '7FE00009']);
const octets = both('application/octet-stream');

/**
 * The value of one attribute of an instance (PS3.18 section 10.4.1.1.5), at the addresses that metadata gives. Pixel Data is answered by its frames.
 */
export const bulkData: AnsweredKind = {
  offers: frames.offers,
  parameters: [],
  fitting: (answering) => (isPixels(answering) ? fittingFrames(answering, frameNumbers(answering)?.length ?? 2) : octets),
  async answer(answering, chosen) {
    if (isPixels(answering)) return answerFrames(answering, chosen, frameNumbers(answering));
    return framed(chosen.offer, values(await onlyObject(answering, { kind: 'bulk', path: answering.wanted.bulkPath ?? [] })));
  },
};

const isPixels = ({ wanted: { bulkPath = [] } }: Answering): boolean =>
  bulkPath.length === 1 && pixelData.has(String(bulkPath[0]));

function frameNumbers({ retrieval: { stored } }: Answering): number[] | undefined {
  const count = stored[0]?.frames;
  return count === undefined ? undefined : Array.from({ length: count }, (_, i) => i + 1);
}

async function* values(answer: Answer): AsyncGenerator<Part> {
  for await (const { head, body } of answer) yield { contentType: labelled(head.mediaType, head.transferSyntaxUid), body };
}
