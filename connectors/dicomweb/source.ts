import { type Change, type IndexView, SourceError, type StudyDescription, type UnreadableItem } from '../connector.js';
import { describeInstance, knownUids, text } from '../dicom/describe.js';
import { DicomProblem } from '../dicom/problem.js';
import { isUid } from '../dicom/uid.js';
import type { DicomJson } from '../dicom/values.js';
import { metadataDigest } from '../dicom/metadata-digest.js';
import { type Resource, resourcePath, urlBelow } from './resource.js';
import type { SourceClient } from './source-client.js';

/** A DICOMweb source as the files of this folder share it. */
export interface DicomwebSource {
  client: SourceClient;
  /** Root of QIDO-RS and WADO-RS. */
  baseUrl: string;
  /** Root of Orthanc's REST interface, where the source is one. */
  orthancUrl?: string;
  defaultUtcOffset?: string;
  maxConcurrent: number;
  /** How far Orthanc's change log was read by this process. */
  readUntil?: number;
  /** UIDs of studies that the index holds and the source had when they were compared last. */
  witnesses?: readonly string[];
}

export type ReadItem = { kind: 'study'; study: StudyDescription } | { kind: 'unreadable'; item: UnreadableItem };

const dicomJson = 'application/dicom+json';
const pageSize = 100;
/** More pages than any source can need: a server that never comes to an end is stopped. */
const maxPages = 100_000;

/** One QIDO-RS or WADO-RS metadata reply (PS3.18 8.7.3.2); entries that are no objects are dropped. */
export async function dicomArray(
  source: DicomwebSource,
  path: string,
  signal: AbortSignal,
  query: [string, string][] = [],
): Promise<DicomJson[]> {
  const reply = await source.client.json(urlBelow(source.baseUrl, path, query), dicomJson, signal);
  if (reply === undefined) return [];
  if (!Array.isArray(reply)) throw new SourceError('bad-response', 'The source answers no array where one is due.');
  return reply.filter((entry) => entry !== null && typeof entry === 'object' && !Array.isArray(entry));
}

/**
 * All results of a QIDO-RS query, page by page (PS3.18 8.3.4.4). It ends at an empty page, or at one that brings nothing new, for
 * some servers ignore `offset`.
 */
export async function* queryPages(
  source: DicomwebSource,
  path: string,
  uidTag: string,
  signal: AbortSignal,
  query: [string, string][] = [],
  start = 0,
): AsyncGenerator<{ offset: number; entries: DicomJson[] }> {
  const seen = new Set<string>();
  let offset = start;
  for (let page = 0; page < maxPages; page += 1) {
    const entries = await dicomArray(source, path, signal, [...query, ['limit', String(pageSize)], ['offset', String(offset)]]);
    const fresh = entries.filter((entry) => !seen.has(text(entry, uidTag) ?? ''));
    if (fresh.length === 0) return;
    for (const entry of fresh) seen.add(text(entry, uidTag) ?? '');
    yield { offset, entries };
    offset += entries.length;
  }
}

/** Metadata of one instance as a change: described, or unreadable with the reason. It must be of the resource asked for. */
export function readMetadata(source: DicomwebSource, asked: Resource, json: DicomJson, transferSyntaxUid?: string): ReadItem {
  const stated = knownUids(json);
  const isAsked = Object.entries(asked).every(([key, uid]) => uid === undefined || stated[key as keyof typeof stated] === uid);
  const resource = isAsked ? { ...asked, ...stated } : asked;
  const locator = resourcePath({ ...resource, sopInstanceUid: resource.seriesInstanceUid && resource.sopInstanceUid });
  const unreadable = (item: Pick<UnreadableItem, 'reason' | 'detail'>): ReadItem => ({
    kind: 'unreadable',
    item: { locator, ...resource, ...item },
  });
  try {
    const described = describeInstance(json, {
      digest: metadataDigest(json),
      locator,
      transferSyntaxUid,
      defaultUtcOffset: source.defaultUtcOffset,
    });
    if (!described.ok) return unreadable({ reason: described.reason, detail: described.detail });
    if (!isAsked)
      return unreadable({ reason: 'malformed', detail: 'The source answers with another object than the one asked for.' });
    return { kind: 'study', study: described.study };
  } catch (error) {
    if (error instanceof DicomProblem) return unreadable({ reason: error.reason, detail: error.message });
    throw error;
  }
}

/** An item that the source could not deliver. */
export function undelivered(resource: Resource, error: SourceError): ReadItem {
  return {
    kind: 'unreadable',
    item: { locator: resourcePath(resource), ...resource, reason: 'source-error', detail: error.message },
  };
}

/**
 * Whether an error is of this item alone. A source that is down, or that hangs on everything, is no reason to put its items
 * into quarantine: reading goes on from the same cursor when it is back.
 */
export async function isOfItem(source: DicomwebSource, error: unknown, signal: AbortSignal): Promise<boolean> {
  if (!(error instanceof SourceError)) return false;
  if (error.code === 'bad-response' || error.code === 'not-found') return true;
  return error.code === 'timeout' && (await isAnswering(source, signal));
}

/** True when the smallest query is answered. */
export async function isAnswering(source: DicomwebSource, signal: AbortSignal): Promise<boolean> {
  try {
    await dicomArray(source, 'studies', signal, [['limit', '1']]);
    return true;
  } catch (error) {
    if (error instanceof SourceError) return false;
    throw error;
  }
}

/** The first few studies that the index holds and the source has. */
export async function firstHeld(index: IndexView, has: { has(uid: string): boolean }): Promise<string[]> {
  for await (const known of index.studies()) {
    const held = known.flatMap(({ studyInstanceUid }) => (has.has(studyInstanceUid) ? [studyInstanceUid] : []));
    if (held.length > 0) return held.slice(0, 3);
  }
  return [];
}

/** Valid UID of a query result. */
export function uidIn(json: DicomJson, tag: string): string | undefined {
  const uid = text(json, tag);
  return uid !== undefined && isUid(uid) ? uid : undefined;
}

/** Puts the cursor on the last change, so that it is only taken once everything before it is committed. */
export function withCursor(changes: Change[], cursor: object): Change[] {
  const last = changes.pop();
  if (last === undefined) return [{ kind: 'checkpoint', cursor: JSON.stringify(cursor) }];
  return [...changes, { ...last, cursor: JSON.stringify(cursor) }];
}
