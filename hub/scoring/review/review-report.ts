import type { Caller, RequestContext } from '../../access/caller.js';
import type { Decision, RequestAccess, RowWithEvidence } from '../../access/decision.js';
import { denied } from '../../access/denial.js';
import { findRow } from '../../access/find-row.js';
import { agentOf, decidedBy } from '../../access/write-request.js';
import type { Audit } from '../../audit/vocabulary.js';
import { conflict, forbidden, notFound, preconditionFailed } from '../../outcomes.js';
import { mapInTurn } from '../../store/in-turn.js';
import type { Database, Queryable } from '../../store/database.js';
import { idOf } from '../../store/fhir-elements.js';
import {
  columns,
  createResources,
  findResource,
  type ResourceRow,
  toResource,
  updateResource,
  type Write,
} from '../../store/resources.js';
import { rewrite } from '../../store/rewrite.js';
import { takeLabelsOverLike } from '../../store/study-labels.sql.js';
import { sql } from '../../store/sql.js';
import { markSuperseded } from '../mark-superseded.js';
import type { Models } from '../models.js';
import { findResult, insertReview, lastReview, lockScoresOf, type ResultFact, supersede } from '../result-facts.sql.js';
import type { By, Observation } from './corrected.js';
import { applyCorrection, type Correction } from './correction.js';
import type { Review } from './review.js';
import { reviewedReport, reviewedTag, reviewProvenance, type Word } from './reviewed-report.js';
import { pronounce } from '../verdict/pronounce.js';

export interface ReviewDeps {
  db: Pick<Database, 'protection'>;
  audit: Audit;
  models: Models;
}

export interface Asked {
  reportId: string;
  /** The version that the physician has read. */
  version: number;
  review: Review;
  caller: Caller;
  context: RequestContext;
}

/**
 * A physician accepts, corrects or rejects what a model found: the report and its Observations get their next version, what the machine said stays
 * readable under its own. In the caller's transaction.
 * @throws Refusal 404 for what is no machine's report or not known to the caller, 403 for who may not decide on it, 412 when it is another version by
 * now, 409 when a newer score has taken its place, it was rejected already, or withdrawn because its study is another patient's.
 */
export async function reviewReport(deps: ReviewDeps, tx: Queryable, access: RequestAccess, asked: Asked): Promise<ResourceRow> {
  const { report, fact, decisions } = await reviewable(tx, access, asked);
  const { review, caller, version: before } = asked;
  const previous = await lastReview(tx, fact.report_id);
  const isRejected = previous?.decision === 'reject';
  if (toResource(report).status === 'entered-in-error' && !isRejected) throw conflict('The report was withdrawn.');
  if (isRejected && review.decision === 'reject') throw conflict('The report is rejected already.', 'decision');
  const by = byOf(caller);
  const rows = await resultsOf(tx, report);
  const correction = await applyCorrection(tx, deps.models.get(fact.model), rows, fact.focus_id, review, by);
  const created = await createResources(
    tx,
    correction.created.map((resource) => ofReport(report, resource)),
  );
  const written = [...created, ...(await settleObservations(tx, rows, correction, review))];
  const word = {
    review,
    correction,
    by,
    caller,
    before,
    positive: review.positive ?? previous?.positive ?? fact.positive,
    withdrawn: isRejected ? await conclusionAt(tx, report, previous.reviewed_version) : undefined,
  };
  const row = await updateResource(tx, rewrite(report, reviewedReport(toResource(report), word)), before);
  const provenance = await createResources(tx, [ofReport(report, reviewProvenance({ ...word, report: row, written }))]);
  await takeLabelsOverLike(tx, [...created, ...provenance], row);
  await insertReview(tx, factOf(row, asked, word));
  await pronounce(deps, tx, { ...word, report: row, earlier: report, summary: rows[0]! });
  const older = review.decision === 'reject' ? [] : await supersede(tx, fact, false);
  const marked = await markSuperseded(tx, older, row.id);
  await deps.audit.append(tx, [
    {
      ...agentOf(caller, asked.context),
      ...decidedBy(...decisions),
      type: 'scoring',
      subtype: `review-${review.decision}`,
      action: 'U',
      outcome: 0,
      patientId: row.patient_id,
      custodianId: row.custodian_id,
      entity: [row, ...written, ...marked].map((r) => `${r.type}/${r.id}`),
      detail: `${fact.model} ${fact.model_version}: ${review.reason ?? 'agreed'}`,
    },
  ]);
  return row;
}

