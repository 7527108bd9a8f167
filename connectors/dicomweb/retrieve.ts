import { type RetrieveReply, type RetrieveRequest, SourceError } from '../connector.js';
import { isUid } from '../dicom/uid.js';
import type { OutboundReply } from '../outbound.js';
import { resourcePath, urlBelow } from './resource.js';
import type { DicomwebSource } from './source.js';
import { mediaType } from './source-client.js';

/** What is asked for, in any transfer syntax that the source has it in (PS3.18 table 8.7.3-2), and what the answer must be. */
const representations = {
  instances: { accept: 'multipart/related; type="application/dicom"; transfer-syntax=*', answer: /^multipart\/related\b/i },
  frames: { accept: 'multipart/related; type="application/octet-stream"; transfer-syntax=*', answer: /^multipart\/related\b/i },
  metadata: { accept: 'application/dicom+json', answer: /^application\/(dicom\+)?json\b/i },
};

/**
 * WADO-RS (PS3.18 section 10.4): the source's reply is handed through untouched. Pauses within it are bounded, and an aborted
 * `signal` ends it.
 * @throws SourceError; `bad-response` when the source answers something else than what was asked for.
 */
export async function retrieveFromDicomweb(
  source: DicomwebSource,
  request: RetrieveRequest,
  signal: AbortSignal,
): Promise<RetrieveReply> {
  const { accept, answer } = representations[request.representation];
  const reply = await source.client.open(urlBelow(source.baseUrl, pathOf(request)), accept, signal);
  const contentType = mediaType(reply);
  if (reply.status === 200 && answer.test(contentType)) return { contentType, ...lengthOf(reply), body: reply.body };
  reply.body.once('error', () => {}).destroy();
  if (reply.status === 204) throw new SourceError('not-found', 'The source has nothing to deliver.');
  throw new SourceError(
    'bad-response',
    `The source answers '${contentType.slice(0, 80)}' where ${request.representation} are due.`,
  );
}

function lengthOf({ headers }: OutboundReply): { contentLength?: number } {
  const length = headers['content-encoding'] === undefined ? Number(headers['content-length'] ?? Number.NaN) : Number.NaN;
  return Number.isSafeInteger(length) ? { contentLength: length } : {};
}

function pathOf(request: RetrieveRequest): string {
  const { studyInstanceUid, seriesInstanceUid, sopInstanceUid, frames = [], representation } = request;
  const uids = [studyInstanceUid, seriesInstanceUid, sopInstanceUid].filter((uid) => uid !== undefined);
  const areFrames = representation === 'frames';
  const isSound =
    uids.every(isUid) &&
    (sopInstanceUid === undefined || seriesInstanceUid !== undefined) &&
    (!areFrames || sopInstanceUid !== undefined);
  const areNumbers = !areFrames || (frames.length > 0 && frames.every((frame) => Number.isInteger(frame) && frame > 0));
  if (!isSound || !areNumbers) throw new SourceError('not-found', 'The source has no such resource.');
  const path = resourcePath({ studyInstanceUid, seriesInstanceUid, sopInstanceUid });
  if (representation === 'instances') return path;
  return areFrames ? `${path}/frames/${frames.join(',')}` : `${path}/metadata`;
}
