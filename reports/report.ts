import { z } from 'zod';

/** A text in the two languages of the region. */
export interface Bilingual {
  zh: string;
  en: string;
}

export interface Column {
  name: string;
  title: Bilingual;
  type: 'text' | 'integer' | 'decimal';
}

export type Row = Record<string, string | number | null>;

/** Runs one read-only statement with `$1..$n`. Whoever runs a report hands it in; a report knows no other way to the data. */
export type ReportQuery = (text: string, values: readonly unknown[]) => Promise<Row[]>;

/** What every report takes: whole months, so that two runs can't be subtracted down to one person's day. */
export const period = z.strictObject({
  /** First month that is counted, `YYYY-MM`. */
  from: z.string().regex(/^20\d\d-(0[1-9]|1[0-2])$/, 'must be a month, YYYY-MM'),
  /** First month that is not counted any more. */
  until: z.string().regex(/^20\d\d-(0[1-9]|1[0-2])$/, 'must be a month, YYYY-MM'),
});
export type Period = z.infer<typeof period>;

/** Most months of one run. */
export const MOST_MONTHS = 36;

/**
 * One figure of the region. Only aggregates leave a report, or rows that enough persons share: no patient, no person, no record, no day.
 * `statement` takes `$1` and `$2`, the bounds of the period (half-open), and `$3`, the region's offset from UTC, which months follow.
 */
export interface Report {
  /** Its name in URLs. */
  name: string;
  title: Bilingual;
  description: Bilingual;
  columns: readonly Column[];
  statement: string;
  /** The statement takes `$4` too: the fewest persons who must share the values of a row. */
  groupsPersons?: true;
}

/**
 * Runs a report.
 * @param utcOffset offset of the region, e.g. `+08:00`.
 * @param smallestGroup fewest persons behind a row of a report about persons.
 * @throws RangeError when the period is empty or longer than 36 months.
 */
export async function runReport(
  report: Report,
  query: ReportQuery,
  parameters: Period,
  utcOffset: string,
  smallestGroup: number,
): Promise<Row[]> {
  const months = monthNumber(parameters.until) - monthNumber(parameters.from);
  if (months < 1 || months > MOST_MONTHS)
    throw new RangeError(`The period must be 1 to ${MOST_MONTHS} months; until is not counted.`);
  const start = (month: string): string => `${month}-01T00:00:00${utcOffset}`;
  const values = [start(parameters.from), start(parameters.until), utcOffset];
  return query(report.statement, report.groupsPersons ? [...values, smallestGroup] : values);
}

const monthNumber = (month: string): number => Number(month.slice(0, 4)) * 12 + Number(month.slice(5));
