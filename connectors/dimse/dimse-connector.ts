import type { Change, Connector, SourceHealth } from '../connector.js';
import { SourceError } from '../connector.js';
import { mergeStudies } from '../dicom/merge-studies.js';
import { createGate } from '../gate.js';
import type { Outbound } from '../outbound.js';
import { readTlsFiles, type TlsFiles } from '../tls-files.js';
import { type ListenerSettings, listenForObjects } from './listener/listener.js';
import { createMoves, type Moves } from './listener/moves.js';
import { hasNews, type Listing, listChanges, type Policy } from './listing/changes.js';
import { createFinder, type Finder, withFinder } from './listing/finder.js';
import { createRecent } from './listing/gone.js';
import { unknownHabits } from './listing/list-studies.js';
import { lookAtStudy } from './listing/look.js';
import { createMemory } from './listing/memory.js';
import { readListed, readObjects } from './listing/read-objects.js';
import type { Reading } from './listing/read-study.js';
import { readAgain } from './listing/retry.js';
import { retrieveByGet } from './retrieve/retrieve.js';
import { echo, verificationContext } from './services/echo.js';
import { findContext } from './services/find.js';
import { getContext } from './services/get.js';
import { moveContext } from './services/move.js';
import { locatorOf } from './services/received-object.js';
import { storeObjects } from './services/store.js';
import { type DimseSource, inSession } from './source.js';

export interface DimseSettings {
  host: string;
  /** 104 or 11112 by custom, 2762 with TLS. */
  port: number;
  /** AE title of the PACS. */
  calledAeTitle: string;
  /** AE title of the hub. */
  aeTitle?: string;
  /** DICOM over TLS (PS3.15 annex B): `ca` where the PACS' certificate is not of a public authority, `cert` and `key` where it asks the hub for one. */
  tls?: TlsFiles & { serverName?: string };
  /** User identity (PS3.7 D.3.3.7). */
  auth?: { username: string; passcode?: string };
  /** How objects are fetched; by C-MOVE they come to the listener. */
  retrieve?: 'C-GET' | 'C-MOVE';
  /** Where the PACS pushes to. */
  listen?: {
    port: number;
    host?: string;
    peers: readonly string[];
    tls?: ListenerSettings['tls'];
    /** AE titles that may push; by default that of the PACS. */
    callingAeTitles?: readonly string[];
    maxAssociations?: number;
    maxObjectBytes?: number;
  };
  defaultUtcOffset?: string;
  timeouts?: { connectMs?: number; artimMs?: number; responseMs?: number; idleMs?: number };
  /** Associations with the PACS at once. */
  maxConcurrent?: number;
  maxPduBytes?: number;
  freshDays?: number;
  recentDays?: number;
  recentMinutes?: number;
  fullListingHours?: number;
}

const minute = 60_000;
const defaultAeTitle = 'HUB';

/** A hospital whose PACS speaks DIMSE alone (PS3.7): C-FIND on a schedule, C-GET, C-STORE. */
export function createDimseConnector(settings: DimseSettings & { outbound: Outbound }): Connector {
  const moves = createMoves(settings.aeTitle ?? defaultAeTitle);
  const source = sourceOf(settings, moves);
  const memory = createMemory();
  const recent = createRecent();
  const habits = { ...unknownHabits(), listsBodyPart: false };
  // The rest is left to whoever retrieves.
  const maxConcurrent = Math.max(1, Math.floor(source.maxConcurrent / 3));
  const readingWith = (finder: Finder, signal: AbortSignal): Reading => ({
    finder,
    memory,
    habits,
    defaultUtcOffset: source.defaultUtcOffset,
    readObjects: (wanted) => readObjects(source, wanted, signal),
    isOfItem: (error) => isOfItem(source, error, signal),
  });
  const listingWith = (finder: Finder, signal: AbortSignal): Listing => ({
    reading: readingWith(finder, signal),
    habits,
    recent,
    policy: policyOf(settings),
    maxConcurrent,
  });
  return {
    async *changes(cursor, signal, index) {
      const finder = createFinder(source, signal);
      try {
        yield* listChanges(listingWith(finder, signal), cursor, signal, index);
      } finally {
        await finder.close();
      }
    },
    look: (study, signal) => withFinder(source, signal, (finder) => lookAtStudy(readingWith(finder, signal), study)),
    hasNews: (_cursor, signal) => withFinder(source, signal, (finder) => hasNews(listingWith(finder, signal))),
    retry: ({ locator, sopClassUid }, signal) =>
      withFinder(source, signal, async (finder) => asOne(await readAgain(readingWith(finder, signal), locator, sopClassUid))),
    headers: (wanted, signal) => readListed(source, wanted, signal),
    retrieve: (request, signal) => retrieveByGet(source, request, signal),
    store: (objects, signal) => storeObjects(source, objects, signal),
    storedLocator: locatorOf,
    ...(settings.listen
      ? { listen: (take, signal) => listenForObjects(listenerOf(settings, settings.listen!, source), take, moves, signal) }
      : {}),
    health: (signal) => healthOf(source, signal),
    // The outbound belongs to whoever made it.
    close: async () => {},
  };
}

