import { type HeldJob, jobQueue } from '../jobs/queue.sql.js';
import type { Queryable } from '../store/database.js';
import { sql } from '../store/sql.js';

/** One scoring job as its worker holds it. */
export interface Job extends HeldJob {
  /** What is scored. */
  focus_type: 'ImagingStudy' | 'DiagnosticReport';
  /** Id of the study, or of the laboratory's report. */
  study_id: string;
  patient_id: string;
  custodian_id: string;
  requester_id: string;
  model: string;
}

export const scoringQueue = jobQueue<Job>({
  table: 'scoring_job',
  columns: ['focus_type', 'study_id', 'patient_id', 'custodian_id', 'requester_id', 'model'],
});

export interface NewJob {
  taskId: string;
  focusType: Job['focus_type'];
  studyId: string;
  studyVersion: number;
  patientId: string;
  custodianId: string;
  requesterId: string;
  model: string;
  /** Lower comes first. */
  priority: number;
  automatic?: boolean;
  /** Seconds before it may begin. */
  delay?: number;
}

export async function insertJob(tx: Queryable, job: NewJob): Promise<void> {
  await tx.query(sql`
    insert into scoring_job (task_id, focus_type, study_id, study_version, patient_id, custodian_id, requester_id, model, priority, automatic, run_after)
    values (${job.taskId}, ${job.focusType}, ${job.studyId}, ${job.studyVersion}, ${job.patientId}, ${job.custodianId}, ${job.requesterId}, ${job.model},
      ${job.priority}, ${job.automatic ?? false}, now() + make_interval(secs => ${job.delay ?? 0}))`);
}
