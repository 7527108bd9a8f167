import { type Change, type SeriesDescription, SourceError, type StudyDescription } from '../../connector.js';
import { describeInstance, text } from '../../dicom/describe.js';
import { mergeStudies } from '../../dicom/merge-studies.js';
import { isUid } from '../../dicom/uid.js';
import type { DicomJson } from '../../dicom/values.js';
import type { Keys } from '../messages/identifier.js';
import { locatorOf, type ReadItem, unreadable } from '../services/received-object.js';
import type { Finder } from './finder.js';
import type { Memory } from './memory.js';

/** What the reading of studies shares. */
export interface Reading {
  finder: Finder;
  memory: Memory;
  defaultUtcOffset?: string;
  /** Reads the objects of a series, or one of them, of which the listing does not tell enough. */
  readObjects(series: SeriesUids & { sopInstanceUid?: string; sopClassUid?: string }): Promise<ReadItem[]>;
  /** Whether an error is of one item; otherwise the source as a whole fails. */
  isOfItem(error: unknown): Promise<boolean>;
  /** Whether this PACS lists Body Part Examined at all, as far as it is known. */
  habits: { listsBodyPart: boolean };
}

export interface SeriesUids {
  studyInstanceUid: string;
  seriesInstanceUid: string;
}

const keysOf = (...tags: string[]): Keys => Object.fromEntries(tags.map((tag) => [tag, '']));
/**
 * Attributes of the series level (PS3.4 C.6.2.1.3): dates, modality, description, body part, number, laterality, start of the procedure step, count. No sequence:
 * many archives stumble over one in a query.
 */
const seriesKeys = keysOf(
  ...['00080021', '00080031', '00080060', '0008103E', '00180015', '0020000E', '00200011', '00200060', '00201209'],
  ...['00400244', '00400245'],
);
/** Attributes of the image level (C.6.2.1.4): SOP class and instance, transfer syntax, number, frames. */
const imageKeys = keysOf('00080016', '00080018', '00083002', '00200013', '00280008');
const mostSeries = 10_000;
const mostInstances = 100_000;
/** Instances of one change: the hub commits this many together. */
const batchSize = 200;

/**
 * A listed study, series by series, as changes of at most 200 instances; series that are listed as they were taken before are left out. What can't be read becomes
 * an item, and so does a study that lists fewer instances than its PACS claims (0020,1208).
 * @param remember called when all was taken.
 * @throws SourceError when the source as a whole fails.
 */
export async function readStudy(reading: Reading, study: DicomJson): Promise<{ changes: Change[]; remember(): void }> {
  const studyInstanceUid = text(study, '0020000D') ?? '';
  const claimed = countOfStudy(study);
  const series = await orItem(reading, { studyInstanceUid }, () => listSeries(reading, studyInstanceUid));
  if (series.item) return { changes: [series.item], remember: () => reading.memory.remember(studyInstanceUid, study, false, 0) };
  const listed = series.found ?? [];
  const keyOf = (one: DicomJson): string => `${studyInstanceUid}/${uidOf(one, '0020000E')}`;
  const changed = listed.filter((one) => !reading.memory.isKnown(keyOf(one), one));
  const items: ReadItem[] = [];
  for (const one of changed) items.push(...(await readSeries(reading, study, one)));
  const isWhole = items.every((item) => item.kind === 'study');
  const unchanged = listed.filter((one) => !changed.includes(one));
  const skipped = unchanged.reduce((sum, one) => sum + (countOfSeries(one) ?? 0), 0);
  const found = items.filter((item) => item.kind === 'study').length + skipped;
  return {
    changes: [
      // A study that lost something without saying so in its row is looked at as a whole.
      ...(isWhole && reading.memory.isOtherwise(studyInstanceUid, study, found)
        ? [{ kind: 'removed' as const, studyInstanceUid }]
        : []),
      ...items.filter((item) => item.kind === 'unreadable'),
      ...parts(items, claimed),
      ...(claimed !== undefined && found < claimed && isWhole ? [countMismatch(studyInstanceUid, claimed, found)] : []),
    ],
    remember: () => {
      const isSettled = isWhole && claimed !== undefined && found >= claimed;
      // A series without a count is looked at whenever its study is.
      for (const one of isSettled ? changed.filter((series) => countOfSeries(series) !== undefined) : [])
        reading.memory.remember(keyOf(one), one, true, countOfSeries(one) ?? 0);
      reading.memory.remember(studyInstanceUid, study, isSettled, found);
    },
  };
}

