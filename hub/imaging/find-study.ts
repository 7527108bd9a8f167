import type { Decision, RequestAccess, RowWithEvidence } from '../access/decision.js';
import { seriesOf } from '../access/policy/part-terms.js';
import type { Queryable } from '../store/database.js';
import { columns } from '../store/resources.js';
import { sql } from '../store/sql.js';

/** A custodian's record of a study, with what policy says of retrieving it. */
export interface JudgedStudy {
  row: RowWithEvidence;
  decision: Decision;
  /** Series Instance UIDs that are opened, where it is not the whole study. */
  series?: readonly string[];
}

/** Custodians of one Study Instance UID that are looked at; those whose record the caller may not know of come last. */
const MOST = 50;

/**
 * The records of a Study Instance UID, which several custodians may hold: the caller's own first, then what he may retrieve, then what he
 * may know of.
 */
export async function findStudy(
  tx: Queryable,
  access: RequestAccess,
  organizationId: string,
  studyInstanceUid: string,
  custodianId?: string,
): Promise<JudgedStudy[]> {
  const rows = await tx.query<RowWithEvidence & Record<string, unknown>>(sql`
    select ${columns}, ${access.evidence}
    from study_claim claim join resource r on r.type = 'ImagingStudy' and r.id = claim.study_id and not r.deleted
    where claim.study_instance_uid = ${studyInstanceUid} and (${custodianId ?? null}::text is null or claim.custodian_id = ${custodianId ?? null})
    order by (claim.custodian_id = ${organizationId}) desc, ${access.filter('know', 'ImagingStudy')} desc, claim.custodian_id limit ${MOST}`);
  return rows.map((row) => judgedStudy(access, row)).sort((x, y) => rank(x) - rank(y));
}

/** What policy says of retrieving a record: all of it, some of its series, or nothing. */
export function judgedStudy(access: RequestAccess, row: RowWithEvidence): JudgedStudy {
  const decision = access.decide('retrieve', row);
  const part = decision.allowed ? undefined : access.part?.of(row);
  if (!part) return { row, decision };
  const series = seriesOf(row).filter(part.isShown);
  return { row, decision: part.decision, series: series.flatMap(({ uid }) => uid ?? []) };
}

const rank = ({ decision: { allowed, mayKnow }, series }: JudgedStudy): number => (allowed ? (series ? 1 : 0) : mayKnow ? 2 : 3);
