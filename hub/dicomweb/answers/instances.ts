import type { RetrieveReply } from '../../../connectors/connector.js';
import { bufferSource } from '../../../connectors/dicom/byte-source.js';
import type { Part } from '../../../connectors/dicom/multipart.js';
import { transferSyntaxes, statedTransferSyntax } from '../../../connectors/dicom/part10.js';
import { type MessagePart, partsOf } from '../../imaging/parts.js';
import { notAcceptable } from '../../outcomes.js';
import { type AnsweredKind, type Answering, both, framed, framings, labelled } from './kind.js';
import { type TransferPlan, transferPlan } from './transfer-plan.js';

const type = 'application/dicom';

/** Studies, series and instances as PS3.10 objects (PS3.18 section 10.4.1.1.1). */
export const instances: AnsweredKind = {
  offers: both(type),
  parameters: [],
  fitting: ({ retrieval }) => framings(both(type), retrieval.stored.length),
  async answer(answering, { offer, ranges }) {
    const plan = transferPlan(ranges);
    const reply = await answering.ask('instances');
    const isAsStored = answering.retrieval.stored.every((one) => one.transferSyntaxUid && plan.keeps(one.transferSyntaxUid));
    // Nothing is looked at then: the source's bytes go through as they come.
    if (isAsStored && offer.framing === 'multipart') return reply;
    return framed(offer, objects(answering, reply, plan));
  },
};

async function* objects({ room, signal }: Answering, reply: RetrieveReply, plan: TransferPlan): AsyncGenerator<Part> {
  for await (const part of partsOf(reply.contentType, reply.body)) {
    const object = await begun(part);
    const { transferSyntaxUid } = object;
    if (plan.keeps(transferSyntaxUid)) yield { contentType: labelled(type, transferSyntaxUid), body: object.body };
    else if (plan.transcodes) {
      const transcoded = await room.run({ kind: 'transcode' }, object.body, signal);
      yield { contentType: labelled(type, transferSyntaxes.explicitLittleEndian), body: bodiesOf(transcoded) };
    } else throw notAcceptable('The objects are stored in none of the transfer syntaxes of the Accept header.');
  }
}

/** The beginning of an object says how it is coded; what its source says of it beside that is not relied on. */
async function begun({ body }: MessagePart): Promise<{ transferSyntaxUid: string | undefined; body: AsyncGenerator<Buffer> }> {
  const held: Buffer[] = [];
  let length = 0;
  while (length < HEAD_BYTES) {
    const { value, done } = await body.next();
    if (done) break;
    held.push(value);
    length += value.length;
  }
  const head = Buffer.concat(held);
  async function* whole(): AsyncGenerator<Buffer> {
    yield head;
    yield* body;
  }
  return { transferSyntaxUid: await statedTransferSyntax(bufferSource(head)), body: whole() };
}

/** More than any File Meta Information has. */
const HEAD_BYTES = 4096;

async function* bodiesOf(parts: AsyncIterable<{ body: AsyncIterable<Uint8Array> }>): AsyncGenerator<Uint8Array> {
  for await (const { body } of parts) yield* body;
}
