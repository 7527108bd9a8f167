import type { Change, StudyDescription } from '../connector.js';
import { SourceError } from '../connector.js';
import { mergeStudies } from '../dicom/merge-studies.js';
import { text } from '../dicom/describe.js';
import type { DicomJson } from '../dicom/values.js';
import { mapConcurrently } from '../map-concurrently.js';
import { resourcePath } from './resource.js';
import {
  dicomArray,
  type DicomwebSource,
  isOfItem,
  queryPages,
  type ReadItem,
  readMetadata,
  uidIn,
  undelivered,
} from './source.js';

/** Instances of one change: the hub commits this many together. */
const batchSize = 200;

const studyTag = '0020000D';
const seriesTag = '0020000E';
const sopTag = '00080018';
const claimTag = '00201208';

/**
 * One study of the source, series by series, as changes of at most 200 instances each. What can't be read becomes an item; a
 * study that lists fewer instances than its source claims (0020,1208) gets one, too.
 * @throws SourceError when the source as a whole fails.
 */
export async function* readStudyOf(source: DicomwebSource, entry: DicomJson, signal: AbortSignal): AsyncGenerator<Change> {
  const studyInstanceUid = uidIn(entry, studyTag) ?? '';
  const claimed = claimOf(entry);
  const listed = new Set<string>();
  let isEchoed = false;
  let isWhole = true;
  for await (const read of readSeries(source, studyInstanceUid, signal)) {
    const studies = mergeStudies(read.items.flatMap((item) => (item.kind === 'study' ? [item.study] : [])));
    for (const study of studies) {
      for (const instance of study.series.flatMap((series) => series.instances)) listed.add(instance.sopInstanceUid);
      isEchoed ||= study.claimedInstances === claimed;
      for (const part of parts(study))
        yield { kind: 'study', study: { ...part, claimedInstances: claimed ?? study.claimedInstances } };
    }
    const unreadable = read.items.filter((item) => item.kind === 'unreadable');
    isWhole &&= unreadable.length === 0;
    yield* unreadable;
  }
  // A count that the objects themselves carry was true at the modality; servers repeat it without counting.
  if (claimed !== undefined && listed.size < claimed && isWhole && !isEchoed)
    yield countMismatch(studyInstanceUid, claimed, listed.size);
}

/** Number of Study Related Instances, as the source states it for a study of a query. */
export function claimOf(entry: DicomJson): number | undefined {
  const claim = Number(text(entry, claimTag) ?? Number.NaN);
  return Number.isSafeInteger(claim) && claim > 0 ? claim : undefined;
}

async function* readSeries(
  source: DicomwebSource,
  studyInstanceUid: string,
  signal: AbortSignal,
): AsyncGenerator<{ items: ReadItem[] }> {
  try {
    for await (const { entries } of queryPages(source, `${resourcePath({ studyInstanceUid })}/series`, seriesTag, signal)) {
      for (const entry of entries) {
        const seriesInstanceUid = uidIn(entry, seriesTag);
        if (seriesInstanceUid !== undefined)
          yield { items: await readWholeSeries(source, { studyInstanceUid, seriesInstanceUid }, signal) };
      }
    }
  } catch (error) {
    if (!(await isOfItem(source, error, signal))) throw error;
    yield { items: [undelivered({ studyInstanceUid }, error as SourceError)] };
  }
}

interface Series {
  studyInstanceUid: string;
  seriesInstanceUid: string;
}

/** The metadata of a series in one reply, or of its instances one by one where that fails. */
export async function readWholeSeries(source: DicomwebSource, series: Series, signal: AbortSignal): Promise<ReadItem[]> {
  try {
    const instances = await dicomArray(source, `${resourcePath(series)}/metadata`, signal);
    return instances.map((json) => readMetadata(source, series, json));
  } catch (error) {
    if (!(await isOfItem(source, error, signal))) throw error;
    return readOneByOne(source, series, error as SourceError, signal);
  }
}

async function readOneByOne(
  source: DicomwebSource,
  series: Series,
  cause: SourceError,
  signal: AbortSignal,
): Promise<ReadItem[]> {
  const uids: string[] = [];
  try {
    for await (const { entries } of queryPages(source, `${resourcePath(series)}/instances`, sopTag, signal)) {
      uids.push(...entries.flatMap((entry) => uidIn(entry, sopTag) ?? []));
    }
  } catch (error) {
    if (!(await isOfItem(source, error, signal))) throw error;
  }
  if (uids.length === 0) return [undelivered(series, cause)];
  return mapConcurrently([...new Set(uids)], source.maxConcurrent, (sopInstanceUid) =>
    readInstance(source, { ...series, sopInstanceUid }, signal),
  );
}

/** One instance by its metadata (PS3.18 10.4.1.1.2). */
export async function readInstance(
  source: DicomwebSource,
  instance: Series & { sopInstanceUid: string },
  signal: AbortSignal,
  transferSyntaxUid?: string,
): Promise<ReadItem> {
  try {
    const [json] = await dicomArray(source, `${resourcePath(instance)}/metadata`, signal);
    if (json === undefined) throw new SourceError('not-found', 'The source has no metadata of this instance.');
    return readMetadata(source, instance, json, transferSyntaxUid);
  } catch (error) {
    if (!(await isOfItem(source, error, signal))) throw error;
    return undelivered(instance, error as SourceError);
  }
}

/** A study of one series cut into parts of at most 200 instances. */
function parts(study: StudyDescription): StudyDescription[] {
  return study.series.flatMap((series) =>
    Array.from({ length: Math.ceil(series.instances.length / batchSize) }, (_, i) => ({
      ...study,
      series: [{ ...series, instances: series.instances.slice(i * batchSize, (i + 1) * batchSize) }],
    })),
  );
}

function countMismatch(studyInstanceUid: string, claimed: number, listed: number): Change {
  const detail = `The source claims ${claimed} instances of this study and lists ${listed}.`;
  return {
    kind: 'unreadable',
    item: { locator: resourcePath({ studyInstanceUid }), studyInstanceUid, reason: 'count-mismatch', detail },
  };
}
