import type { IndexedInstance, IndexView, LookRequest } from '../../../connectors/connector.js';
import type { Queryable } from '../../store/database.js';
import { raw, type Sql, sql } from '../../store/sql.js';

const PAGE = 2_000;
/** Other studies that a source is asked for, to see whether it is itself. */
const WITNESSES = 6;

/** What the index holds from one source, read page by page in the order of its indexes. */
export function indexView(on: Queryable, custodianId: string, connectorId: string): IndexView {
  return {
    async *studies() {
      for (let after = ''; ; ) {
        const page = await on.query<{ studyInstanceUid: string; instances: number }>(sql`
          select study_instance_uid as "studyInstanceUid", count(*)::int as instances from imaging_instance
          where custodian_id = ${custodianId} and connector_id = ${connectorId} and study_instance_uid > ${after}
          group by study_instance_uid order by study_instance_uid limit ${PAGE}`);
        if (page.length > 0) yield page;
        if (page.length < PAGE) return;
        after = page.at(-1)?.studyInstanceUid ?? '';
      }
    },
    async *instances() {
      for (let after = ''; ; ) {
        const page = await on.query<IndexedInstance & Record<string, unknown>>(sql`
          select ${INSTANCE} from imaging_instance
          where custodian_id = ${custodianId} and connector_id = ${connectorId} and locator is not null and sop_instance_uid > ${after}
          order by sop_instance_uid limit ${PAGE}`);
        if (page.length > 0) yield page;
        if (page.length < PAGE) return;
        after = page.at(-1)?.sopInstanceUid ?? '';
      }
    },
    async *records(type) {
      for (let after = ''; ; ) {
        const page = await on.query<{ id: string }>(sql`
          select source_id as id from source_record
          where connector_id = ${connectorId} and type = ${type} and gone is null and source_id > ${after} order by source_id limit ${PAGE}`);
        // an id that looks like an identity number is kept as its digest, and can't be asked for
        const ids = page.flatMap(({ id }) => (id.startsWith('~') ? [] : id));
        if (ids.length > 0) yield ids;
        if (page.length < PAGE) return;
        after = page.at(-1)?.id ?? '';
      }
    },
  };
}

const INSTANCE = sql`study_instance_uid as "studyInstanceUid", series_instance_uid as "seriesInstanceUid", sop_instance_uid as "sopInstanceUid", locator`;

/** What a source is asked when one study is looked at, and the database's time before that. */
export async function lookRequest(
  on: Queryable,
  { custodianId, connectorId }: { custodianId: string; connectorId: string },
  studyInstanceUid: string,
): Promise<LookRequest & { began: string }> {
  const [now] = await on.query<{ began: string }>(sql`select clock_timestamp()::text as began`);
  const instances = await on.query<IndexedInstance & Record<string, unknown>>(sql`
    select ${INSTANCE} from imaging_instance
    where custodian_id = ${custodianId} and study_instance_uid = ${studyInstanceUid} and connector_id = ${connectorId} and locator is not null
    order by series_instance_uid, number nulls last, sop_instance_uid`);
  const held = await on.query<{ locator: string }>(sql`
    select locator from quarantine
    where custodian_id = ${custodianId} and connector_id = ${connectorId} and study_instance_uid = ${studyInstanceUid} and state = 'held'
      and sop_instance_uid is not null order by first_seen, id limit 1000`);
  const some = (direction: Sql): Sql => sql`(
    select * from imaging_instance
    where custodian_id = ${custodianId} and connector_id = ${connectorId} and study_instance_uid <> ${studyInstanceUid} and locator is not null
    order by sop_instance_uid ${direction} limit ${WITNESSES * 20})`;
  const others = await on.query<IndexedInstance & Record<string, unknown>>(sql`
    select distinct on (study_instance_uid) ${INSTANCE} from (${some(raw('asc'))} union all ${some(raw('desc'))}) i
    order by study_instance_uid limit ${WITNESSES}`);
  return { studyInstanceUid, instances, held: held.map(({ locator }) => locator), others, began: now?.began ?? '' };
}
