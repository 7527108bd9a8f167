import type { Queryable } from '../../store/database.js';
import { raw, type Sql, sql } from '../../store/sql.js';

export const KINDS = ['break-glass', 'oversight'] as const;
export type Kind = (typeof KINDS)[number];

/** Why a physician breaks the glass. */
export const BREAK_GLASS_REASONS = ['life-threatening', 'unconscious', 'urgent-care', 'other'] as const;
/** Legal grounds of a case of the health commission. */
export const CASE_GROUNDS = ['complaint', 'incident-investigation', 'quality-inspection', 'court-order', 'outbreak'] as const;

/** pending: waits to be confirmed by another person. */
export const STATES = ['pending', 'open', 'over'] as const;
export const REVIEWS = ['owed', 'overdue', 'justified', 'not-justified'] as const;
export const FINDINGS = ['justified', 'not-justified'] as const;
export type Finding = (typeof FINDINGS)[number];

/** One Patient that an access opens. */
export interface OpenedPatient {
  patient_id: string;
  custodian_id: string;
  /** The one that was named; the others were linked with it at the opening. */
  named: boolean;
  flagged_by: string | null;
  flag_comment: string | null;
}

/** A break-glass session or an oversight case as it stands at the database's now(). */
export interface ExceptionalAccess {
  id: string;
  kind: Kind;
  agent: string;
  agent_name: string;
  organization_id: string;
  reason: string;
  statement: string;
  case_number: string | null;
  opened_at: Date;
  confirmed_by: string | null;
  valid_from: Date | null;
  valid_until: Date;
  ended_at: Date | null;
  review_due: Date | null;
  reviewed_by: string | null;
  reviewed_at: Date | null;
  review_comment: string | null;
  suspended_until: Date | null;
  state: (typeof STATES)[number];
  /** null: a case, which was confirmed before it opened anything. */
  review: (typeof REVIEWS)[number] | null;
  patients: OpenedPatient[];
}

/** Of alias `x` of table exceptional_access. */
export const stateSql: Sql = raw(
  `case when x.ended_at is not null or x.valid_until <= now() then 'over' when x.valid_from is null then 'pending' else 'open' end`,
);
export const reviewSql: Sql = raw(
  `coalesce(x.finding, case when x.review_due <= now() then 'overdue' when x.review_due is not null then 'owed' end)`,
);

const columns: Sql = sql`x.id, x.kind, x.agent, x.agent_name, x.organization_id, x.reason, x.statement, x.case_number, x.opened_at, x.confirmed_by,
  x.valid_from, x.valid_until, x.ended_at, x.review_due, x.reviewed_by, x.reviewed_at, x.review_comment, x.suspended_until,
  ${stateSql} as state, ${reviewSql} as review,
  coalesce((select jsonb_agg(jsonb_build_object('patient_id', p.patient_id, 'custodian_id', p.custodian_id, 'named', p.named,
    'flagged_by', p.flagged_by, 'flag_comment', p.flag_comment) order by p.named desc, p.patient_id)
    from exceptional_access_patient p where p.access_id = x.id), '[]') as patients`;

/** Accesses by a condition on alias `x`, newest first: ids grow with time. */
export function selectAccesses(on: Queryable, where: Sql, limit: number): Promise<ExceptionalAccess[]> {
  return on.query<ExceptionalAccess & Record<string, unknown>>(
    sql`select ${columns} from exceptional_access x where ${where} order by x.id desc limit ${limit}`,
  );
}

/** One access, locked until the transaction ends. */
export async function lockAccess(tx: Queryable, id: string): Promise<ExceptionalAccess | undefined> {
  await tx.query(sql`select from exceptional_access where id = ${id} for update`);
  return (await selectAccesses(tx, sql`x.id = ${id}`, 1))[0];
}
