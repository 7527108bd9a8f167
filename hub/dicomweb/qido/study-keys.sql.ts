import { identifierTypes, systems } from '../../../fhir-profiles/codes.js';
import type { PartialAccess, RequestAccess } from '../../access/decision.js';
import type { Condition } from '../../fhir/search-conditions.js';
import { dateRange } from '../../store/fhir-date.js';
import { holdsNational } from '../../store/protection.js';
import { raw, type Sql, sql } from '../../store/sql.js';
import type { Match } from './match.js';
import { referrerMeets } from './name-conditions.sql.js';
import { isOfPatient, namedPatient, ofPatientsWith } from './patient-keys.sql.js';
import type { Key } from './query.js';
import { itemsOf, textMeets } from './text-conditions.sql.js';

/** What a search asks of studies, as conditions on `r`. */
export interface StudySelection {
  /** Those that FHIR search has, with its index. */
  conditions: Condition[];
  /** Further ones that an index serves. */
  indexed: Sql[];
  /** Further ones that look into a study that is read as a whole. */
  inside: Sql[];
  /** `inside` for what is shown of a study in part; undefined: by what is asked no such study is found. */
  inPart: Sql[] | undefined;
}

/** The keys of study level. What a part does not show (description, Study ID, referring physician) finds no study that is shown in part. */
export function studySelection(keys: readonly Key[], fuzzy: boolean, access: RequestAccess): StudySelection {
  const { condition, left } = namedPatient(keys.filter(isOfPatient));
  const selection: StudySelection = {
    conditions: condition ? [condition] : [],
    indexed: ofPatientsWith(left, fuzzy, access),
    inside: [],
    inPart: [],
  };
  for (const key of keys.filter((k) => !isOfPatient(k))) {
    const { conditions = [], indexed = [], inside, inPart } = studyTest(key, fuzzy, access.part);
    selection.conditions.push(...conditions);
    selection.indexed.push(...indexed);
    selection.inside.push(...(inside ? [inside] : []));
    if (inPart === 'hidden') selection.inPart = undefined;
    else selection.inPart?.push(...(inPart ? [inPart] : []));
  }
  return selection;
}

interface StudyTest {
  conditions?: Condition[];
  indexed?: Sql[];
  inside?: Sql;
  inPart?: Sql | 'hidden';
}

const same = (test: Sql): StudyTest => ({ inside: test, inPart: test });

function studyTest({ attribute, match, value }: Key, fuzzy: boolean, part: PartialAccess | undefined): StudyTest {
  switch (attribute.keyword) {
    case 'StudyInstanceUID':
      return { conditions: [ofUids(match.kind === 'one-of' ? match.values : [])] };
    case 'AccessionNumber':
      return accession(match);
    case 'StudyDate':
      return { ...same(textMeets(STUDY_DATE, match)), indexed: dateBounds(match) };
    case 'StudyTime':
      return same(textMeets(STUDY_TIME, match));
    case 'ModalitiesInStudy':
      return modalities(match, part);
    case 'StudyDescription':
      return { inside: textMeets(raw("r.content->>'description'"), match), inPart: 'hidden' };
    case 'StudyID':
      return { inside: ofClaim(textMeets(raw('c.study_number'), match)), inPart: 'hidden' };
    case 'ReferringPhysicianName':
      return { inside: ofClaim(referrerMeets(REFERRER, value, fuzzy)), inPart: 'hidden' };
    default:
      throw new Error(`no condition for ${attribute.keyword}`);
  }
}

/** Studies with one of these Study Instance UIDs. */
export const ofUids = (uids: readonly string[]): Condition => ({
  kind: 'token',
  keys: uids.map((uid) => `identifier=${systems.dicomUid}|urn:oid:${uid}`),
});

/** Study Instance UID of `r`: the first identifier of every study that is stored. */
export const STUDY_UID = raw("substr(r.content->'identifier'->0->>'value', 9)");

const ofClaim = (test: Sql): Sql =>
  sql`exists (select from study_claim c where c.custodian_id = r.custodian_id and c.study_instance_uid = ${STUDY_UID} and ${test})`;

const REFERRER = raw("coalesce(c.referring_physician, r.content->'referrer'->>'display')");

/** Date and time as they are answered, `20260102` and `092000.5`: those of the study's own offset, with the precision that it has. */
const STUDY_DATE = raw(
  "case when length(r.content->>'started') >= 10 then replace(left(r.content->>'started', 10), '-', '') end",
);
const STUDY_TIME = raw("replace(substring(r.content->>'started' from 'T([0-9:.]+)'), ':', '')");

/** The same in the index, where instants lie: a day is another one elsewhere. */
function dateBounds(match: Match): Sql[] {
  if (match.kind !== 'range') return [];
  const at = (day: string | undefined) => day && dateRange(day.replace(/(\d{4})(\d\d)(\d\d)/, '$1-$2-$3'), 'Z');
  const [first, last] = [at(match.from), at(match.until)];
  return [
    ...(first ? [sql`coalesce(r.date_from, '-infinity'::timestamptz) >= ${first.from}::timestamptz - interval '1 day'`] : []),
    ...(last ? [sql`coalesce(r.date_from, '-infinity'::timestamptz) < ${last.until}::timestamptz + interval '1 day'`] : []),
  ];
}

/** A number of the index, told apart from other identifiers by its type. One that looks like an identity number is stored as a digest and is found by that alone. */
function accession(match: Match): StudyTest {
  const typed = sql`(i->'type'->'coding')::jsonb @> ${JSON.stringify([{ code: identifierTypes.accessionNumber }])}::jsonb`;
  const test = sql`exists (select from ${itemsOf(raw("r.content->'identifier'"), 'i')} where ${typed} and ${textMeets(raw("i->>'value'"), match)})`;
  if (match.kind !== 'one-of') return same(test);
  const conditions: Condition[] = [{ kind: 'token', keys: match.values.map((value) => `identifier=${value}`) }];
  return match.values.some(holdsNational) ? { conditions } : { conditions, ...same(test) };
}

function modalities(match: Match, part: PartialAccess | undefined): StudyTest {
  if (match.kind === 'one-of') return { conditions: [{ kind: 'token', keys: match.values.map((code) => `modality=${code}`) }] };
  return {
    inside: sql`exists (select from unnest(r.modality) as m where ${textMeets(raw('m'), match)})`,
    inPart: part ? part.someSeries(textMeets(raw("s->'modality'->>'code'"), match)) : raw('false'),
  };
}