async function listSeries({ finder }: Reading, studyInstanceUid: string): Promise<DicomJson[]> {
  const { entries } = await finder.find({
    level: 'SERIES',
    keys: { ...seriesKeys, '0020000D': studyInstanceUid },
    most: mostSeries,
  });
  return distinct(entries, '0020000E');
}

/** The instances of a series, each as a study of its own; those of which too little is listed by reading them. */
async function readSeries(reading: Reading, study: DicomJson, listed: DicomJson): Promise<ReadItem[]> {
  const uids = { studyInstanceUid: uidOf(study, '0020000D'), seriesInstanceUid: uidOf(listed, '0020000E') };
  const instances = await orItem(reading, uids, () => listInstances(reading, uids));
  if (instances.item) return [instances.item];
  const entries = instances.found ?? [];
  if (entries.some((entry) => !isUid(text(entry, '00080016') ?? ''))) return readWhole(reading, uids, entries);
  if (text(listed, '00180015') !== undefined) reading.habits.listsBodyPart = true;
  const [first] = entries;
  const series = first && !reading.habits.listsBodyPart ? await completed(reading, uids, listed, first) : listed;
  return entries.map((entry) => describe(reading, { ...study, ...series, ...entry }));
}

async function listInstances({ finder }: Reading, { studyInstanceUid, seriesInstanceUid }: SeriesUids): Promise<DicomJson[]> {
  const keys = { ...imageKeys, '0020000D': studyInstanceUid, '0020000E': seriesInstanceUid };
  const { entries, isWhole } = await finder.find({ level: 'IMAGE', keys, most: mostInstances });
  if (!isWhole) throw new SourceError('bad-response', 'The PACS does not list the instances of the series to their end.');
  return distinct(entries, '00080018').map((entry) => ({
    ...entry,
    '0020000D': { vr: 'UI', Value: [studyInstanceUid] },
    '0020000E': { vr: 'UI', Value: [seriesInstanceUid] },
  }));
}

/** For a PACS that does not list SOP classes: the objects are read. Those that are listed and don't come are items. */
async function readWhole(reading: Reading, uids: SeriesUids, entries: readonly DicomJson[]): Promise<ReadItem[]> {
  const read = await orItem(reading, uids, () => reading.readObjects(uids));
  if (read.item) return [read.item];
  const came = new Set((read.found ?? []).map((item) => (item.kind === 'study' ? sopOf(item.study) : item.item.sopInstanceUid)));
  const missing = entries.map((entry) => uidOf(entry, '00080018')).filter((uid) => !came.has(uid));
  const detail = 'The PACS lists this object and does not send it.';
  return [
    ...(read.found ?? []),
    ...missing.map((sopInstanceUid) => unreadable({ ...uids, sopInstanceUid }, { reason: 'source-error', detail })),
  ];
}