/** Whatever is written about a report is whose the report is, with its parties, scope and labels. */
const ofReport = (report: ResourceRow, resource: Write['resource']): Write => ({
  ...rewrite(report, resource as Observation),
  labels: report.labels,
});

const factOf = (
  row: ResourceRow,
  { review, caller, version }: Asked,
  { correction, positive }: Pick<Word, 'correction' | 'positive'>,
) => ({
  ...correction.counts,
  report_id: row.id,
  report_version: row.version,
  reviewed_version: version,
  decision: review.decision,
  reason: review.reason ?? 'agreed',
  reviewer: caller.id,
  organization_id: caller.organizationId,
  positive,
});

interface Reviewable {
  report: RowWithEvidence;
  fact: ResultFact;
  decisions: Decision[];
}

/** The report under lock, and the decisions that let the caller have his say: on the report, and on what was scored, which he must be able to see. */
async function reviewable(tx: Queryable, access: RequestAccess, { reportId, version, caller }: Asked): Promise<Reviewable> {
  const fact = await findResult(tx, reportId);
  if (fact) await lockScoresOf(tx, fact);
  const report = await findRow(tx, access, 'DiagnosticReport', reportId);
  if (!report) throw notFound();
  const verifies = access.decide('verify', report);
  const reads = access.decide('read', report);
  for (const decision of [reads, verifies]) if (!decision.allowed) throw denied(report, decision);
  if (!fact) throw notFound();
  const study = await findRow(tx, access, fact.focus_type, fact.focus_id);
  const sees = study && access.decide('read', study);
  if (!sees?.allowed) throw forbidden('Who decides on a report sees what was scored.');
  if (caller.kind !== 'person' || !caller.practitionerId) throw forbidden('A physician decides on what a model found.');
  if (version !== report.version) throw preconditionFailed(`The current version is ${report.version}.`);
  const current = await findResult(tx, reportId);
  if (current?.superseded_by) throw conflict(`A newer score has taken its place: DiagnosticReport/${current.superseded_by}.`);
  return { report, fact, decisions: [verifies, sees] };
}

const byOf = ({ practitionerId, name }: Caller): By => ({
  practitioner: { reference: `Practitioner/${practitionerId}`, display: name },
  now: new Date().toISOString(),
});

/** The Observations of a report as they stand, the one about the whole first. */
async function resultsOf(tx: Queryable, report: ResourceRow): Promise<ResourceRow[]> {
  const ids: string[] = (toResource(report).result ?? []).flatMap((r: { reference?: string }) => idOf(r, 'Observation') ?? []);
  return mapInTurn(ids, async (id) => {
    const row = await findResource(tx, 'Observation', id);
    if (!row) throw new Error('a report without its Observations');
    return row;
  });
}

/** What an earlier version of the report said. */
async function conclusionAt(tx: Queryable, { id }: ResourceRow, version: number): Promise<string | undefined> {
  const [row] = await tx.query<ResourceRow & Record<string, unknown>>(
    sql`select ${columns} from resource_history r where r.type = 'DiagnosticReport' and r.id = ${id} and r.version = ${version}`,
  );
  return row && toResource(row).conclusion;
}

/** The machine's Observations follow the word on the report: those that were replaced or rejected are withdrawn, the others stand. */
async function settleObservations(
  tx: Queryable,
  rows: readonly ResourceRow[],
  { replaced }: Correction,
  { decision }: Review,
): Promise<ResourceRow[]> {
  return mapInTurn(rows, (row) => {
    const observation = toResource(row);
    const by = replaced.get(row.id);
    const isWithdrawn = decision === 'reject' || by !== undefined;
    const said =
      by === undefined ? [] : [{ text: by === '' ? 'Removed by a physician’s correction.' : `Replaced by Observation/${by}.` }];
    const tag = isWithdrawn ? observation.meta?.tag : reviewedTag(observation);
    const next = {
      ...observation,
      meta: { ...observation.meta, tag },
      status: isWithdrawn ? 'entered-in-error' : 'final',
      ...(said.length > 0 ? { note: [...(observation.note ?? []), ...said] } : {}),
    } as Observation;
    return updateResource(tx, rewrite(row, next), row.version);
  });
}
