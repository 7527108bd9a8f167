import { SourceError } from '../../connector.js';
import { text } from '../../dicom/describe.js';
import { isUid } from '../../dicom/uid.js';
import type { DicomJson } from '../../dicom/values.js';
import type { Keys } from '../messages/identifier.js';
import type { Answers } from '../services/find.js';
import { dateRange, dayOf, halves, type Span } from './dates.js';
import type { Finder } from './finder.js';

/** What a listing learns about a PACS. */
export interface Habits {
  /** It gives so many answers to one query, and perhaps more: fewer are whole. A PACS may keep back what goes beyond its limit, and say nothing. */
  gives: number;
  /** Whether it was asked for much, to learn that. */
  wasProbed: boolean;
  /** It does not match Study Date: every query lists everything. */
  ignoresDates: boolean;
}

export const unknownHabits = (): Habits => ({ gives: 500, wasProbed: false, ignoresDates: false });

export interface Listed {
  studies: DicomJson[];
  /** False when the PACS keeps studies back even when it is asked for a single hour. */
  isWhole: boolean;
}

/** Attributes of the study level (PS3.4 C.6.2.1.2) that the index wants. */
const studyKeys: Keys = Object.fromEntries(
  [
    '00080020', // Study Date
    '00080030', // Study Time
    '00080050', // Accession Number
    '00080090', // Referring Physician's Name
    '00081030', // Study Description
    '00100010', // Patient's Name
    '00100020', // Patient ID
    '00100021', // Issuer of Patient ID
    '00100030', // Patient's Birth Date
    '00100040', // Patient's Sex
    '0020000D', // Study Instance UID
    '00200010', // Study ID
    '00201206', // Number of Study Related Series
    '00201208', // Number of Study Related Instances
  ].map((tag) => [tag, '']),
);
const mostAnswers = 20_000;
/** Without windows everything comes at once. */
const mostOfAll = 200_000;
const probedDays = 60;
const minutesOfDay = 24 * 60;

/** What a PACS lists under a Study Instance UID: one study, or none. @throws SourceError when it answers with others. */
export async function findStudies(finder: Finder, studyInstanceUid: string): Promise<DicomJson[]> {
  const { entries } = await finder.find({ level: 'STUDY', keys: { ...studyKeys, '0020000D': studyInstanceUid }, most: 100 });
  if (entries.some((entry) => text(entry, '0020000D') !== studyInstanceUid))
    throw new SourceError('bad-response', 'The PACS answers with other studies than the one asked for.');
  return entries;
}

/**
 * The studies of a span of Study Dates. C-FIND has no paging: when more may be there than came, the span is asked for in halves, a day in parts of its hours.
 */
export async function listStudies(finder: Finder, span: Span, habits: Habits): Promise<Listed> {
  const answers = await finder.find({ level: 'STUDY', keys: { ...studyKeys, '00080020': dateRange(span) }, most: mostAnswers });
  const isInside = (entry: DicomJson): boolean => {
    const day = dayOf(text(entry, '00080020'));
    return day !== undefined && day >= span.from && day <= span.to;
  };
  const inside = answers.entries.filter(isInside);
  if (inside.length < answers.entries.length) habits.ignoresDates = true;
  if (habits.ignoresDates || isWhole(answers, habits)) return { studies: distinct(inside), isWhole: true };
  await probe(finder, span, habits);
  if (isWhole(answers, habits)) return { studies: distinct(inside), isWhole: true };
  const parts = halves(span);
  if (!parts) return listHours(finder, { date: dateRange(span), first: 0, last: minutesOfDay - 1 }, inside, habits);
  const listed: Listed[] = [];
  for (const part of parts) listed.push(await listStudies(finder, part, habits));
  return joined(inside, listed, habits);
}

/** Everything that has no Study Date, which no range matches; from a PACS that does not match dates, everything. */
export async function listUndated(finder: Finder, habits: Habits): Promise<Listed> {
  const isWanted = (entry: DicomJson): boolean => habits.ignoresDates || dayOf(text(entry, '00080020')) === undefined;
  const { entries, isWhole: whole } = await finder.find({ level: 'STUDY', keys: studyKeys, most: mostOfAll, isWanted });
  return { studies: distinct(entries), isWhole: whole || !habits.ignoresDates };
}

interface Hours {
  date: string;
  /** Minutes of the day, both included. */
  first: number;
  last: number;
}

/** A day in halves of its time. What has no Study Time is in `known`, as far as the PACS gave it. */
async function listHours(finder: Finder, { date, first, last }: Hours, known: DicomJson[], habits: Habits): Promise<Listed> {
  const middle = Math.floor((first + last) / 2);
  const parts = [
    { date, first: middle + 1, last },
    { date, first, last: middle },
  ];
  const answers: Answers[] = [];
  for (const part of first < last ? parts : []) {
    const keys = { ...studyKeys, '00080020': date, '00080030': timeRange(part) };
    answers.push(await finder.find({ level: 'STUDY', keys, most: mostAnswers }));
  }
  const all = distinct([...known, ...answers.flatMap(({ entries }) => entries)]);
  // A minute that is still too much, or a PACS that does not match times and answers each half with everything.
  if (answers.length === 0 || answers.every(({ entries }) => entries.length >= known.length))
    return { studies: all, isWhole: false };
  const listed: Listed[] = [];
  for (const [i, answer] of answers.entries())
    listed.push(
      isWhole(answer, habits)
        ? { studies: answer.entries, isWhole: true }
        : await listHours(finder, parts[i]!, answer.entries, habits),
    );
  return joined(known, listed, habits);
}

/** Learns once how many answers a PACS gives at least, from a longer span. */
async function probe(finder: Finder, { from, to }: Span, habits: Habits): Promise<void> {
  if (habits.wasProbed) return;
  habits.wasProbed = true;
  const keys = { ...studyKeys, '00080020': dateRange({ from: from - probedDays, to }) };
  const { entries } = await finder.find({ level: 'STUDY', keys, most: mostAnswers });
  habits.gives = Math.max(habits.gives, entries.length);
}

/** The answers together. */
function joined(known: readonly DicomJson[], parts: readonly Listed[], habits: Habits): Listed {
  const studies = distinct([...known, ...parts.flatMap((part) => part.studies)]);
  habits.gives = Math.max(habits.gives, known.length);
  return { studies, isWhole: parts.every((part) => part.isWhole) };
}

const isWhole = (answers: Answers, { gives }: Habits): boolean => answers.isWhole && answers.entries.length < gives;

/** Range matching of Study Time. */
const timeRange = ({ first, last }: Hours): string => `${tm(first)}00-${tm(last)}59.999999`;
const tm = (minutes: number): string =>
  `${String(Math.floor(minutes / 60)).padStart(2, '0')}${String(minutes % 60).padStart(2, '0')}`;

/** One entry for each valid Study Instance UID. */
function distinct(entries: readonly DicomJson[]): DicomJson[] {
  const byUid = new Map(entries.map((entry) => [text(entry, '0020000D') ?? '', entry]));
  return [...byUid].flatMap(([uid, entry]) => (isUid(uid) ? [entry] : []));
}
