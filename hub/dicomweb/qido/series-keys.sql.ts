import type { RequestAccess } from '../../access/decision.js';
import type { Queryable } from '../../store/database.js';
import { and, raw, type Sql, sql } from '../../store/sql.js';
import type { Match } from './match.js';
import type { Key } from './query.js';
import { STUDY_UID } from './study-keys.sql.js';
import { itemsOf, textMeets } from './text-conditions.sql.js';

/**
 * Conditions on `r`: one of its series meets the keys of series and instance level. They only spare reading studies in vain: which series and
 * instances are answered is decided on what is shown of each.
 */
export function someSeriesMeets(keys: readonly Key[], access: RequestAccess): { whole: Sql[]; inPart: Sql[] } {
  if (keys.length === 0) return { whole: [], inPart: [] };
  const ofInstance = keys.filter(({ attribute }) => attribute.level === 'instance').map(instanceTest);
  const tests = and([
    ...keys.filter(({ attribute }) => attribute.level === 'series').map(seriesTest),
    ...(ofInstance.length > 0 ? [sql`exists (select from ${itemsOf(raw("s->'instance'"), 'i')} where ${and(ofInstance)})`] : []),
  ]);
  return {
    whole: [sql`exists (select from ${itemsOf(raw("r.content->'series'"), 's')} where ${tests})`],
    inPart: access.part ? [access.part.someSeries(tests)] : [],
  };
}

const EXPRESSIONS: Readonly<Record<string, Sql>> = {
  Modality: raw("s->'modality'->>'code'"),
  SeriesDescription: raw("s->>'description'"),
  SeriesInstanceUID: raw("s->>'uid'"),
  SeriesNumber: raw("s->>'number'"),
  SOPClassUID: raw("replace(i->'sopClass'->>'code', 'urn:oid:', '')"),
  SOPInstanceUID: raw("i->>'uid'"),
  InstanceNumber: raw("i->>'number'"),
};

const instanceTest = ({ attribute, match }: Key): Sql => textMeets(EXPRESSIONS[attribute.keyword]!, match);

function seriesTest({ attribute, match }: Key): Sql {
  switch (attribute.keyword) {
    case 'PerformedProcedureStepStartDate':
      return ofRow(textMeets(raw('x.performed_date'), match));
    case 'PerformedProcedureStepStartTime':
      return ofRow(textMeets(raw('x.performed_time'), match));
    case 'ScheduledProcedureStepID':
      return ofRow(someRequest('scheduledProcedureStepId', match));
    case 'RequestedProcedureID':
      return ofRow(someRequest('requestedProcedureId', match));
    case 'BodyPartExamined':
      return ofRow(textMeets(raw('x.body_part'), match));
    default:
      return textMeets(EXPRESSIONS[attribute.keyword]!, match);
  }
}

const ofRow = (test: Sql): Sql =>
  sql`exists (select from imaging_series x where x.custodian_id = r.custodian_id and x.study_instance_uid = ${STUDY_UID}
    and x.series_instance_uid = s->>'uid' and ${test})`;

const someRequest = (element: 'scheduledProcedureStepId' | 'requestedProcedureId', match: Match): Sql =>
  sql`exists (select from json_array_elements(x.request_attributes::json) as q where ${textMeets(raw(`q->>'${element}'`), match)})`;

/** Studies that a search may find by UIDs of series or instances. */
const MOST_STUDIES = 1000;

/** Study Instance UIDs of the series or instances that the keys name, whoever holds them; undefined where none is named. No policy is applied here. */
export async function studiesNamed(tx: Queryable, keys: readonly Key[]): Promise<string[] | undefined> {
  const uidsOf = (keyword: string): readonly string[] | undefined => {
    const match = keys.find(({ attribute }) => attribute.keyword === keyword)?.match;
    return match?.kind === 'one-of' ? match.values : undefined;
  };
  const [series, instances] = [uidsOf('SeriesInstanceUID'), uidsOf('SOPInstanceUID')];
  if (!series && !instances) return undefined;
  const statement = instances
    ? sql`select distinct i.study_instance_uid as uid from organization o
        join imaging_instance i on i.custodian_id = o.id and i.sop_instance_uid = any(${instances}::text[]) limit ${MOST_STUDIES}`
    : sql`select distinct study_instance_uid as uid from imaging_series where series_instance_uid = any(${series}::text[]) limit ${MOST_STUDIES}`;
  return (await tx.query<{ uid: string }>(statement)).map(({ uid }) => uid);
}
