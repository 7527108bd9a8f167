import { randomUUID } from 'node:crypto';
import { type Part10Object, SourceError, type StoreOutcome } from '../connector.js';
import { text } from '../dicom/describe.js';
import type { DicomJson } from '../dicom/values.js';
import { urlBelow } from './resource.js';
import type { DicomwebSource } from './source.js';

/** What one request holds at most; an object that is larger goes alone. */
const most = { bytes: 32 * 1024 * 1024, objects: 64 };
/** A server stores what it was sent before it answers. */
const headersMs = 300_000;

/** Failure Reason (0008,1197) and what DIMSE calls it (PS3.4 table B.2-1, PS3.7 annex C). */
const status = { success: 0x0000, processingFailure: 0x0110, outOfResources: 0xa700, cannotUnderstand: 0xc000 };

/**
 * STOW-RS (PS3.18 section 10.5): stores objects, several a request, and yields what the server says of each, in the order given. A request
 * that is refused as a whole is sent again in halves, so that one bad object stops no other.
 * @throws SourceError when the server can't be asked, or answers what can't be read.
 */
export async function* storeByStow(
  source: DicomwebSource,
  objects: AsyncIterable<Part10Object>,
  signal: AbortSignal,
): AsyncGenerator<StoreOutcome> {
  for await (const batch of batches(objects)) yield* await storeBatch(source, batch, signal);
}

async function* batches(objects: AsyncIterable<Part10Object>): AsyncGenerator<Part10Object[]> {
  let batch: Part10Object[] = [];
  let bytes = 0;
  for await (const object of objects) {
    if (batch.length > 0 && (batch.length >= most.objects || bytes + object.bytes.length > most.bytes)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(object);
    bytes += object.bytes.length;
    // a large object is gone before the next one is there
    if (bytes < most.bytes) continue;
    yield batch;
    batch = [];
    bytes = 0;
  }
  if (batch.length > 0) yield batch;
}

async function storeBatch(source: DicomwebSource, batch: Part10Object[], signal: AbortSignal): Promise<StoreOutcome[]> {
  const url = urlBelow(source.baseUrl, 'studies');
  const reply = await source.client.post(url, { ...multipart(batch), accept: 'application/dicom+json', headersMs }, signal);
  const answer = storeInstancesResponse(reply.json);
  if (answer) return batch.map((object) => outcomeOf(object, answer, reply.status));
  if (reply.status < 400) throw new SourceError('bad-response', 'The source does not say what it stored.');
  if (batch.length === 1) return [refusedAlone(batch[0]!, reply.status)];
  const half = Math.ceil(batch.length / 2);
  const first = await storeBatch(source, batch.slice(0, half), signal);
  return [...first, ...(await storeBatch(source, batch.slice(half), signal))];
}

function multipart(batch: Part10Object[]): { contentType: string; parts: Uint8Array[] } {
  const boundary = randomUUID();
  // Orthanc takes no parameter of the media type here; the transfer syntax is stated in the File Meta Information.
  const parts = batch.flatMap(({ bytes }) => [
    Buffer.from(`--${boundary}\r\nContent-Type: application/dicom\r\n\r\n`),
    bytes,
    Buffer.from('\r\n'),
  ]);
  return {
    contentType: `multipart/related; type="application/dicom"; boundary=${boundary}`,
    parts: [...parts, Buffer.from(`--${boundary}--\r\n`)],
  };
}

interface StoreInstancesResponse {
  /** Warning Reason (0008,1196) or success, by SOP Instance UID. */
  stored: Map<string, number>;
  /** Failure Reason (0008,1197), by SOP Instance UID. */
  failed: Map<string, number>;
}

/** Store Instances Response Module (PS3.18 table I.2-1); some servers put it into an array. */
function storeInstancesResponse(json: unknown): StoreInstancesResponse | undefined {
  const module: unknown = Array.isArray(json) ? json[0] : json;
  if (module === null || typeof module !== 'object' || !('00081199' in module || '00081198' in module)) return undefined;
  const stored = reasons(module as DicomJson, '00081199', '00081196', status.success);
  const failed = reasons(module as DicomJson, '00081198', '00081197', status.processingFailure);
  return { stored, failed };
}

function reasons(module: DicomJson, sequence: string, reason: string, otherwise: number): Map<string, number> {
  const items = module[sequence]?.Value;
  const known = (Array.isArray(items) ? items : []).filter((item) => item !== null && typeof item === 'object') as DicomJson[];
  return new Map(
    known.flatMap((item) => {
      const stated = Number(text(item, reason) ?? Number.NaN);
      const uid = text(item, '00081155');
      return uid === undefined ? [] : [[uid, Number.isInteger(stated) ? stated : otherwise] as const];
    }),
  );
}

function outcomeOf({ sopInstanceUid }: Part10Object, { stored, failed }: StoreInstancesResponse, http: number): StoreOutcome {
  const failure = failed.get(sopInstanceUid);
  if (failure !== undefined) return notStored(sopInstanceUid, failure, `The archive refuses it (${hex(failure)}).`);
  const kept = stored.get(sopInstanceUid);
  if (kept === undefined) {
    const detail = `The archive does not say what became of it (${http}).`;
    return { ...notStored(sopInstanceUid, status.processingFailure, detail), unanswered: true };
  }
  return {
    sopInstanceUid,
    stored: true,
    status: kept,
    ...(kept === status.success ? {} : { detail: `Kept with a warning (${hex(kept)}).` }),
  };
}

function refusedAlone({ sopInstanceUid }: Part10Object, http: number): StoreOutcome {
  const detail = `The archive refuses it (HTTP ${http}).`;
  if (http === 413) return notStored(sopInstanceUid, status.outOfResources, detail);
  if (http < 500) return notStored(sopInstanceUid, status.cannotUnderstand, detail);
  // an archive, or a gateway before it, may say so of what is kept
  return { ...notStored(sopInstanceUid, status.processingFailure, detail), unanswered: true };
}

const notStored = (sopInstanceUid: string, reason: number, detail: string): StoreOutcome => ({
  sopInstanceUid,
  stored: false,
  status: reason,
  detail,
});
const hex = (code: number): string => `0x${code.toString(16).padStart(4, '0')}`;
