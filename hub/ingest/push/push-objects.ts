import {
  type Change,
  type Connector,
  type Part10Object,
  SourceError,
  type UnreadableItem,
} from '../../../connectors/connector.js';
import { mergeStudies } from '../../../connectors/dicom/merge-studies.js';
import { mapConcurrently } from '../../../connectors/map-concurrently.js';
import type { Origin } from '../quarantine.js';
import { type TakeDeps, takeChange } from '../take-change.js';
import { batches } from './batches.js';
import { type Checked, checkObject } from './check-object.js';
import { failureOf, isWarningReason, PROCESSING_FAILURE } from './failure-reasons.js';

/** What became of a pushed object. */
export interface Pushed {
  sopClassUid?: string;
  sopInstanceUid?: string;
  studyInstanceUid?: string;
  seriesInstanceUid?: string;
  /** Absent when the archive keeps it and the index has it; else Failure Reason (0008,1197). */
  failure?: number;
  /** Warning Reason (0008,1196): the archive keeps it, and not quite as it was sent. */
  warning?: number;
}

/** The archive that keeps what a hospital pushes. */
export interface Archive {
  connectorId: string;
  connector: Pick<Connector, 'retry'> & Required<Pick<Connector, 'store' | 'storedLocator'>>;
}

/** What is stored and indexed together: one transaction a study, and nobody waits long to find what he pushed. */
const TOGETHER = { count: 64, bytes: 16 * 1024 * 1024, ms: 100 };
const READ_AT_ONCE = 4;

/**
 * Stores what a hospital pushes in its own archive, and takes it into the index as the archive then has it: by the locator and digest that its change
 * log will state, so that it is not taken twice. What can't be stored goes into the quarantine. Yields what became of each object, once that is committed.
 * @throws SourceError when the archive can't be asked; what was yielded stands.
 */
export async function* pushObjects(
  deps: TakeDeps,
  origin: Required<Origin>,
  archive: Archive,
  given: { objects: AsyncIterable<Buffer>; studyInstanceUid: string | undefined },
  signal: AbortSignal,
): AsyncGenerator<Pushed> {
  const checked = checkAll(given.objects, given.studyInstanceUid);
  const sizeOf = (one: Checked): number => (one.ok ? one.object.bytes.length : 0);
  for await (const batch of batches(checked, sizeOf, TOGETHER)) yield* await pushBatch(deps, origin, archive, batch, signal);
}

async function* checkAll(objects: AsyncIterable<Buffer>, studyInstanceUid: string | undefined): AsyncGenerator<Checked> {
  for await (const bytes of objects) yield await checkObject(bytes, studyInstanceUid);
}

async function pushBatch(
  deps: TakeDeps,
  origin: Required<Origin>,
  archive: Archive,
  batch: readonly Checked[],
  signal: AbortSignal,
): Promise<Pushed[]> {
  for (const one of batch) if (!one.ok && one.item) await takeChange(deps, origin, { kind: 'unreadable', item: one.item });
  const good = batch.filter((one) => one.ok);
  const { failures, warnings } = await storeAll(archive.connector, good, signal);
  const stored = good.filter((one) => !failures.has(one));
  const refused = await index(deps, origin, archive.connector, stored, signal);
  return batch.map((one): Pushed => {
    if (!one.ok) return { sopClassUid: one.sopClassUid, sopInstanceUid: one.sopInstanceUid, failure: one.status };
    return {
      ...one.uids,
      sopClassUid: one.object.sopClassUid,
      failure: failures.get(one) ?? refused.get(one.uids.sopInstanceUid),
      warning: warnings.get(one),
    };
  });
}

type Good = Extract<Checked, { ok: true }>;

/** @returns those that the archive did not keep, and those that it keeps otherwise, with the reason it gave. */
async function storeAll(
  connector: Archive['connector'],
  good: readonly Good[],
  signal: AbortSignal,
): Promise<{ failures: Map<Good, number>; warnings: Map<Good, number> }> {
  const failures = new Map<Good, number>();
  const warnings = new Map<Good, number>();
  let at = 0;
  for await (const { stored, status } of connector.store(each(good.map((one) => one.object)), signal)) {
    const one = good[at++];
    if (one && !stored) failures.set(one, status || PROCESSING_FAILURE);
    else if (one && isWarningReason(status)) warnings.set(one, status);
  }
  for (const one of good.slice(at)) failures.set(one, PROCESSING_FAILURE);
  return { failures, warnings };
}

async function* each(objects: readonly Part10Object[]): AsyncGenerator<Part10Object> {
  yield* objects;
}

/** @returns those that the index did not take, by SOP Instance UID, with the reason. */
async function index(
  deps: TakeDeps,
  origin: Required<Origin>,
  connector: Archive['connector'],
  stored: readonly Good[],
  signal: AbortSignal,
): Promise<Map<string, number>> {
  const refused = new Map<string, number>();
  const read = await mapConcurrently([...stored], READ_AT_ONCE, (one) => readBack(connector, one, signal));
  for (const [i, change] of read.entries())
    if (change?.kind !== 'study') refused.set(stored[i]?.uids.sopInstanceUid ?? '', PROCESSING_FAILURE);
  const changes = read.filter((change) => change !== undefined);
  const studies = mergeStudies(changes.flatMap((change) => (change.kind === 'study' ? [change.study] : [])));
  const note = (items: readonly UnreadableItem[]): void => {
    for (const { sopInstanceUid, reason } of items) if (sopInstanceUid) refused.set(sopInstanceUid, failureOf(reason));
  };
  for (const study of studies) note(await takeChange(deps, origin, { kind: 'study', study }));
  for (const change of changes) if (change.kind === 'unreadable') note(await takeChange(deps, origin, change));
  return refused;
}

/** The object as its archive has it now; one that it does not give yet will come with its change log. */
async function readBack(
  connector: Archive['connector'],
  { uids, object }: Good,
  signal: AbortSignal,
): Promise<Change | undefined> {
  try {
    return await connector.retry({ locator: connector.storedLocator(uids), sopClassUid: object.sopClassUid }, signal);
  } catch (error) {
    if (error instanceof SourceError) return undefined;
    throw error;
  }
}
