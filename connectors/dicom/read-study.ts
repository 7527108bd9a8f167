import { createHash } from 'node:crypto';
import type { StudyDescription } from '../connector.js';
import { type ByteSource, chunks } from './byte-source.js';
import { describeInstance, knownUids, type Refused } from './describe.js';
import { frameIndex } from './frames.js';
import { type DicomObject, openDicom, uidOf } from './part10.js';
import { type DicomLimits, DicomProblem } from './problem.js';
import { toDicomJson } from './to-json.js';
import type { DicomJson } from './values.js';

export interface ReadOptions {
  /** Where the connector finds the object again. */
  locator: string;
  /** `+08:00`: for objects without Timezone Offset From UTC. */
  defaultUtcOffset?: string;
  limits?: DicomLimits;
}

/**
 * Reads one DICOM object: its header into a study that holds this instance alone, and all its bytes for the digest (SHA-256).
 * What can't be taken is a value with its reason; only I/O errors are thrown.
 */
export async function readStudy(
  source: ByteSource,
  options: ReadOptions,
): Promise<{ ok: true; study: StudyDescription } | Refused> {
  const digest = await sha256(source);
  const read = await readObject(source, options.limits);
  if (!read.ok) return { ...read, digest };
  const { object, json } = read;
  const described = describeInstance(json, { ...options, digest, transferSyntaxUid: object.transferSyntaxUid });
  if (!described.ok) return { ...described, digest };
  const cut = await asValue(async () => {
    if (object.pixelData && object.pixelData.length < 0) await frameIndex(object, json);
    return { ok: true as const };
  });
  // Pixel data whose frames can't be told apart is still an object of this study; pixel data that ends too early is not whole.
  return !cut.ok && cut.reason === 'truncated' ? { ...cut, ...knownUids(json), digest } : described;
}

/** Opens an object and gives its attributes in the DICOM JSON model, or the reason why not. */
export function readObject(
  source: ByteSource,
  limits?: DicomLimits,
): Promise<{ ok: true; object: DicomObject; json: DicomJson } | Refused> {
  return asValue(async () => {
    const object = await openDicom(source, limits);
    return { ok: true, object, json: withMediaStorageUids(object, toDicomJson(object)) };
  });
}

/** Media Storage SOP Class and Instance UID are the same identifiers by PS3.10 7.1: they stand in where the data set has none. */
function withMediaStorageUids({ meta }: DicomObject, json: DicomJson): DicomJson {
  for (const [tag, metaTag] of [
    ['00080016', '00020002'],
    ['00080018', '00020003'],
  ] as const) {
    const uid = meta && uidOf(meta, metaTag);
    if (json[tag]?.Value === undefined && uid !== undefined) json[tag] = { vr: 'UI', Value: [uid] };
  }
  return json;
}

async function asValue<T>(read: () => Promise<T>): Promise<T | Refused> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof DicomProblem) return { ok: false, reason: error.reason, detail: error.message };
    throw error;
  }
}

async function sha256(source: ByteSource): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of chunks(source)) hash.update(chunk);
  return hash.digest('hex');
}
