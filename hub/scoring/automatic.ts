import { systems } from '../../fhir-profiles/codes.js';
import type { Audit } from '../audit/vocabulary.js';
import { inState } from '../jobs/task-state.js';
import type { Queryable } from '../store/database.js';
import { newId, type ResourceRow } from '../store/resources.js';
import { sql } from '../store/sql.js';
import { accepts, type Models } from './models.js';
import { placeScoringTask } from './task-writer.js';

/** Seconds that a study must be left alone before it is scored: its files come in one after the other. */
const SETTLE_SECONDS = 2;

/**
 * Scoring by rule: each model that is made for such a study and that its custodian has opted into (`autoScore` in the settings of one of its
 * connectors, a list of model names), once for each version of the study. A job that still waits takes the newer version on.
 * To be called in the transaction that stores the study. Resolves with how many jobs were added.
 */
export function createAutomaticScoring(models: Models, audit: Audit) {
  return async (tx: Queryable, { studyRow }: { studyRow: ResourceRow }): Promise<number> => {
    const fitting = [...models.values()].filter((m) => accepts(m, studyRow));
    if (fitting.length === 0 || studyRow.deleted) return 0;
    const wanted = await optedInto(tx, studyRow.custodian_id);
    let added = 0;
    for (const { name } of fitting.filter((m) => wanted.has(m.name))) if (await schedule(tx, audit, studyRow, name)) added++;
    return added;
  };
}

async function optedInto(tx: Queryable, custodianId: string): Promise<Set<string>> {
  const rows = await tx.query<{ model: string }>(sql`
    select distinct m.model from connector c, jsonb_array_elements_text(c.settings -> 'autoScore') as m (model)
    where c.organization_id = ${custodianId} and c.enabled and jsonb_typeof(c.settings -> 'autoScore') = 'array'`);
  return new Set(rows.map((r) => r.model));
}

async function schedule(tx: Queryable, audit: Audit, study: ResourceRow, model: string): Promise<boolean> {
  const known = await tx.query(sql`
    update scoring_job set study_version = greatest(study_version, ${study.version}),
      run_after = case when state = 'queued' and study_version < ${study.version} then now() + make_interval(secs => ${SETTLE_SECONDS}) else run_after end
    where study_id = ${study.id} and model = ${model} and automatic
      and (study_version = ${study.version} or (state = 'queued' and attempts = 0)) returning task_id`);
  if (known.length > 0) return false;
  const task = await placeScoringTask(tx, taskFor(study, model), study, model, { delay: SETTLE_SECONDS });
  await audit.append(tx, [
    {
      type: 'scoring',
      subtype: 'request',
      action: 'E',
      outcome: 0,
      agent: 'Device/hub',
      patientId: study.patient_id,
      custodianId: study.custodian_id,
      entity: [`Task/${task.id}`, `ImagingStudy/${study.id}`],
      rule: 'automatic',
      detail: model,
      requestId: `Task/${task.id}`,
    },
  ]);
  return true;
}

/** The custodian's opt-in is its standing order: it is the requester. */
const taskFor = (study: ResourceRow, model: string) => ({
  resourceType: 'Task',
  id: newId(),
  status: 'requested',
  businessStatus: inState('requested'),
  intent: 'order',
  code: { coding: [{ system: systems.taskKind, code: 'scoring-request' }] },
  focus: { reference: `ImagingStudy/${study.id}` },
  for: { reference: `Patient/${study.patient_id}` },
  requester: { reference: `Organization/${study.custodian_id}` },
  input: [{ type: { text: 'model' }, valueString: model }],
});
