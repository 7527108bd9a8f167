import { type Sql, sql } from '../store/sql.js';
import type { AuditEntry } from './vocabulary.js';

/** Longest text, in characters, that a column takes: what is longer is cut, because an event must never be refused for its size. */
const LONGEST = { query: 8192, other: 500 };
const MOST_ENTITIES = 100;

/**
 * One statement for any number of entries. `recorded` is the database's clock when the statement began, so one clock orders the audit,
 * however many hubs write it.
 */
export function insertEntries(entries: readonly AuditEntry[]): Sql {
  return sql`
    insert into audit_event (recorded, type, subtype, action, outcome, agent, agent_name, organization_id, role, purpose, client_id,
      patient_id, entity, custodian_id, query, basis, rule, evidence, detail, concealed, request_id, address,
      policy_epoch, decided_on)
    select statement_timestamp(), e.type, e.subtype, e.action, e.outcome, e.agent, e."agentName", e."organizationId", e.role, e.purpose, e."clientId",
      coalesce(e."patientId", ''), coalesce(e.entity, '{}'), e."custodianId", e.query, e.basis, e.rule, e.evidence, e.detail, coalesce(e.concealed, false), e."requestId", e.address,
      e."policyEpoch", e."decidedOn"
    from json_to_recordset(${JSON.stringify(entries.map(bounded))}::json) as e
      (type text, subtype text, action char(1), outcome smallint, agent text, "agentName" text, "organizationId" text, role text, purpose text,
       "clientId" text, "patientId" text, entity text[], "custodianId" text, query text, basis text, rule text, evidence jsonb, detail text,
       concealed boolean, "requestId" text, address text, "policyEpoch" integer, "decidedOn" text[])`;
}

function bounded(entry: AuditEntry): Record<string, unknown> {
  const cut = Object.entries(entry).map(([name, value]) => [
    name,
    typeof value === 'string' ? storable(value.slice(0, name === 'query' ? LONGEST.query : LONGEST.other)) : value,
  ]);
  const entity = entry.entity?.slice(0, MOST_ENTITIES).map((e) => storable(e.slice(0, LONGEST.other)));
  const evidence = entry.evidence === undefined ? undefined : JSON.parse(JSON.stringify(entry.evidence, storableInside));
  return { ...Object.fromEntries(cut), entity, evidence };
}

const storableInside = (_key: string, value: unknown): unknown => (typeof value === 'string' ? storable(value) : value);

/** PostgreSQL stores neither NUL nor half a surrogate pair; one such character in a search must not cost others their audit. */
function storable(text: string): string {
  return text.replace(/\0|\p{Surrogate}/gu, '\uFFFD');
}
