import { type Part10Object, SourceError, type StoreOutcome } from '../../connector.js';
import { bufferSource } from '../../dicom/byte-source.js';
import { openDicom } from '../../dicom/part10.js';
import { DicomProblem } from '../../dicom/problem.js';
import { isUid } from '../../dicom/uid.js';
import type { Context } from '../association/association.js';
import { maxContexts } from '../association/request-association.js';
import { commands } from '../messages/command.js';
import { isWarning, statuses, statusText } from '../messages/status.js';
import { type DimseSource, openSession, type Session } from '../source.js';
import { compareWithHeld, createHeldObjects, type HeldObjects, headerOf, type ObjectHeader } from './held-objects.js';

/** Requests that are sent before the first is answered, where the PACS agrees (PS3.7 D.3.3.3). */
const window = 8;
/** After an object of so many bytes all answers are waited for: what is not answered is kept. */
const largeBytes = 32 * 1024 * 1024;

interface Sent {
  object: Part10Object;
  messageId: number;
  outcome?: StoreOutcome;
}

/**
 * C-STORE of objects as they are (PS3.4 annex B), in as few associations as their SOP classes and transfer syntaxes allow, each object with its own outcome in the
 * order given. What an association that breaks left unanswered is sent once more, by itself; an object that breaks that one too is given up (0110H). An object
 * that the PACS has already is not sent again, and another one of its SOP Instance UID is refused (0111H): some archives would replace what they have, others
 * would say that they keep what they don't.
 * @throws SourceError when the PACS can't be reached or gives no association.
 */
export async function* storeObjects(
  source: DimseSource,
  objects: AsyncIterable<Part10Object>,
  signal: AbortSignal,
): AsyncGenerator<StoreOutcome> {
  const storing = new Storing(source, signal);
  const queue: Sent[] = [];
  let failure: unknown = new SourceError('unreachable', 'The storing was given up.');
  try {
    for await (const object of objects) {
      const sent: Sent = { object, messageId: 0 };
      queue.push(sent);
      await storing.put(sent);
      while (queue[0]?.outcome) yield queue.shift()!.outcome!;
    }
    await storing.finish();
    for (const { outcome } of queue) yield outcome!;
    failure = undefined;
  } catch (error) {
    failure = error;
    throw error;
  } finally {
    await storing.close(failure);
  }
}

class Storing {
  private session: Session | undefined;
  /** What has come so far: a new association proposes it all. */
  private readonly proposed = new Map<string, { abstractSyntax: string; transferSyntaxes: string[] }>();
  /** Sent, or being sent, and not answered. */
  private waiting: Sent[] = [];
  private lastMessageId = 0;
  private readonly held: HeldObjects;
  /** SOP Instance UIDs that were sent, answered or not. */
  private readonly sent = new Set<string>();

  constructor(
    private readonly source: DimseSource,
    private readonly signal: AbortSignal,
  ) {
    this.held = createHeldObjects(source, signal);
  }

  /** Sends an object, and waits until another one may be sent; after a large one until none is kept. */
  async put(sent: Sent): Promise<void> {
    await this.orAgain(sent, async () => {
      await this.transmit(sent);
      const isLarge = sent.object.bytes.length > largeBytes;
      const most = isLarge ? 1 : (this.session?.association.agreement.window ?? 1);
      while (this.waiting.length >= most) await this.answer();
    });
  }

  /** Waits for all answers. */
  finish(): Promise<void> {
    return this.orAgain(undefined, async () => {
      while (this.waiting.length > 0) await this.answer();
    });
  }

  async close(failure?: unknown): Promise<void> {
    await this.session?.close(failure);
    this.session = undefined;
  }

  private async transmit(sent: Sent): Promise<void> {
    const { sopClassUid, sopInstanceUid } = sent.object;
    const dataSet = await dataSetOf(sent.object);
    const header = dataSet && (await headerOf(sent.object.bytes));
    if (!dataSet || !header) {
      sent.outcome = unreadable(sent.object);
      return;
    }
    sent.outcome = await this.heldAs(sent.object, { ...header, sopClassUid, sopInstanceUid });
    if (sent.outcome) return;
    const context = await this.contextFor(sent.object);
    if (!context) {
      sent.outcome = notTaken(sent.object);
      return;
    }
    this.sent.add(sopInstanceUid);
    this.lastMessageId = (this.lastMessageId % 0xffff) + 1;
    sent.messageId = this.lastMessageId;
    this.waiting.push(sent);
    const command = { commandField: commands.storeRequest, messageId: sent.messageId, sopClassUid, sopInstanceUid, priority: 0 };
    await this.session?.association.send(context.id, { ...command, hasDataSet: true }, dataSet);
  }

  /** What comes of an object whose SOP Instance UID the PACS has; undefined when it has none, or can't be asked about what this side sent before. */
  private async heldAs(object: Part10Object, header: ObjectHeader): Promise<StoreOutcome | undefined> {
    const isListed = this.held.known(header) ?? (await this.apart(() => this.held.ask(header)));
    if (!isListed && !this.sent.has(header.sopInstanceUid)) return undefined;
    try {
      const held = await this.apart(() => compareWithHeld(this.source, header, object, this.signal));
      return held === 'nothing' ? undefined : held === 'same' ? outcomeOf(object, statuses.success) : duplicate(object);
    } catch (error) {
      this.signal.throwIfAborted();
      const isOfItem = error instanceof SourceError && ['bad-response', 'refused'].includes(error.code);
      if (!isOfItem) throw error;
      return isListed || error.code === 'bad-response' ? givenUp(object, error, this.sent.has(header.sopInstanceUid)) : undefined;
    }
  }

