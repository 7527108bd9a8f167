import { raw, type Sql } from '../store/sql.js';
import type { AuditRow } from './rows.js';

/** A condition on rows of the audit in both its forms: on a row that was read, and over alias `a` for a search. */
interface RowCondition {
  test(row: AuditRow): boolean;
  readonly sql: Sql;
}

/** Classes of event in which records are shown or refused. */
const SHOWING = ['rest', 'query', 'export'];
const showing = `a.type in (${SHOWING.map((type) => `'${type}'`).join(', ')})`;

/**
 * A patient's consent stopped somebody of an organization: IHE BALP "Authorization Decision using Roles and Consent". A missing permit is none: there is
 * no Consent to name.
 */
export const stoppedByConsent: RowCondition = {
  test: (row) =>
    row.outcome !== 0 &&
    SHOWING.includes(row.type) &&
    row.patient_id !== '' &&
    Boolean(row.organization_id) &&
    Boolean(row.address) &&
    evidenceOf(row).some((e) => e.kind === 'consent'),
  sql: raw(`(a.outcome <> 0 and ${showing} and a.patient_id <> '' and a.organization_id <> '' and a.address <> ''
    and coalesce(a.evidence @> '[{"kind": "consent"}]', false))`),
};

/** A patient's record left its custodian for another organization: IHE BALP "Privacy Disclosure at Source". The audit itself is no such record. */
export const disclosed: RowCondition = {
  test: (row) =>
    row.outcome === 0 &&
    SHOWING.includes(row.type) &&
    ['R', 'E'].includes(row.action) &&
    row.patient_id !== '' &&
    Boolean(row.address) &&
    Boolean(row.custodian_id && row.organization_id) &&
    row.custodian_id !== row.organization_id &&
    !row.entity[0]?.startsWith('AuditEvent'),
  sql: raw(`(a.outcome = 0 and ${showing} and a.action in ('R', 'E') and a.patient_id <> '' and a.address <> ''
    and a.custodian_id <> '' and a.organization_id <> '' and a.custodian_id <> a.organization_id
    and coalesce(a.entity[1], '') not like 'AuditEvent%')`),
};

export interface EvidenceOfRow {
  kind: string;
  id: string;
  version?: number;
  provision?: string;
}

/** What the decision rested on; rows of other events hold other things there. */
export function evidenceOf(row: Pick<AuditRow, 'evidence'>): EvidenceOfRow[] {
  const given = Array.isArray(row.evidence) ? (row.evidence as Partial<EvidenceOfRow>[]) : [];
  return given.filter((e): e is EvidenceOfRow => typeof e?.kind === 'string' && typeof e.id === 'string');
}

export type Pattern = 'consent' | 'disclosure' | 'query' | 'read' | 'create' | 'update' | 'token' | 'other';

const BY_SUBTYPE: Readonly<Record<string, Pattern>> = {
  read: 'read',
  vread: 'read',
  'history-instance': 'read',
  retrieve: 'read',
  create: 'create',
  update: 'update',
  'search-type': 'query',
};

/** The pattern of IHE BALP that the event follows. A search across organizations stays a query, because a disclosure has no place for what was asked. */
export function patternOf(row: AuditRow): Pattern {
  if (stoppedByConsent.test(row)) return 'consent';
  if (row.type === 'authentication') return 'token';
  if (row.action === 'R' && disclosed.test(row)) return 'disclosure';
  return (row.type === 'rest' && BY_SUBTYPE[row.subtype]) || 'other';
}
