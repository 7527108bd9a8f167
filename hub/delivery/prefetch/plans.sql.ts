import type { Queryable } from '../../store/database.js';
import { sql } from '../../store/sql.js';
import type { Planned } from './planned.js';

/** A hospital's standing order. */
export interface PrefetchRule {
  /** Studies before one appointment. */
  most: number;
  /** Age of a study. */
  years: number;
  /** How long before the appointment they are looked for. */
  hoursBefore: number;
}

/** Undefined where the hospital has not opted in (`prefetch` of the source that keeps what the hub stores). */
export async function prefetchRule(on: Queryable, organizationId: string): Promise<PrefetchRule | undefined> {
  const [row] = await on.query<{ rule: PrefetchRule | null }>(sql`
    select settings->'prefetch' as rule from connector
    where organization_id = ${organizationId} and enabled and settings @> '{"store": true}' order by id limit 1`);
  return row?.rule ?? undefined;
}

export interface Plan {
  /** `Appointment/x` or `ServiceRequest/x`. */
  record: string;
  organization_id: string;
  patient_id: string;
  modality: string[];
  body_site: string[];
}

/** Enters or moves a plan; one that was seen to stays so. What lies behind is nobody's to prepare for. */
export async function putPlan(
  tx: Queryable,
  of: { record: string; organizationId: string; patientId: string; planned: Planned; hoursBefore: number },
): Promise<void> {
  const { record, organizationId, patientId, planned, hoursBefore } = of;
  await tx.query(sql`
    insert into prefetch_plan as p (record, organization_id, patient_id, starts, due, modality, body_site)
    select ${record}, ${organizationId}, ${patientId}, ${planned.starts}::timestamptz, ${planned.starts}::timestamptz - make_interval(hours => ${hoursBefore}),
      ${planned.modality}::text[], ${planned.bodySite}::text[] where ${planned.starts}::timestamptz > now()
    on conflict (record) do update set patient_id = excluded.patient_id, starts = excluded.starts, due = excluded.due, modality = excluded.modality,
      body_site = excluded.body_site, state = 'waiting', settled = null
    where p.state <> 'done'`);
}

export async function cancelPlan(tx: Queryable, record: string): Promise<void> {
  await tx.query(
    sql`update prefetch_plan set state = 'cancelled', settled = now() where record = ${record} and state = 'waiting'`,
  );
}

/** A plan whose time has come, under lock; each is taken by one process. */
export async function takeDuePlan(tx: Queryable): Promise<Plan | undefined> {
  const [plan] = await tx.query<Plan & Record<string, unknown>>(sql`
    select record, organization_id, patient_id, modality, body_site from prefetch_plan
    where state = 'waiting' and due <= now() order by due limit 1 for update skip locked`);
  return plan;
}

export async function settlePlan(tx: Queryable, record: string): Promise<void> {
  await tx.query(sql`update prefetch_plan set state = 'done', settled = now() where record = ${record}`);
}

/** Tasks of deliveries that go before this record and are not over. */
export async function openDeliveriesBefore(tx: Queryable, record: string): Promise<string[]> {
  const rows = await tx.query<{ task_id: string }>(
    sql`select task_id from delivery_job where appointment_id = ${record} and state in ('queued', 'running') order by task_id`,
  );
  return rows.map((row) => row.task_id);
}

/** Whether the hospital has the study already, or is about to. */
export async function hasStudy(tx: Queryable, studyId: string, organizationId: string): Promise<boolean> {
  const rows = await tx.query(sql`
    select 1 from delivered_copy where study_id = ${studyId} and recipient_id = ${organizationId} and ended_at is null
    union all
    select 1 from delivery_job where study_id = ${studyId} and recipient_id = ${organizationId} and state in ('queued', 'running') limit 1`);
  return rows.length > 0;
}