function sourceOf(settings: DimseSettings & { outbound: Outbound }, moves: Moves): DimseSource {
  const { host, port, tls, auth, timeouts = {} } = settings;
  const maxConcurrent = settings.maxConcurrent ?? 6;
  return {
    peer: {
      outbound: settings.outbound,
      target: () => ({
        host,
        port,
        timeoutMs: timeouts.connectMs ?? 5_000,
        ...(tls ? { tls: { ...readTlsFiles(tls), servername: tls.serverName } } : {}),
      }),
      calledAeTitle: settings.calledAeTitle,
      callingAeTitle: settings.aeTitle ?? defaultAeTitle,
      identity: auth,
      maxPduLength: settings.maxPduBytes ?? 128 * 1024,
      waits: {
        artimMs: timeouts.artimMs ?? 10_000,
        responseMs: timeouts.responseMs ?? 30_000,
        idleMs: timeouts.idleMs ?? 30_000,
      },
    },
    gate: createGate({ maxConcurrent }),
    maxConcurrent,
    defaultUtcOffset: settings.defaultUtcOffset,
    ...(settings.retrieve === 'C-MOVE' ? { moves } : {}),
  };
}

function listenerOf(
  { calledAeTitle, defaultUtcOffset }: DimseSettings,
  listen: NonNullable<DimseSettings['listen']>,
  { peer }: DimseSource,
): ListenerSettings {
  return {
    host: listen.host ?? '127.0.0.1',
    port: listen.port,
    peers: listen.peers,
    tls: listen.tls,
    aeTitle: peer.callingAeTitle,
    callingAeTitles: listen.callingAeTitles ?? [calledAeTitle],
    maxAssociations: listen.maxAssociations ?? 16,
    maxObjectBytes: listen.maxObjectBytes ?? 4 * 1024 * 1024 * 1024,
    maxPduLength: peer.maxPduLength,
    waits: peer.waits,
    defaultUtcOffset,
  };
}

const policyOf = (settings: DimseSettings): Policy => ({
  freshDays: settings.freshDays ?? 1,
  recentDays: settings.recentDays ?? 7,
  recentMs: (settings.recentMinutes ?? 15) * minute,
  fullMs: (settings.fullListingHours ?? 24) * 60 * minute,
});

/**
 * Whether an error is of one item. A PACS that is down, or that hangs on everything, is no reason to put its items into quarantine: reading goes on from the same
 * cursor when it is back.
 */
async function isOfItem(source: DimseSource, error: unknown, signal: AbortSignal): Promise<boolean> {
  return error instanceof SourceError && error.code !== 'forbidden-address' && (await healthOf(source, signal)).reachable;
}

async function healthOf(source: DimseSource, signal: AbortSignal): Promise<SourceHealth> {
  const begin = performance.now();
  const [retrieval, retrievalContext] = source.moves ? ['C-MOVE', moveContext] : ['C-GET', getContext];
  const contexts = [verificationContext, findContext, retrievalContext];
  try {
    return await inSession(source, { contexts }, signal, async (association) => {
      await echo(association);
      const latencyMs = performance.now() - begin;
      const refused = [
        ...(association.context(findContext.abstractSyntax) ? [] : ['C-FIND']),
        ...(association.context(retrievalContext.abstractSyntax) ? [] : [retrieval]),
      ];
      return {
        reachable: true,
        detail: `C-ECHO answers.${refused.map((name) => ` It does not accept ${name}.`).join('')}`,
        latencyMs,
      };
    });
  } catch (error) {
    if (!(error instanceof SourceError)) throw error;
    return { reachable: false, detail: error.message };
  }
}

/** A study or series that is read again is one change, and stays unreadable while anything of it is. */
function asOne(changes: readonly Change[]): Change {
  const unreadable = changes.find((change) => change.kind === 'unreadable');
  if (unreadable) return unreadable;
  const [study] = mergeStudies(changes.flatMap((change) => (change.kind === 'study' ? [change.study] : [])));
  if (study === undefined) throw new SourceError('not-found', 'The PACS no longer has this item.');
  return { kind: 'study', study };
}