  /** Asks the PACS something in an association of its own: nobody waits for a place at the source while he has one. */
  private async apart<T>(ask: () => Promise<T>): Promise<T> {
    while (this.waiting.length > 0) await this.answer();
    await this.close();
    return ask();
  }

  private async answer(): Promise<void> {
    const message = await this.session?.association.receive();
    const sent = this.waiting.find(({ messageId }) => messageId === message?.command.respondedTo);
    if (message?.command.commandField !== commands.storeResponse || !sent)
      throw new SourceError('bad-response', 'The PACS does not answer C-STORE.');
    sent.outcome = outcomeOf(sent.object, message.command.status ?? statuses.processingFailure);
    this.waiting = this.waiting.filter((one) => one !== sent);
  }

  /** Does some work; what an association that breaks meanwhile leaves open, with `current`, is sent once more. */
  private async orAgain(current: Sent | undefined, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      const left = await this.leftOpenBy(error);
      if (current && !current.outcome && !left.includes(current)) left.push(current);
      for (const sent of left) {
        try {
          await this.transmit(sent);
          while (this.waiting.length > 0) await this.answer();
        } catch (again) {
          await this.leftOpenBy(again);
          sent.outcome = givenUp(sent.object, again as SourceError, this.sent.has(sent.object.sopInstanceUid));
        }
      }
    }
  }

  /** Closes an association that broke. @returns what it left unanswered. @throws the error when no association was open. */
  private async leftOpenBy(error: unknown): Promise<Sent[]> {
    this.signal.throwIfAborted();
    if (!(error instanceof SourceError) || this.session === undefined) throw error;
    await this.close(error);
    const left = this.waiting;
    this.waiting = [];
    return left;
  }

  /** The context for an object, in an association that proposes it together with those before; undefined when the PACS takes none. */
  private async contextFor({ sopClassUid, transferSyntaxUid }: Part10Object): Promise<Context | undefined> {
    const key = `${sopClassUid} ${transferSyntaxUid}`;
    if (!this.proposed.has(key)) {
      while (this.waiting.length > 0) await this.answer();
      await this.close();
      if (this.proposed.size >= maxContexts) this.proposed.clear();
      this.proposed.set(key, { abstractSyntax: sopClassUid, transferSyntaxes: [transferSyntaxUid] });
    }
    this.session ??= await openSession(this.source, { contexts: [...this.proposed.values()], window }, this.signal);
    return this.session.association.context(sopClassUid, transferSyntaxUid);
  }
}

/** The object without preamble and File Meta Information; undefined when it can't be told where it begins, or a UID is none. */
async function dataSetOf({
  bytes,
  sopClassUid,
  sopInstanceUid,
  transferSyntaxUid,
}: Part10Object): Promise<Uint8Array | undefined> {
  if (![sopClassUid, sopInstanceUid, transferSyntaxUid].every(isUid)) return undefined;
  try {
    const { dataSetOffset } = await openDicom(bufferSource(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)));
    const dataSet = bytes.subarray(dataSetOffset);
    // PS3.5 A.5: a deflated data set gets a NUL at its end where its length is odd.
    return dataSet.length % 2 === 0 ? dataSet : Buffer.concat([dataSet, Buffer.alloc(1)]);
  } catch (error) {
    if (error instanceof DicomProblem) return undefined;
    throw error;
  }
}

function outcomeOf({ sopInstanceUid }: Part10Object, status: number): StoreOutcome {
  if (status === statuses.success) return { sopInstanceUid, stored: true, status };
  return { sopInstanceUid, stored: isWarning(status), status, detail: `The PACS answers ${statusText(status)}.` };
}

const notTaken = ({ sopInstanceUid, transferSyntaxUid }: Part10Object): StoreOutcome => ({
  sopInstanceUid,
  stored: false,
  status: statuses.sopClassNotSupported,
  detail: `The PACS does not take this SOP class in transfer syntax ${transferSyntaxUid}.`,
});

const duplicate = ({ sopInstanceUid }: Part10Object): StoreOutcome => ({
  sopInstanceUid,
  stored: false,
  status: statuses.duplicateSopInstance,
  detail: 'The PACS holds another object with this SOP Instance UID.',
});

const unreadable = ({ sopInstanceUid }: Part10Object): StoreOutcome => ({
  sopInstanceUid,
  stored: false,
  status: statuses.cannotUnderstand,
  detail: 'The object is no DICOM file.',
});

const givenUp = ({ sopInstanceUid }: Part10Object, error: SourceError, unanswered: boolean): StoreOutcome => ({
  sopInstanceUid,
  stored: false,
  status: statuses.processingFailure,
  detail: error.message,
  ...(unanswered ? { unanswered } : {}),
});
