import type { Manifest } from '../../models/manifest.js';
import type { Scored } from '../../models/score-messages.js';
import type { Queryable } from '../store/database.js';
import type { ResourceRow } from '../store/resources.js';
import { sql } from '../store/sql.js';
import type { Job } from './queue.sql.js';

/** What is kept of a score beside its resources, for figures and for the question which report is current. */
export interface ResultFact {
  report_id: string;
  /** What was scored: a study, or a laboratory's report. */
  focus_type: Job['focus_type'];
  focus_id: string;
  model: string;
  model_version: string;
  positive: boolean;
  superseded_by: string | null;
}

/** The value that the operating point is compared with: of the whole where the model gives one, else of its highest finding; null: nothing was found. */
export function caseScore(
  { summary: stated }: Pick<Manifest, 'summary'>,
  { summary, findings }: Pick<Scored, 'summary' | 'findings'>,
) {
  const [name] = Object.entries(stated).find(([, value]) => 'threshold' in value && value.threshold !== undefined) ?? [];
  if (name !== undefined) return summary[name] ?? null;
  return findings.length > 0 ? Math.max(...findings.map(({ score }) => score)) : null;
}

export async function insertScored(
  tx: Queryable,
  {
    job,
    study,
    manifest,
    scored,
    reportId,
  }: { job: Job; study: ResourceRow; manifest: Manifest; scored: Scored; reportId: string },
): Promise<void> {
  await forgetFailure(tx, job.task_id);
  await tx.query(sql`
    insert into scoring_result (task_id, report_id, focus_type, focus_id, focus_version, custodian_id, requester_id, model, model_version, outcome, positive, score, findings, requested)
    select task_id, ${reportId}, ${study.type}, focus_id, ${study.version}, custodian_id, requester_id, model, ${scored.model.version}, 'scored',
      ${scored.positive}, ${caseScore(manifest, scored)}::double precision, ${scored.findings.length}, created
    from scoring_job where task_id = ${job.task_id}`);
}

/** A job that ended without a score. @param version of the model; '' where it is not carried */
export async function insertUnscored(tx: Queryable, job: Job, version: string, code: string): Promise<void> {
  await forgetFailure(tx, job.task_id);
  await tx.query(sql`
    insert into scoring_result (task_id, focus_type, focus_id, focus_version, custodian_id, requester_id, model, model_version, outcome, requested)
    select task_id, focus_type, focus_id, focus_version, custodian_id, requester_id, model, ${version},
      ${code === 'not-applicable' ? 'not-applicable' : 'failed'}, created
    from scoring_job where task_id = ${job.task_id}`);
}

/** A job that failed may have been asked for again. */
const forgetFailure = (tx: Queryable, taskId: string) =>
  tx.query(sql`delete from scoring_result where task_id = ${taskId} and report_id is null`);

/** Publications and reviews of one model's scores of one study follow each other. */
export async function lockScoresOf(tx: Queryable, { focus_id, model }: Pick<ResultFact, 'focus_id' | 'model'>): Promise<void> {
  await tx.query(sql`select pg_advisory_xact_lock(hashtextextended(${`scores ${focus_id} ${model}`}, 0))`);
}

export async function findResult(tx: Queryable, reportId: string): Promise<ResultFact | undefined> {
  const [fact] = await tx.query<ResultFact & Record<string, unknown>>(sql`
    select report_id, focus_type, focus_id, model, model_version, positive, superseded_by from scoring_result where report_id = ${reportId}`);
  return fact;
}

/**
 * The reports that another one takes the place of: older ones of the same model about the same study. @param unreviewed only those that no
 * physician stands behind: a machine takes no physician's place.
 */
export async function supersede(
  tx: Queryable,
  by: Pick<ResultFact, 'report_id' | 'focus_id' | 'model'>,
  unreviewed: boolean,
): Promise<string[]> {
  const rows = await tx.query<{ report_id: string }>(sql`
    update scoring_result s set superseded_by = ${by.report_id}, superseded_at = now()
    where s.focus_id = ${by.focus_id} and s.model = ${by.model} and s.report_id <> ${by.report_id} and s.superseded_by is null
      and s.ended <= (select ended from scoring_result where report_id = ${by.report_id})
      and (not ${unreviewed}::boolean or coalesce((
        select v.decision = 'reject' from scoring_review v where v.report_id = s.report_id order by v.report_version desc limit 1), true))
    returning s.report_id`);
  return rows.map((row) => row.report_id).sort();
}

/** A review as a fact. */
export interface ReviewFact {
  report_id: string;
  /** The version that it made, and the one that was looked at. */
  report_version: number;
  reviewed_version: number;
  decision: 'accept' | 'correct' | 'reject';
  reason: string;
  reviewer: string;
  organization_id: string;
  positive: boolean;
  removed: number;
  added: number;
  changed: number;
  values: number;
}

export async function insertReview(tx: Queryable, r: ReviewFact): Promise<void> {
  await tx.query(sql`
    insert into scoring_review (report_id, report_version, reviewed_version, decision, reason, reviewer, organization_id, positive, findings_removed, findings_added, findings_changed, values_changed)
    values (${r.report_id}, ${r.report_version}, ${r.reviewed_version}, ${r.decision}, ${r.reason}, ${r.reviewer}, ${r.organization_id}, ${r.positive}, ${r.removed}, ${r.added}, ${r.changed}, ${r.values})`);
}

/** The latest word on a report. */
export async function lastReview(
  tx: Queryable,
  reportId: string,
): Promise<Pick<ReviewFact, 'decision' | 'reviewed_version' | 'positive'> | undefined> {
  const [row] = await tx.query<Pick<ReviewFact, 'decision' | 'reviewed_version' | 'positive'> & Record<string, unknown>>(sql`
    select decision, reviewed_version, positive from scoring_review where report_id = ${reportId} order by report_version desc limit 1`);
  return row;
}