/** What the series level leaves empty, from one of its objects, for a PACS that was never seen to list a body part. */
async function completed(reading: Reading, uids: SeriesUids, listed: DicomJson, first: DicomJson): Promise<DicomJson> {
  const one = { ...uids, sopInstanceUid: uidOf(first, '00080018'), sopClassUid: uidOf(first, '00080016') };
  const read = await orItem(reading, uids, () => reading.readObjects(one));
  const series = read.found?.find((item) => item.kind === 'study')?.study.series[0];
  if (!series) return listed;
  const { bodyPartExamined, laterality, description, modality } = series;
  const known = { '00180015': bodyPartExamined, '00200060': laterality, '0008103E': description, '00080060': modality };
  const added = Object.entries(known).filter(([tag, value]) => value !== undefined && text(listed, tag) === undefined);
  return { ...listed, ...Object.fromEntries(added.map(([tag, value]) => [tag, { vr: 'LO', Value: [value] }])) };
}

function describe({ defaultUtcOffset }: Reading, json: DicomJson): ReadItem {
  const uids = { studyInstanceUid: uidOf(json, '0020000D'), seriesInstanceUid: uidOf(json, '0020000E') };
  const known = { ...uids, sopInstanceUid: uidOf(json, '00080018') };
  const described = describeInstance(json, { locator: locatorOf(known), defaultUtcOffset });
  return described.ok ? { kind: 'study', study: described.study } : unreadable(known, described);
}

/** The result, or the item that stands for what failed. */
async function orItem<T>(
  reading: Reading,
  uids: Parameters<typeof locatorOf>[0],
  read: () => Promise<T>,
): Promise<{ found: T; item?: undefined } | { found?: undefined; item: ReadItem & { kind: 'unreadable' } }> {
  try {
    return { found: await read() };
  } catch (error) {
    if (!(await reading.isOfItem(error))) throw error;
    const item = unreadable(uids, { reason: 'source-error', detail: (error as SourceError).message });
    return { item: item as ReadItem & { kind: 'unreadable' } };
  }
}

/** The instances that were read, joined by study, in parts of several series or of one. */
function parts(items: readonly ReadItem[], claimed: number | undefined): Change[] {
  const studies = mergeStudies(items.flatMap((item) => (item.kind === 'study' ? [item.study] : [])));
  return studies.flatMap((study) =>
    batches(study.series).map((series) => ({
      kind: 'study' as const,
      study: { ...study, series, claimedInstances: claimed ?? study.claimedInstances },
    })),
  );
}

/** Series, cut where one is too long, in batches of at most `batchSize` instances. */
function batches(series: readonly SeriesDescription[]): SeriesDescription[][] {
  const found: SeriesDescription[][] = [];
  let room = 0;
  for (const one of series) {
    for (let at = 0; at < one.instances.length; ) {
      if (room === 0) {
        found.push([]);
        room = batchSize;
      }
      const instances = one.instances.slice(at, at + room);
      found.at(-1)!.push({ ...one, instances });
      at += instances.length;
      room -= instances.length;
    }
  }
  return found;
}

function countMismatch(studyInstanceUid: string, claimed: number, found: number): Change {
  const detail = `The PACS claims ${claimed} instances of this study and lists ${found}.`;
  return {
    kind: 'unreadable',
    item: { locator: locatorOf({ studyInstanceUid }), studyInstanceUid, reason: 'count-mismatch', detail },
  };
}

/** Number of Study Related Instances, as a study's row states it. */
export const countOfStudy = (study: DicomJson): number | undefined => countIn(study, '00201208');
const countOfSeries = (series: DicomJson): number | undefined => countIn(series, '00201209');

function countIn(json: DicomJson, tag: string): number | undefined {
  const count = Number(text(json, tag) ?? Number.NaN);
  return Number.isSafeInteger(count) && count > 0 ? count : undefined;
}

function distinct(entries: readonly DicomJson[], tag: string): DicomJson[] {
  const byUid = new Map(entries.map((entry) => [uidOf(entry, tag), entry]));
  return [...byUid].flatMap(([uid, entry]) => (isUid(uid) ? [entry] : []));
}

const uidOf = (json: DicomJson, tag: string): string => text(json, tag) ?? '';
const sopOf = (study: StudyDescription): string | undefined => study.series[0]?.instances[0]?.sopInstanceUid;
