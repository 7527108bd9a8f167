import type { Database, Queryable } from '../../store/database.js';
import { idOf } from '../../store/fhir-elements.js';
import { inRegion } from '../../store/fhir-date.js';
import { isMachineMade } from '../../store/machine-made.js';
import { findResource, type ResourceRow, toResource } from '../../store/resources.js';
import type { Word } from '../review/reviewed-report.js';
import { findScoreRecord, type ScoreRecord, scoredTask } from '../score-record.js';
import { imagesOf } from '../scored-images.sql.js';
import { filedDocuments, insertStoreJob, wantsResults } from '../store-back/queue.sql.js';
import { documentOf, documentsBefore } from '../structured-report/documents.js';
import { asModelSaid, corrected, type Standing } from './standing.js';
import type { Verdict } from './verdict.js';
import { findVerdicts, insertVerdict } from './verdicts.sql.js';

interface Pronounced extends Pick<Word, 'review' | 'correction' | 'by' | 'caller'> {
  /** The report with the word, and without it. */
  report: ResourceRow;
  earlier: ResourceRow;
  /** The Observation about the whole, without the word. */
  summary: ResourceRow;
}

/**
 * A physician's word is kept as documents need it, and the document that it makes goes to the archive of a custodian that wants results, beside the ones before. In
 * the caller's transaction. Nothing is done for a score that was corrected before words were kept: of that nobody knows what stands.
 */
export async function pronounce({ db }: { db: Pick<Database, 'protection'> }, tx: Queryable, word: Pronounced): Promise<void> {
  const { review, report } = word;
  const record = await findScoreRecord(db, tx, report.id);
  if (!record) return;
  const verdicts = await findVerdicts(db, tx, report.id);
  const before = verdicts.at(-1)?.standing ?? unreviewed(record, word);
  if (!before) return;
  const filed = await filedDocuments(tx, report.id);
  const documents = (named: boolean) => documentsBefore(record, verdicts, review.decision === 'reject', named, filed);
  const physician = word.by.practitioner.display;
  const verdict: Verdict = {
    reportVersion: report.version,
    decision: review.decision,
    reason: review.reason ?? 'agreed',
    ...(review.text ? { text: review.text } : {}),
    at: inRegion(word.by.now),
    physician,
    organization: await nameOf(tx, word.caller.organizationId),
    standing: standingAfter(before, word, record),
    images: { ...verdicts.at(-1)?.images, ...(await imagesOf(tx, record, boxesOf(word))) },
    before: { named: documents(true), unnamed: documents(false) },
  };
  await insertVerdict(tx, report.id, verdict);
  await file(tx, record, verdict, word);
}

/** What the model said, while no physician has changed it. */
function unreviewed({ scored }: ScoreRecord, { earlier, summary }: Pronounced): Standing | undefined {
  if (!isMachineMade(toResource(summary))) return undefined;
  const ids = ((toResource(earlier).result ?? []) as { reference?: string }[]).flatMap((r) => idOf(r, 'Observation') ?? []);
  return asModelSaid(scored, ids.slice(1));
}

/** An acceptance and a rejection leave what there is. */
function standingAfter(before: Standing, { review, correction, by }: Pronounced, { manifest }: ScoreRecord): Standing {
  if (review.decision !== 'correct') return before;
  const written = correction.created.slice(1).map(({ id }) => id);
  return corrected(before, review, written, by.practitioner.display, manifest);
}

const boxesOf = ({ review }: Pronounced): string[] =>
  review.findings.flatMap((change) => ('box' in change && change.box ? [change.box.sopInstanceUid] : []));

async function nameOf(tx: Queryable, organizationId: string): Promise<string> {
  const row = await findResource(tx, 'Organization', organizationId);
  return (row && toResource(row).name) || organizationId;
}

async function file(tx: Queryable, record: ScoreRecord, verdict: Verdict, { report }: Pronounced): Promise<void> {
  const document = documentOf(record, verdict, true);
  const [type, studyId = ''] = record.focus.split('/');
  if (!document || type !== 'ImagingStudy' || !(await wantsResults(tx, report.custodian_id))) return;
  await insertStoreJob(tx, {
    task_id: await scoredTask(tx, report.id),
    report_id: report.id,
    report_version: verdict.reportVersion,
    study_id: studyId,
    patient_id: report.patient_id,
    custodian_id: report.custodian_id,
    sop_instance_uid: document.sopInstanceUid,
  });
}
