import type { Decision, RequestAccess, RowWithEvidence } from '../access/decision.js';
import { seriesOf } from '../access/policy/part-terms.js';
import type { Queryable } from '../store/database.js';
import { columns, columnsWithoutContent } from '../store/resources.js';
import { type Sql, sql } from '../store/sql.js';

/** A custodian's record of a study, with what policy says of retrieving it. */
export interface JudgedStudy<Row extends RowWithEvidence = RowWithEvidence> {
  row: Row;
  decision: Decision;
  /** Series Instance UIDs that are opened, where it is not the whole study. */
  series?: readonly string[];
}

/** Custodians of one Study Instance UID that are looked at; those whose record the caller may not know of come last. */
const MOST = 50;

/** A Study Instance UID, and whose record of it where one is asked for. */
export interface AskedStudy {
  studyInstanceUid: string;
  custodianId?: string;
}

/** Statement: some columns of the records of a Study Instance UID (`r`), with their evidence, the caller's own first. */
export const studyRecords = (
  access: RequestAccess,
  organizationId: string,
  { studyInstanceUid, custodianId }: AskedStudy,
  chosen: Sql,
): Sql => sql`
    select ${chosen}, ${access.evidence}
    from study_claim claim join resource r on r.type = 'ImagingStudy' and r.id = claim.study_id and not r.deleted
    where claim.study_instance_uid = ${studyInstanceUid} and (${custodianId ?? null}::text is null or claim.custodian_id = ${custodianId ?? null})
    order by (claim.custodian_id = ${organizationId}) desc, ${access.filter('know', 'ImagingStudy')} desc, claim.custodian_id limit ${MOST}`;

/** Columns of `r` that a study is judged by. Its content, many kilobytes, is looked into for what is opened in part alone. */
export const judgedColumns = (access: RequestAccess): Sql => (access.part ? columns : columnsWithoutContent);

/**
 * The records of a Study Instance UID, which several custodians may hold: the caller's own first, then what he may retrieve, then what he
 * may know of.
 */
export async function findStudy(
  tx: Queryable,
  access: RequestAccess,
  organizationId: string,
  asked: AskedStudy,
): Promise<JudgedStudy[]> {
  return judgedStudies(
    access,
    await tx.query<RowWithEvidence & Record<string, unknown>>(studyRecords(access, organizationId, asked, columns)),
  );
}

/** Rows of `studyRecords` as policy judges them. */
export const judgedStudies = <Row extends RowWithEvidence>(access: RequestAccess, rows: readonly Row[]): JudgedStudy<Row>[] =>
  rows.map((row) => judgedStudy(access, row)).sort((x, y) => rank(x) - rank(y));

/** What policy says of retrieving a record: all of it, some of its series, or nothing. */
export function judgedStudy<Row extends RowWithEvidence>(access: RequestAccess, row: Row): JudgedStudy<Row> {
  const decision = access.decide('retrieve', row);
  const part = decision.allowed ? undefined : access.part?.of(row);
  if (!part) return { row, decision };
  const series = seriesOf(row).filter(part.isShown);
  return { row, decision: part.decision, series: series.flatMap(({ uid }) => uid ?? []) };
}

const rank = ({ decision: { allowed, mayKnow }, series }: JudgedStudy): number => (allowed ? (series ? 1 : 0) : mayKnow ? 2 : 3);
