import { addAbortSignal } from 'node:stream';
import { reconcile, type Reconciled, type Reconciliation } from '../../connectors/dicom/write/reconcile.js';
import { createGate } from '../../connectors/gate.js';
import { type Part10Object, type RetrieveReply, SourceError } from '../../connectors/connector.js';
import { asSourceError } from '../../connectors/outbound.js';
import { type MessagePart, partsOf } from '../imaging/parts.js';
import { readHeld } from '../imaging/held.sql.js';
import { type ConnectorFor, locate, open, type Wanted } from '../imaging/retrieve.js';
import type { Queryable } from '../store/database.js';
import type { PendingInstance } from './instances.sql.js';

/** An object that will not be delivered now. `retryable`: its archive may send it another time. */
export interface NotDelivered {
  sopInstanceUid: string;
  retryable: boolean;
  detail: string;
}

export interface ObjectsOf {
  custodianId: string;
  studyInstanceUid: string;
  pending: readonly PendingInstance[];
  to: Reconciliation;
  /** Patient IDs under which the custodian may have the study. */
  patientIds: readonly string[];
}

export interface ObjectsDeps {
  db: Queryable;
  connectorFor: ConnectorFor;
  /** Asked before an object leaves, with its size. @throws when it may not. */
  assertAllowed(bytes: number): Promise<void>;
  /** Told before each object leaves. */
  leaves(uids: { seriesInstanceUid: string; sopInstanceUid: string }): Promise<void>;
  notDelivered(failure: NotDelivered): Promise<void>;
  /** A larger object is not delivered. */
  mostBytes: number;
  signal: AbortSignal;
}

/** Objects that are larger are held one at a time in a process, whatever the number of deliveries. */
const LARGE_BYTES = 32 * 1024 * 1024;
const large = createGate({ maxConcurrent: 1 });
/** Whoever waits for another's large object has a place at his source meanwhile, which the other may need. */
const LONGEST_WAIT_MS = 120_000;

/** @throws SourceError `timeout`: the delivery is begun again later. */
async function enterLarge(signal: AbortSignal): Promise<(didAnswer: boolean) => void> {
  const limit = AbortSignal.timeout(LONGEST_WAIT_MS);
  try {
    return await large.enter(AbortSignal.any([signal, limit]));
  } catch (error) {
    signal.throwIfAborted();
    if (limit.aborted) throw new SourceError('timeout', 'Other large objects are delivered.', { cause: error });
    throw error;
  }
}

/**
 * The pending objects of a study as they come from the custodian's archive, each reconciled to the recipient's patient; nothing is kept, and one object
 * is in memory at a time. One that the archive does not send, or that is not what it should be, is reported and stops no other.
 * @throws SourceError when the archive as a whole does not answer.
 */
export async function* objectsOf(deps: ObjectsDeps, of: ObjectsOf): AsyncGenerator<Part10Object> {
  for (const [seriesInstanceUid, waiting] of bySeries(of.pending)) {
    const missing = new Set(waiting);
    const expected = { studyInstanceUid: of.studyInstanceUid, seriesInstanceUid, patientIds: of.patientIds };
    for await (const { part, asked } of retrieved(deps, of, seriesInstanceUid, missing)) {
      await using held = await holdObject(part, deps);
      const result: Reconciled =
        'bytes' in held ? await reconcile(held.bytes, of.to, expected) : tooLarge(held.head, deps.mostBytes);
      const sopInstanceUid = result.ok ? result.object.sopInstanceUid : (result.sopInstanceUid ?? asked ?? '');
      // what was not asked for is passed over
      if (!missing.delete(sopInstanceUid)) continue;
      if (!result.ok) {
        await deps.notDelivered({ sopInstanceUid, retryable: false, detail: result.detail });
        continue;
      }
      await deps.assertAllowed(result.object.bytes.length);
      await deps.leaves({ seriesInstanceUid, sopInstanceUid });
      yield { ...result.object, isReconciled: true };
    }
    for (const sopInstanceUid of missing)
      await deps.notDelivered({ sopInstanceUid, retryable: true, detail: 'The custodian’s archive does not send it.' });
  }
}

