import type { Queryable } from '../store/database.js';
import { and, or, raw, type Sql, sql } from '../store/sql.js';
import type { AuditView } from './audit-filter.js';
import { disclosed, stoppedByConsent } from './pattern.js';
import { type AuditPosition, type AuditRow, auditColumns } from './rows.js';

/** A span of time; half-open. */
export interface TimeSpan {
  from?: Date;
  until?: Date;
}

/** What to find. Values of one list are alternatives, the lists are conditions that all hold. */
export interface AuditCriteria {
  /** Patient ids: the person's own and those of the cross-reference cluster. */
  patients?: readonly string[];
  /** `Practitioner/x`, `Patient/x`, `Client/x`, `Account/x`, or `Organization/x`. */
  agents?: readonly string[];
  /** One list a condition, its spans are alternatives. */
  recorded?: readonly (readonly TimeSpan[])[];
  outcomes?: readonly number[];
  actions?: readonly string[];
  /** Class of event or operation: `rest`, `referral`, `read`, `retrieve`, ... */
  types?: readonly string[];
  subtypes?: readonly string[];
  /** References of the records concerned. */
  entities?: readonly string[];
  /** Rows of a page. */
  count: number;
  /** The last row of the page before. */
  after?: AuditPosition;
}

/** Newest first. `view` is the policy (auditView); `next` is the place where the following page begins, if there is one. */
export async function searchAuditEvents(
  tx: Queryable,
  view: AuditView,
  criteria: AuditCriteria,
): Promise<{ rows: AuditRow[]; next?: AuditPosition }> {
  const rows = await tx.query<AuditRow>(sql`
    select ${auditColumns} from ${view.rows}
    where ${and([view.filter, ...conditions(criteria)])}
    order by a.recorded desc, a.id desc
    limit ${criteria.count + 1}`);
  const page = rows.slice(0, criteria.count);
  const last = page.at(-1);
  return rows.length > page.length && last ? { rows: page, next: { micros: last.micros, id: last.id } } : { rows: page };
}

/** One row by its place, if the policy lets it be seen. */
export async function readAuditEvent(tx: Queryable, view: AuditView, at: AuditPosition): Promise<AuditRow | undefined> {
  const [row] = await tx.query<AuditRow>(sql`
    select ${auditColumns} from ${view.rows} where a.recorded = ${instant(at.micros)} and a.id = ${at.id} and ${view.filter}`);
  return row;
}

function conditions(criteria: AuditCriteria): Sql[] {
  const { patients, agents, outcomes, actions, types, subtypes, entities, after } = criteria;
  const found: Sql[] = [];
  if (patients) found.push(sql`a.patient_id = any(${patients.filter(Boolean)}::text[])`);
  if (agents) found.push(byAgent(agents));
  if (outcomes) found.push(sql`a.outcome = any(${outcomes}::smallint[])`);
  if (actions) found.push(sql`case when ${stoppedByConsent.sql} then 'E' else a.action end = any(${actions}::text[])`);
  if (types) found.push(sql`a.type = any(${types}::text[])`);
  if (subtypes) found.push(bySubtype(subtypes));
  if (entities) found.push(sql`a.entity && ${entities}::text[]`);
  for (const spans of criteria.recorded ?? []) found.push(or(spans.map(within)));
  if (after) found.push(sql`(a.recorded, a.id) < (${instant(after.micros)}, ${after.id}::bigint)`);
  return found;
}

/** By the operation, also where a consent stopped it, and by what IHE BALP calls the event. */
function bySubtype(subtypes: readonly string[]): Sql {
  return or([
    sql`a.subtype = any(${subtypes}::text[])`,
    ...(subtypes.includes('disclose') ? [disclosed.sql] : []),
    ...(subtypes.includes('AuthZ-Consent') ? [stoppedByConsent.sql] : []),
  ]);
}

function byAgent(agents: readonly string[]): Sql {
  const prefix = 'Organization/';
  const organizations = agents.filter((a) => a.startsWith(prefix)).map((a) => a.slice(prefix.length));
  const others = agents.filter((a) => !a.startsWith(prefix));
  return or([
    ...(others.length > 0 ? [sql`a.agent = any(${others}::text[])`] : []),
    ...(organizations.length > 0 ? [sql`a.organization_id = any(${organizations}::text[])`] : []),
  ]);
}

function within(span: TimeSpan): Sql {
  return and([
    span.from ? sql`a.recorded >= ${span.from}::timestamptz` : raw('true'),
    span.until ? sql`a.recorded < ${span.until}::timestamptz` : raw('true'),
  ]);
}

/** Whole microseconds; a floating-point epoch would lose the last ones. */
const instant = (micros: number): Sql => sql`(timestamptz 'epoch' + ${String(micros)}::bigint * interval '1 microsecond')`;
