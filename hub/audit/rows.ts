import { raw, type Sql } from '../store/sql.js';

/** A row of the audit as read: `recorded` in microseconds since the epoch, which a Date can't hold. */
export interface AuditRow {
  id: number;
  micros: number;
  type: string;
  subtype: string;
  action: string;
  outcome: number;
  agent: string;
  agent_name: string | null;
  organization_id: string | null;
  role: string | null;
  purpose: string | null;
  client_id: string | null;
  patient_id: string;
  entity: string[];
  custodian_id: string | null;
  query: string | null;
  basis: string | null;
  rule: string | null;
  evidence: unknown;
  policy_epoch: number | null;
  decided_on: string[] | null;
  detail: string | null;
  request_id: string;
  address: string | null;
}

/** Columns of an AuditRow, of table `audit_event` under the alias `a`. */
export const auditColumns: Sql = raw(
  `a.id, (extract(epoch from a.recorded) * 1000000)::bigint as micros, a.type, a.subtype, a.action, a.outcome, a.agent, a.agent_name, a.organization_id,
   a.role, a.purpose, a.client_id, a.patient_id, a.entity, a.custodian_id, a.query, a.basis, a.rule, a.evidence, a.policy_epoch, a.decided_on,
   a.detail, a.request_id, a.address`,
);

/** Place of a row: with it a read goes straight to its partition and primary key. */
export interface AuditPosition {
  micros: number;
  id: number;
}

/** AuditEvent.id, `<microseconds>-<number>`. */
export const auditEventId = (row: AuditPosition): string => `${row.micros}-${row.id}`;

/** @returns undefined for a text that is not an id of the audit. */
export function parseAuditEventId(text: string): AuditPosition | undefined {
  const match = /^(\d{1,16})-(\d{1,15})$/.exec(text);
  return match ? { micros: Number(match[1]), id: Number(match[2]) } : undefined;
}
