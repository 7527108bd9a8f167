import { type Part10Object, SourceError } from '../../connector.js';
import { bufferSource } from '../../dicom/byte-source.js';
import { knownUids, text } from '../../dicom/describe.js';
import { copyDigest } from '../../dicom/metadata-digest.js';
import { DicomProblem } from '../../dicom/problem.js';
import { readObject } from '../../dicom/read-study.js';
import type { DicomJson } from '../../dicom/values.js';
import { verificationContext } from './echo.js';
import { find, findContext } from './find.js';
import { fetchObjects, isListed } from './objects.js';
import { readHeader } from './received-object.js';
import { type DimseSource, inSession } from '../source.js';

/** An object that is to be stored, by what it says of itself. */
export interface ObjectHeader {
  studyInstanceUid: string;
  seriesInstanceUid: string;
  sopInstanceUid: string;
  sopClassUid: string;
  /** Of its attributes, the same in every transfer syntax; never of its pixels. */
  digest: string;
  /** Items of its Original Attributes Sequence (0400,0561), each as text: who changed it when, and what was there before. */
  changes: readonly string[];
}

/** What two copies of an object are compared by. @throws DicomProblem for attributes that nest too deep */
const comparable = (json: DicomJson): Pick<ObjectHeader, 'digest' | 'changes'> => {
  const changes = json['04000561']?.Value;
  return { digest: copyDigest(json), changes: (Array.isArray(changes) ? changes : []).map((item) => copyDigest(item as object)) };
};

/** Undefined when the bytes are no DICOM file, or do not state their UIDs. */
export async function headerOf(bytes: Uint8Array): Promise<ObjectHeader | undefined> {
  const read = await readObject(bufferSource(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)));
  if (!read.ok) return undefined;
  const { studyInstanceUid, seriesInstanceUid, sopInstanceUid } = knownUids(read.json);
  const sopClassUid = text(read.json, '00080016');
  if (!studyInstanceUid || !seriesInstanceUid || !sopInstanceUid || !sopClassUid) return undefined;
  try {
    return { studyInstanceUid, seriesInstanceUid, sopInstanceUid, sopClassUid, ...comparable(read.json) };
  } catch (error) {
    if (error instanceof DicomProblem) return undefined;
    throw error;
  }
}

/** What the PACS has, as far as it was asked. */
export interface HeldObjects {
  /** Whether it has an object of this SOP Instance UID; undefined when it has to be asked. */
  known(header: ObjectHeader): boolean | undefined;
  /** Asks it: for the whole series, or for the one object where it does not list a series to its end. */
  ask(header: ObjectHeader): Promise<boolean>;
}

const mostInstances = 100_000;

/**
 * Asks the PACS by C-FIND what it has, once for each series. One that does not accept C-FIND, a workstation for example, is not asked: then nothing counts
 * as held.
 */
export function createHeldObjects(source: DimseSource, signal: AbortSignal): HeldObjects {
  const bySeries = new Map<string, ReadonlySet<string> | 'not-listed'>();
  const keyOf = ({ studyInstanceUid, seriesInstanceUid }: ObjectHeader): string => `${studyInstanceUid}/${seriesInstanceUid}`;
  const known = (header: ObjectHeader): boolean | undefined => {
    const listed = bySeries.get(keyOf(header));
    return listed === undefined || listed === 'not-listed' ? undefined : listed.has(header.sopInstanceUid);
  };
  return {
    known,
    async ask(header) {
      const listed = bySeries.get(keyOf(header)) ?? (await listSeries(source, header, signal));
      bySeries.set(keyOf(header), listed);
      const { studyInstanceUid, seriesInstanceUid, sopInstanceUid } = header;
      return known(header) ?? isListed(source, { studyInstanceUid, seriesInstanceUid, sopInstanceUid, sopClasses: [] }, signal);
    },
  };
}

function listSeries(
  source: DimseSource,
  { studyInstanceUid, seriesInstanceUid }: ObjectHeader,
  signal: AbortSignal,
): Promise<ReadonlySet<string> | 'not-listed'> {
  const keys = { '0020000D': studyInstanceUid, '0020000E': seriesInstanceUid, '00080018': '' };
  // With Verification beside it no archive has reason to reject the association as a whole.
  return inSession(source, { contexts: [verificationContext, findContext] }, signal, async (association) => {
    if (!association.context(findContext.abstractSyntax)) return new Set<string>();
    const { entries, isWhole } = await find(association, { level: 'IMAGE', keys, most: mostInstances });
    return isWhole ? new Set(entries.flatMap((entry) => text(entry, '00080018') ?? [])) : 'not-listed';
  });
}

/**
 * What the PACS holds under an object's SOP Instance UID: the same object by its attributes, another one, or after all nothing. Some archives change objects as
 * they store them: one that was reconciled is the same where the archive's copy says so of itself, by the change that made it.
 * @throws SourceError when it lists the object and does not send it.
 */
export async function compareWithHeld(
  source: DimseSource,
  header: ObjectHeader,
  { isReconciled = false }: Pick<Part10Object, 'isReconciled'>,
  signal: AbortSignal,
): Promise<'same' | 'another' | 'nothing'> {
  const { studyInstanceUid, seriesInstanceUid, sopInstanceUid, sopClassUid } = header;
  const wanted = { studyInstanceUid, seriesInstanceUid, sopInstanceUid, sopClasses: [sopClassUid] };
  try {
    for await (const object of fetchObjects(source, { ...wanted, sopInstanceUids: new Set([sopInstanceUid]) }, signal)) {
      const held = comparable((await readHeader(object)).json);
      const change = isReconciled ? header.changes.at(-1) : undefined;
      const isOfChange = change !== undefined && held.changes.includes(change);
      return held.digest === header.digest || isOfChange ? 'same' : 'another';
    }
    return 'nothing';
  } catch (error) {
    if (error instanceof DicomProblem) return 'another';
    if (error instanceof SourceError && error.code === 'not-found') return 'nothing';
    throw error;
  }
}
