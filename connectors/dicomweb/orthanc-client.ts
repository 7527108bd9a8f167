import { SourceError } from '../connector.js';
import { isUid } from '../dicom/uid.js';
import type { OrthancChanges } from './orthanc-types.js';
import { urlBelow } from './resource.js';
import type { DicomwebSource } from './source.js';

/** One reply of Orthanc's REST interface. @throws SourceError */
export async function orthancJson(source: DicomwebSource, path: string, signal: AbortSignal): Promise<object> {
  const reply = await source.client.json(urlBelow(source.orthancUrl ?? '', path), 'application/json', signal);
  if (reply === null || typeof reply !== 'object')
    throw new SourceError('bad-response', 'The source answers no object where one is due.');
  return reply;
}

/** `GET /changes`: what comes after a position of the log; `Last` is where it ends when nothing does. */
export async function changesAfter(
  source: DicomwebSource,
  since: number,
  limit: number,
  signal: AbortSignal,
): Promise<OrthancChanges> {
  return asChanges(await orthancJson(source, `changes?since=${since}&limit=${limit}`, signal));
}

/** The newest entry that is left of the log: what was deleted took its entries along. */
export async function lastOfLog(source: DicomwebSource, signal: AbortSignal): Promise<number> {
  return asChanges(await orthancJson(source, 'changes?last', signal)).Last;
}

function asChanges(reply: object): OrthancChanges {
  const { Changes, Last, Done } = reply as Partial<OrthancChanges>;
  if (!Array.isArray(Changes) || !Number.isSafeInteger(Last))
    throw new SourceError('bad-response', 'The source answers no change log.');
  return { Changes, Last: Last as number, Done: Done === true };
}

/** Orthanc's identifiers are SHA-1 hashes in five groups; nothing else becomes part of a path. */
export const isOrthancId = (id: unknown): id is string => typeof id === 'string' && /^[0-9a-f]{8}(-[0-9a-f]{8}){4}$/.test(id);

export function checkedId(id: unknown): string {
  if (!isOrthancId(id)) throw new SourceError('bad-response', 'The source answers an identifier that is none.');
  return id;
}

export function checkedUid(uid: unknown): string {
  if (typeof uid !== 'string' || !isUid(uid))
    throw new SourceError('bad-response', 'The source states no valid UID for this instance.');
  return uid;
}
