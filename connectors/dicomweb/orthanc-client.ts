import { SourceError } from '../connector.js';
import { isUid } from '../dicom/uid.js';
import type { OrthancAnswers, OrthancChanges, OrthancRequest } from './orthanc-types.js';
import { urlBelow } from './resource.js';
import type { DicomwebSource } from './source.js';

/** One reply of Orthanc's REST interface, of which only that it is an object is certain. @throws SourceError */
export async function orthancJson<P extends keyof OrthancAnswers>(
  source: DicomwebSource,
  path: P,
  request: OrthancRequest<P>,
  signal: AbortSignal,
): Promise<OrthancAnswers[P]> {
  const url = urlBelow(source.orthancUrl ?? '', pathOf(path, request));
  const reply = await source.client.json(url, 'application/json', signal);
  if (reply === null || typeof reply !== 'object')
    throw new SourceError('bad-response', 'The source answers no object where one is due.');
  return reply as OrthancAnswers[P];
}

function pathOf(template: string, request: { path?: { id: string }; query?: object }): string {
  const query = Object.entries(request.query ?? {}).map(([name, value]) => (value === '' ? name : `${name}=${value}`));
  const path = template.slice(1).replace('{id}', request.path?.id ?? '');
  return query.length === 0 ? path : `${path}?${query.join('&')}`;
}

/** `GET /changes`: what comes after a position of the log; `Last` is where it ends when nothing does. */
export async function changesAfter(
  source: DicomwebSource,
  since: number,
  limit: number,
  signal: AbortSignal,
): Promise<OrthancChanges> {
  return asChanges(await orthancJson(source, '/changes', { query: { since, limit } }, signal));
}

/** The newest entry that is left of the log: what was deleted took its entries along. */
export async function lastOfLog(source: DicomwebSource, signal: AbortSignal): Promise<number> {
  return asChanges(await orthancJson(source, '/changes', { query: { last: '' } }, signal)).Last;
}

function asChanges({ Changes, Last, Done }: Partial<OrthancChanges>): OrthancChanges {
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
