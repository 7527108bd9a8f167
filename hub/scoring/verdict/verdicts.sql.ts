import type { Database, Queryable } from '../../store/database.js';
import { keyed, sql } from '../../store/sql.js';
import { openedRecord, sealedRecord, sealRecordsAgain } from '../sealed-record.js';
import type { Verdict } from './verdict.js';

const placeOf = (reportId: string, version: number): string => `ScoreVerdict/${reportId}/${version}`;

export async function insertVerdict(tx: Queryable, reportId: string, verdict: Verdict): Promise<void> {
  const { reportVersion } = verdict;
  await tx.query(sql`
    insert into score_verdict (report_id, report_version, sealed)
    values (${reportId}, ${reportVersion}, ${keyed((p) => sealedRecord(p, placeOf(reportId, reportVersion), verdict))})`);
}

/** Physicians' words on a report, the first one first. @throws {IntegrityFailure} when one was changed. */
export async function findVerdicts(
  { protection }: Pick<Database, 'protection'>,
  on: Queryable,
  reportId: string,
): Promise<Verdict[]> {
  const rows = await on.query<{ report_version: number; sealed: string }>(
    sql`select report_version, sealed from score_verdict where report_id = ${reportId} order by report_version`,
  );
  return rows.map(({ report_version, sealed }) => openedRecord<Verdict>(protection, placeOf(reportId, report_version), sealed));
}

/** Brings them under the current key. */
export const sealVerdictsAgain = (db: Database): Promise<void> =>
  sealRecordsAgain(db, {
    table: 'score_verdict',
    key: ['report_id', 'report_version'],
    placeOf: (row) => placeOf(String(row['report_id']), Number(row['report_version'])),
  });
