import { systems } from '../../fhir-profiles/codes.js';
import type { Manifest } from '../../models/manifest.js';
import type { Audit } from '../audit/vocabulary.js';
import { rankOf } from '../jobs/queue.sql.js';
import { means, PRIORITIES, type Priority, rulesIn, type ScoringRule } from '../jobs/scoring-rules.js';
import { inState } from '../jobs/task-state.js';
import type { Queryable } from '../store/database.js';
import { newId, type ResourceRow, toResource } from '../store/resources.js';
import { isMachineMade } from '../store/machine-made.js';
import { sql } from '../store/sql.js';
import { findObservations, laboratoryValues, resultsOfReport, valuesThere } from './laboratory-values.js';
import { accepts, type Models } from './models.js';
import { orderedPriority } from './ordered-priority.js';
import { contentDigest, isOnlyOurs } from './store-back/only-ours.js';
import { placeScoringTask } from './task-writer.js';

/** Seconds that a study must be left alone before it is scored: its files come in one after the other. */
const SETTLE_SECONDS = 2;

/**
 * Scoring by rule: each model that is made for such a study and that a rule of its custodian names (`autoScore` in the settings of its
 * connectors), once for each version of the study, and again when its objects were replaced under their UIDs. A job that still waits takes the newer version on. The most urgent of the rules that mean
 * the study says how soon, unless the hospital's order says sooner.
 * A laboratory's report is scored likewise, by the models that it holds enough values for.
 * To be called in the transaction that stores the study or report. Resolves with how many jobs were added.
 */
export function createAutomaticScoring(models: Models, audit: Audit) {
  return async (tx: Queryable, { studyRow }: { studyRow: ResourceRow }): Promise<number> => {
    const fitting = [...models.values()].filter((m) => accepts(m, studyRow));
    if (fitting.length === 0 || studyRow.deleted) return 0;
    const rules = (await rulesOf(tx, studyRow.custodian_id)).filter((rule) => means(rule, studyRow));
    const named = fitting.filter(({ name }) => rules.some(({ model }) => model === name));
    const wanted = studyRow.type === 'DiagnosticReport' ? await enoughFor(tx, named, studyRow) : named;
    if (wanted.length === 0) return 0;
    const ordered = await orderedPriority(tx, studyRow);
    let added = 0;
    for (const model of wanted) {
      const stated = rules.flatMap((rule) => (rule.model === model.name && rule.priority ? [rule.priority] : []));
      const priority = mostUrgent([...stated, ...(ordered ? [ordered] : [])]);
      if (await schedule(tx, audit, studyRow, model, priority)) added++;
    }
    return added;
  };
}

/** The models that a laboratory's report holds enough values for. What a model made is never scored by another. */
async function enoughFor(tx: Queryable, models: readonly Manifest[], report: ResourceRow): Promise<Manifest[]> {
  const resource = toResource(report);
  if (models.length === 0 || isMachineMade(resource)) return [];
  const values = laboratoryValues(await findObservations(tx, resultsOfReport(resource)));
  return models.filter((model) => {
    const wanted = model.accepts.observations;
    return wanted && valuesThere(values, model) >= wanted.codes.length - wanted.mostMissing;
  });
}

const mostUrgent = (stated: readonly Priority[]): Priority => PRIORITIES.find((p) => stated.includes(p)) ?? 'routine';

/** The rules of a hospital: those of all its sources. */
async function rulesOf(tx: Queryable, custodianId: string): Promise<ScoringRule[]> {
  const rows = await tx.query<{ rules: unknown }>(sql`
    select settings -> 'autoScore' as rules from connector where organization_id = ${custodianId} and enabled and settings ? 'autoScore'`);
  return rows.flatMap(({ rules }) => rulesIn(rules));
}

async function schedule(
  tx: Queryable,
  audit: Audit,
  study: ResourceRow,
  manifest: Manifest,
  priority: Priority,
): Promise<boolean> {
  const model = manifest.name;
  const content = await contentDigest(tx, manifest, study);
  const known = await tx.query(sql`
    update scoring_job set focus_version = greatest(focus_version, ${study.version}),
      priority = case when state = 'queued' then least(priority, ${rankOf(priority)}) else priority end,
      run_after = case when state = 'queued' and focus_version < ${study.version} then now() + make_interval(secs => ${SETTLE_SECONDS}) else run_after end,
      content_digest = case when state = 'queued' then ${content} else content_digest end
    where focus_id = ${study.id} and model = ${model} and automatic
      and ((focus_version = ${study.version} and content_digest = ${content}) or (state = 'queued' and attempts = 0)) returning task_id`);
  if (known.length > 0) return false;
  if (await isOnlyOurs(tx, study, model, content)) return false;
  const task = await placeScoringTask(tx, taskFor(study, model, priority), study, model, { delay: SETTLE_SECONDS });
  await tx.query(sql`update scoring_job set content_digest = ${content} where task_id = ${task.id}`);
  await audit.append(tx, [
    {
      type: 'scoring',
      subtype: 'request',
      action: 'E',
      outcome: 0,
      agent: 'Device/hub',
      patientId: study.patient_id,
      custodianId: study.custodian_id,
      entity: [`Task/${task.id}`, `${study.type}/${study.id}`],
      rule: 'automatic',
      detail: model,
      requestId: `Task/${task.id}`,
    },
  ]);
  return true;
}

/** The custodian's opt-in is its standing order: it is the requester. */
const taskFor = (study: ResourceRow, model: string, priority: Priority) => ({
  resourceType: 'Task',
  id: newId(),
  status: 'requested',
  businessStatus: inState('requested'),
  intent: 'order',
  priority,
  code: { coding: [{ system: systems.taskKind, code: 'scoring-request' }] },
  focus: { reference: `${study.type}/${study.id}` },
  for: { reference: `Patient/${study.patient_id}` },
  requester: { reference: `Organization/${study.custodian_id}` },
  input: [{ type: { text: 'model' }, valueString: model }],
});
