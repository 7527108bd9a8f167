import { randomUUID } from 'node:crypto';
import { systems } from '../../../fhir-profiles/codes.js';
import type { Finding } from '../../../models/finding.js';
import type { Scored } from '../../../models/score-messages.js';
import { studyInstanceUidOf } from '../../../hub/imaging/study-uid.js';
import { publish } from '../../../hub/scoring/publish.js';
import { scoringQueue } from '../../../hub/scoring/queue.sql.js';
import type { StudyHeader } from '../../../hub/scoring/study-header.js';
import { findResource, toResource } from '../../../hub/store/resources.js';
import type { FhirResource } from '../../../hub/store/search-keys.js';
import { type Client, kindOfTask, made, organization, series, type World } from '../security/world.js';

type Stored = FhirResource & { id: string };

/** A chest CT of hospital A's patient, one that a nodule model takes. */
export const chestStudy = (world: World, of: FhirResource = world.patientOfA, more: object = {}): Promise<Stored> =>
  world.study('a', of, {
    series: [series({ bodySite: { system: systems.snomed, code: '51185008', display: 'Thorax' } })],
    ...more,
  });

export const firstImage = (study: FhirResource): string => study.series[0].instance[0].uid;

export const scoringTask = (study: FhirResource, patient: FhirResource, requester: string, more: object = {}): FhirResource => ({
  resourceType: 'Task',
  status: 'requested',
  intent: 'order',
  code: kindOfTask('scoring-request'),
  focus: { reference: `ImagingStudy/${study.id}` },
  for: { reference: `Patient/${patient.id}` },
  requester: organization(requester),
  input: [{ type: { text: 'model' }, valueString: 'pulmonary-nodule' }],
  ...more,
});

export const finding = (study: FhirResource, more: Partial<Finding> = {}): Finding => ({
  sopInstanceUid: firstImage(study),
  frame: 1,
  box: { x: 10, y: 20, width: 8, height: 8 },
  score: 0.9,
  diameterMm: 7.5,
  volumeMm3: 220,
  centreMm: [1, 2, 3],
  slices: [{ sopInstanceUid: firstImage(study), frame: 1, box: { x: 10, y: 20, width: 8, height: 8 } }],
  ...more,
});

/**
 * What a worker does with a request that was placed through the front door, but for the computing: it takes the job and publishes this score.
 * Resolves with the report, as its asker reads it.
 */
export async function scoredFor(
  world: Pick<World, 'hub'>,
  asker: Client,
  task: FhirResource,
  {
    findings = [],
    version = '1.0.0',
    positive = findings.length > 0,
    header,
  }: { findings?: Finding[]; version?: string; positive?: boolean; header?: StudyHeader } = {},
): Promise<{ task: Stored; report: Stored }> {
  const { hub } = world.hub;
  const placed = made(await asker.post(task));
  const owner = randomUUID();
  const manifest = hub.models.get('pulmonary-nodule')!;
  await hub.db.transaction(async (tx) => {
    const job = (await scoringQueue.claim(tx, owner, 60))!;
    if (job.task_id !== placed.id) throw new Error('another job waits');
    const study = (await findResource(tx, job.focus_type, job.focus_id))!;
    const scored: Scored = {
      studyInstanceUid: header ? (studyInstanceUidOf(study) ?? '') : '',
      inputs: [{ sopInstanceUid: findings[0]?.sopInstanceUid ?? '1.2', sha256: 'a'.repeat(64) }],
      positive,
      findings,
      summary: {
        findingCount: findings.length,
        highestScore: findings.length > 0 ? Math.max(...findings.map((f) => f.score)) : null,
        largestDiameterMm: findings[0]?.diameterMm ?? null,
      },
      model: { name: manifest.name, version, sha256: manifest.graph.sha256 },
      runtime: { node: '20', onnxruntime: '1', threads: 1 },
      thresholds: { score: 0.65 },
      elapsedMs: 1,
      stagesMs: { reading: 0, computing: 1, measuring: 0 },
      peakMemoryBytes: 1,
    };
    const made = { manifestSha256: 'b'.repeat(64), codeSha256: 'c'.repeat(64), cpu: 'none' };
    if (
      !(await publish(tx, hub.audit, {
        job,
        owner,
        study,
        manifest: { ...manifest, version },
        scored,
        made,
        started: toResource(study).started,
        ...(header ? { header } : {}),
      }))
    )
      throw new Error('not published');
  });
  const done = (await asker.get(`/fhir/Task/${placed.id}`)).body;
  const report = (await asker.get(`/fhir/${done.output[0].valueReference.reference}`)).body;
  return { task: done, report };
}

/** The review of a report, by the version that was read. */
export const reviewOf = (client: Client, report: FhirResource, body: object, version = report.meta?.versionId) =>
  client.post(body, `/scoring/reports/${report.id}/review`, { 'if-match': `W/"${version}"` });