function tooLarge(head: Buffer, mostBytes: number): Reconciled {
  const detail = `The object is larger than ${Math.floor(mostBytes / 2 ** 20)} MiB, the most that is delivered.`;
  return { ok: false, reason: 'too-large', detail, sopInstanceUid: statedUid(head) };
}

/** Media Storage SOP Instance UID (0002,0003) of the beginning of a file. */
function statedUid(head: Buffer): string | undefined {
  const at = head.indexOf(Buffer.from([0x02, 0x00, 0x03, 0x00, 0x55, 0x49]), 132);
  if (at < 0 || at + 8 > head.length) return undefined;
  return head.toString('latin1', at + 8, at + 8 + head.readUInt16LE(at + 6)).replace(/[\0 ]+$/, '');
}

function bySeries(pending: readonly PendingInstance[]): Map<string, string[]> {
  const series = new Map<string, string[]>();
  for (const { seriesInstanceUid, sopInstanceUid } of pending)
    series.set(seriesInstanceUid, [...(series.get(seriesInstanceUid) ?? []), sopInstanceUid]);
  return series;
}

/** A few objects are asked for one by one, so that what arrived before is not read again. */
const FEW = 8;

interface Retrieved {
  part: MessagePart;
  /** The object that was asked for by itself. */
  asked?: string;
}

async function* retrieved(
  deps: ObjectsDeps,
  { custodianId, studyInstanceUid }: ObjectsOf,
  seriesInstanceUid: string,
  missing: ReadonlySet<string>,
): AsyncGenerator<Retrieved> {
  const series: Wanted = { custodianId, studyInstanceUid, seriesInstanceUid };
  const whole = missing.size > FEW ? await replyTo(deps, series) : undefined;
  if (whole) {
    for await (const part of partsOfReply(deps, whole)) yield { part };
    return;
  }
  for (const asked of [...missing]) {
    const reply = await replyTo(deps, { ...series, sopInstanceUid: asked });
    if (reply) for await (const part of partsOfReply(deps, reply)) yield { part, asked };
  }
}

/** An answer that is no multipart message, or ends too early, is as far as it goes. */
async function* partsOfReply({ signal }: ObjectsDeps, { contentType, body }: RetrieveReply): AsyncGenerator<MessagePart> {
  try {
    yield* partsOf(contentType, addAbortSignal(signal, body));
  } catch (thrown) {
    const error = asSourceError(thrown, signal);
    if (!(error instanceof SourceError) || error.code !== 'bad-response') throw error;
  }
}

/** The archive's answer; undefined where it has not got what is asked for. @throws SourceError when it can't be asked. */
async function replyTo({ db, connectorFor, signal }: ObjectsDeps, wanted: Wanted): Promise<RetrieveReply | undefined> {
  const found = locate(await readHeld(db, wanted.custodianId, wanted), wanted);
  if (typeof found === 'string') return undefined;
  try {
    return await open(connectorFor, found, 'instances', signal);
  } catch (error) {
    if (error instanceof SourceError && (error.code === 'not-found' || error.code === 'bad-response')) return undefined;
    throw error;
  }
}

type Held = AsyncDisposable & ({ bytes: Buffer } | { head: Buffer });

/** A part in memory, as long as it is not disposed of, or the beginning of one that is larger than is held. A large one waits until no other is held. */
async function holdObject(
  { body }: MessagePart,
  { mostBytes, signal }: Pick<ObjectsDeps, 'mostBytes' | 'signal'>,
): Promise<Held> {
  const chunks: Buffer[] = [];
  let length = 0;
  let leave: ((didAnswer: boolean) => void) | undefined;
  const dispose = async (): Promise<void> => leave?.(true);
  try {
    for await (const chunk of body) {
      length += chunk.length;
      if (length > mostBytes) {
        return { head: Buffer.concat([...chunks.slice(0, 4), chunk]), [Symbol.asyncDispose]: dispose };
      }
      if (length > LARGE_BYTES) leave ??= await enterLarge(signal);
      chunks.push(chunk);
    }
    return { bytes: Buffer.concat(chunks, length), [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}
