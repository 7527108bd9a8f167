import type { Change, Connector, SourceHealth } from '../connector.js';
import { SourceError } from '../connector.js';
import type { Outbound } from '../outbound.js';
import { lookAtStudy } from './look.js';
import { hasOrthancNews, orthancBacklog, type OrthancCursor, orthancChanges, orthancPosition } from './orthanc-changes.js';
import { createOrthancCount } from './orthanc-count.js';
import { hasQidoNews, type QidoCursor, type QidoPolicy, qidoChanges } from './qido-changes.js';
import { resourcePath } from './resource.js';
import { retrieveFromDicomweb } from './retrieve.js';
import { retryItem } from './retry.js';
import { createSeenStudies } from './seen-studies.js';
import { type DicomwebSource, dicomArray } from './source.js';
import { storeByStow } from './store.js';
import { type Credentials, createSourceClient, type Timeouts } from './source-client.js';

export interface DicomwebSettings {
  /** Root of QIDO-RS and WADO-RS, e.g. `https://pacs.example.org/dicom-web`. */
  baseUrl: string;
  /** Root of Orthanc's REST interface: its change log is then the cursor. */
  orthancUrl?: string;
  auth?: Credentials;
  /** `+08:00`: for objects without Timezone Offset From UTC (0008,0201). Without it their times are left out, never invented. */
  defaultUtcOffset?: string;
  timeouts?: Partial<Timeouts>;
  /** PEM file of the authorities that the source's certificate is verified against, instead of the public ones. */
  tlsCa?: string;
  /** Requests to the source at once. */
  maxConcurrent?: number;
  /** Largest metadata reply, bytes. */
  maxJsonBytes?: number;
  /** Without a change log: after how many hours everything is listed again, and how many days are listed each time. */
  fullListingHours?: number;
  recentDays?: number;
}

interface Cursor {
  qido?: QidoCursor;
  orthanc?: OrthancCursor;
}

/** A hospital whose PACS speaks QIDO-RS and WADO-RS (PS3.18), with or without Orthanc's change log. */
export function createDicomwebConnector(settings: DicomwebSettings & { outbound: Outbound }): Connector {
  const source = sourceOf(settings);
  const seen = createSeenStudies();
  const count = createOrthancCount(source);
  const hour = 60 * 60 * 1000;
  const policy: QidoPolicy = { fullListingMs: (settings.fullListingHours ?? 24) * hour, recentDays: settings.recentDays ?? 7 };
  return {
    async *changes(cursor, signal, index) {
      const { qido, orthanc } = parseCursor(cursor);
      const from = source.orthancUrl === undefined ? undefined : await orthancPosition(source, orthanc, signal);
      if (from === undefined) yield* tagged('qido', qidoChanges(source, seen, qido ?? {}, policy, signal, index));
      else yield* tagged('orthanc', orthancChanges(source, count, from, signal, index));
    },
    async hasNews(cursor, signal) {
      const { qido, orthanc } = parseCursor(cursor);
      if (source.orthancUrl !== undefined && orthanc !== undefined) return hasOrthancNews(source, count, orthanc, signal);
      return qido === undefined || hasQidoNews(source, seen, qido, policy, signal);
    },
    backlog: async (cursor, signal) =>
      source.orthancUrl === undefined ? undefined : orthancBacklog(source, parseCursor(cursor).orthanc, signal),
    look: (study, signal) => lookAtStudy(source, study, signal),
    retry: ({ locator }, signal) => retryItem(source, locator, signal),
    retrieve: (request, signal) => retrieveFromDicomweb(source, request, signal),
    store: (objects, signal) => storeByStow(source, objects, signal),
    storedLocator: resourcePath,
    health: (signal) => healthOf(source, signal),
    // The outbound belongs to whoever made it.
    close: async () => {},
  };
}

function sourceOf(settings: DicomwebSettings & { outbound: Outbound }): DicomwebSource {
  const maxConcurrent = settings.maxConcurrent ?? 4;
  return {
    baseUrl: settings.baseUrl,
    orthancUrl: settings.orthancUrl,
    defaultUtcOffset: settings.defaultUtcOffset,
    maxConcurrent,
    client: createSourceClient({
      outbound: settings.outbound,
      auth: settings.auth,
      tlsCa: settings.tlsCa,
      timeouts: { headersMs: 30_000, idleMs: 30_000, ...settings.timeouts },
      maxConcurrent,
      maxJsonBytes: settings.maxJsonBytes ?? 64 * 1024 * 1024,
    }),
  };
}

async function* tagged(kind: keyof Cursor, changes: AsyncIterable<Change>): AsyncGenerator<Change> {
  for await (const change of changes) {
    yield change.cursor === undefined ? change : { ...change, cursor: `{"${kind}":${change.cursor}}` };
  }
}

/** A cursor that can't be read means reading from the beginning: repeating is harmless, missing is not. */
function parseCursor(cursor: string | undefined): Cursor {
  try {
    const { qido, orthanc } = JSON.parse(cursor ?? '') as Cursor;
    const isOrthanc =
      orthanc !== undefined &&
      Number.isSafeInteger(orthanc.changes) &&
      (orthanc.count === undefined || Number.isSafeInteger(orthanc.count)) &&
      (orthanc.listing === undefined || isOffset(orthanc.listing.offset));
    const isQido = qido !== undefined && (qido.listing === undefined || isOffset(qido.listing.offset));
    return { ...(isOrthanc ? { orthanc } : {}), ...(isQido ? { qido } : {}) };
  } catch {
    return {};
  }
}

const isOffset = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0;

async function healthOf(source: DicomwebSource, signal: AbortSignal): Promise<SourceHealth> {
  const begin = performance.now();
  try {
    await dicomArray(source, 'studies', signal, [['limit', '1']]);
    return { reachable: true, detail: 'QIDO-RS answers.', latencyMs: performance.now() - begin };
  } catch (error) {
    if (!(error instanceof SourceError)) throw error;
    return { reachable: false, detail: error.message };
  }
}
