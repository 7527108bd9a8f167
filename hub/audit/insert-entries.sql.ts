import { masked, type Protection } from '../store/protection.js';
import { keyed, type Sql, sql } from '../store/sql.js';
import { sealQuery } from './sealed-query.js';
import type { AuditEntry } from './vocabulary.js';

/** Longest text, in characters, that a column takes: what is longer is cut, because an event must never be refused for its size. */
const LONGEST = { query: 8192, other: 500 };
/** Records that one row names; more go on in further rows, so that none is left out. */
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
    from json_to_recordset(${keyed((p) => JSON.stringify(stored(entries, p)))}::json) as e
      (type text, subtype text, action char(1), outcome smallint, agent text, "agentName" text, "organizationId" text, role text, purpose text,
       "clientId" text, "patientId" text, entity text[], "custodianId" text, query text, basis text, rule text, evidence jsonb, detail text,
       concealed boolean, "requestId" text, address text, "policyEpoch" integer, "decidedOn" text[])`;
}

/** Entries as they are stored: searches sealed, and no identity or telephone number in any other text. */
function stored(entries: readonly AuditEntry[], protection: Protection): Record<string, unknown>[] {
  const sealed = new Map<string, string>();
  return entries.flatMap(inParts).map((entry) => {
    const { query, ...rest } = bounded(entry, (text) => masked(protection, text));
    if (query === undefined) return rest;
    const key = JSON.stringify([entry.requestId, entry.agent, query]);
    const text =
      sealed.get(key) ?? sealQuery(protection, { request_id: String(rest.requestId), agent: String(rest.agent) }, query);
    sealed.set(key, text); // a search that found many patients is sealed once
    return { ...rest, query: text };
  });
}

function inParts(entry: AuditEntry): AuditEntry[] {
  const { entity = [] } = entry;
  const parts = Math.max(1, Math.ceil(entity.length / MOST_ENTITIES));
  if (parts === 1) return [entry];
  return Array.from({ length: parts }, (_, i) => ({
    ...entry,
    entity: entity.slice(i * MOST_ENTITIES, (i + 1) * MOST_ENTITIES),
  }));
}

type Bounded = Record<string, unknown> & { query?: string };

function bounded({ query, evidence, ...entry }: AuditEntry, mask: (text: string) => string): Bounded {
  const cutShort = (text: string): string => mask(storable(text.slice(0, LONGEST.other)));
  const cut = Object.entries(entry).map(([name, value]) => [name, typeof value === 'string' ? cutShort(value) : value]);
  const inside = (_key: string, value: unknown): unknown => (typeof value === 'string' ? mask(storable(value)) : value);
  return {
    ...Object.fromEntries(cut),
    entity: entry.entity?.map(cutShort),
    evidence: evidence === undefined ? undefined : JSON.parse(JSON.stringify(evidence, inside)),
    query: query === undefined ? undefined : storable(query.slice(0, LONGEST.query)),
  };
}

/** PostgreSQL stores neither NUL nor half a surrogate pair; one such character in a search must not cost others their audit. */
function storable(text: string): string {
  return text.replace(/\0|\p{Surrogate}/gu, '\uFFFD');
}
