import { type RetrieveRequest, SourceError } from '../../connector.js';
import { text } from '../../dicom/describe.js';
import { DicomProblem, defaultLimits } from '../../dicom/problem.js';
import { NotSent } from '../services/get.js';
import { fetchObjects, isListed, type Wanted } from '../services/objects.js';
import { type ReceivedObject, readHeader } from '../services/received-object.js';
import { mostClasses } from '../services/storage-contexts.js';
import type { DimseSource } from '../source.js';

/**
 * The indexed instances of a request as their PACS sends them, each checked to be what was authorised. What the PACS sends beside them goes no further.
 * @throws SourceError, at the end also when one of them did not come.
 */
export async function* wantedObjects(
  source: DimseSource,
  request: RetrieveRequest,
  signal: AbortSignal,
): AsyncGenerator<ReceivedObject> {
  const missing = new Map(request.instances.map((instance) => [instance.sopInstanceUid, instance.seriesInstanceUid]));
  const count = missing.size;
  let hasCome = false;
  for (const wanted of count > 0 ? retrievals(request) : []) {
    try {
      for await (const object of fetchObjects(source, wanted, signal)) {
        hasCome = true;
        const seriesInstanceUid = missing.get(object.sopInstanceUid);
        if (seriesInstanceUid === undefined) continue;
        const whole = await identified(object, request.studyInstanceUid, seriesInstanceUid);
        missing.delete(object.sopInstanceUid);
        yield whole;
      }
    } catch (error) {
      // What else the PACS could not send was not asked for.
      if (error instanceof NotSent && missing.size === 0) return;
      const isGone = isAnswer(error) && !hasCome && !(await isListed(source, wanted, signal));
      throw isGone ? new SourceError('not-found', 'The PACS has no such instance.') : error;
    }
  }
  if (count > 0 && missing.size === 0) return;
  throw missing.size === count
    ? new SourceError('not-found', 'The PACS has no such instance.')
    : new SourceError('bad-response', `The PACS did not send ${missing.size} of ${count} objects.`);
}

const isAnswer = (error: unknown): boolean => error instanceof SourceError && error.code === 'bad-response';

/** One retrieval, or one a series where the study has more SOP classes than one association can negotiate well. */
function retrievals({ studyInstanceUid, seriesInstanceUid, sopInstanceUid, instances }: RetrieveRequest): Wanted[] {
  const sopClasses = classesOf(instances);
  const sopInstanceUids = new Set(instances.map((instance) => instance.sopInstanceUid));
  if (seriesInstanceUid !== undefined || sopClasses.length <= mostClasses)
    return [{ studyInstanceUid, seriesInstanceUid, sopInstanceUid, sopClasses, sopInstanceUids }];
  return [...new Set(instances.map((instance) => instance.seriesInstanceUid))].map((series) => ({
    studyInstanceUid,
    seriesInstanceUid: series,
    sopClasses: classesOf(instances.filter((instance) => instance.seriesInstanceUid === series)),
    sopInstanceUids,
  }));
}

function classesOf(instances: RetrieveRequest['instances']): string[] {
  const known = instances.map(({ sopClassUid }) => sopClassUid);
  return known.every((uid) => uid !== undefined) ? [...new Set(known)] : [];
}

/** Reads as far as the UIDs, and gives the object whole. */
async function identified(object: ReceivedObject, studyInstanceUid: string, seriesInstanceUid: string): Promise<ReceivedObject> {
  const taken: Uint8Array[] = [];
  const rest = object.data[Symbol.asyncIterator]();
  async function* recorded(): AsyncGenerator<Uint8Array> {
    for (let bytes = 0, next = await rest.next(); !next.done; next = await rest.next()) {
      bytes += next.value.length;
      if (bytes > defaultLimits.maxHeaderBytes) throw new DicomProblem('too-large', 'The header is too long.');
      taken.push(next.value);
      yield next.value;
    }
  }
  async function* whole(): AsyncGenerator<Uint8Array> {
    yield* taken.splice(0);
    for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value;
  }
  try {
    const { json } = await readHeader({ ...object, data: recorded() }, (tag) => tag <= '0020000E');
    if (
      text(json, '0020000D') !== studyInstanceUid ||
      text(json, '0020000E') !== seriesInstanceUid ||
      text(json, '00080018') !== object.sopInstanceUid
    )
      throw new SourceError('bad-response', 'The PACS sends another object than the one that was indexed.');
  } catch (error) {
    if (error instanceof DicomProblem)
      throw new SourceError('bad-response', `The PACS sends what can't be read: ${error.message}`);
    throw error;
  }
  return { ...object, data: whole() };
}
