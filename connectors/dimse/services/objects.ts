import type { Keys } from '../messages/identifier.js';
import { type DimseSource, inSession } from '../source.js';
import { find, findContext, type Level } from './find.js';
import { getContext, getObjects, NotSent } from './get.js';
import { moveObjects } from './move.js';
import type { ReceivedObject } from './received-object.js';
import { storageProposals } from './storage-contexts.js';

/** What is fetched: all of a study, a series, or one instance. */
export interface Wanted {
  studyInstanceUid: string;
  seriesInstanceUid?: string;
  /** Several are separated by a backslash. */
  sopInstanceUid?: string;
  /** SOP classes of the objects as far as they are known; none: any. */
  sopClasses: readonly string[];
  /** SOP Instance UIDs of the objects, as far as they are known. */
  sopInstanceUids?: ReadonlySet<string>;
}

/** The objects as the archive holds them, one after the other; where it does not send all, in one kind of transfer syntax after the other. */
export async function* fetchObjects(source: DimseSource, wanted: Wanted, signal: AbortSignal): AsyncGenerator<ReceivedObject> {
  if (source.moves)
    return yield* moveObjects(source, source.moves, retrievalOf(wanted), wanted.sopInstanceUids ?? new Set(), signal);
  const proposals = storageProposals([getContext], wanted.sopClasses);
  const came = new Set<string>();
  for (const [i, proposal] of proposals.entries()) {
    try {
      for await (const object of getObjects(source, retrievalOf(wanted), proposal, signal)) {
        if (came.has(object.sopInstanceUid)) continue;
        came.add(object.sopInstanceUid);
        yield object;
      }
      return;
    } catch (error) {
      if (!(error instanceof NotSent) || i === proposals.length - 1) throw error;
    }
  }
}

/** Whether the PACS lists anything of what is wanted. */
export async function isListed(source: DimseSource, wanted: Wanted, signal: AbortSignal): Promise<boolean> {
  const { level, keys } = retrievalOf(wanted);
  const answers = await inSession(source, { contexts: [findContext] }, signal, (association) =>
    find(association, { level, keys, most: 10 }),
  );
  return answers.entries.length > 0;
}

function retrievalOf({ studyInstanceUid, seriesInstanceUid, sopInstanceUid }: Wanted): { level: Level; keys: Keys } {
  const keys = { '0020000D': studyInstanceUid };
  if (seriesInstanceUid === undefined) return { level: 'STUDY', keys };
  if (sopInstanceUid === undefined) return { level: 'SERIES', keys: { ...keys, '0020000E': seriesInstanceUid } };
  return { level: 'IMAGE', keys: { ...keys, '0020000E': seriesInstanceUid, '00080018': sopInstanceUid } };
}
