import { masked, type Protection, SEALED_MARK } from '../store/protection.js';
import type { AuditRow } from './rows.js';

type Of = Pick<AuditRow, 'request_id' | 'agent'>;

/**
 * A search as typed names patients by their numbers: its parameters are stored sealed, bound to the request and its agent, and opened for those
 * who may read them. What stands before them, `Patient?` or the path of an operation, says what was asked for and stays open.
 */
export function sealQuery(protection: Protection, of: Of, query: string): string {
  const start = query.indexOf('?') + 1;
  const [asked, parameters] = start > 0 ? [query.slice(0, start), query.slice(start)] : [query, ''];
  const sealed = parameters && SEALED_MARK + protection.keys.seal('audit', of.request_id, of.agent, parameters);
  return masked(protection, asked) + sealed;
}

/** @throws {IntegrityFailure} when it is not what was written. Rows of versions that did not seal are shown as they are. */
export function openQuery({ keys }: Protection, row: Of & Pick<AuditRow, 'query'>): string | null {
  const at = row.query?.indexOf(`?${SEALED_MARK}`) ?? -1;
  if (row.query === null || at < 0) return row.query;
  const start = at + 1;
  return row.query.slice(0, start) + keys.open('audit', row.request_id, row.agent, row.query.slice(start + SEALED_MARK.length));
}
