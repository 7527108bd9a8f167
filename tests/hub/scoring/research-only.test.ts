import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pino from 'pino';
import { systems } from '../../../fhir-profiles/codes.js';
import { loadConfig } from '../../../hub/config.js';
import { addSource } from '../../../hub/ingest/hospital.js';
import { carriedOf, reportLeftOut } from '../../../hub/scoring/carried-models.js';
import { loadModels, type Models } from '../../../hub/scoring/models.js';
import { resultsOf } from '../../../hub/scoring/results.js';
import { sql } from '../../../hub/store/sql.js';
import { type RunningHub, startHub } from '../../support/running-hub.js';
import { clientOf } from '../security/world.js';
import { indexStudy } from './phantom-study.js';

const model = 'covid-ct';
const production = { production: true, secret: 'a-secret-of-this-test-only', databaseUrl: 'postgres://nowhere' };
let there: Models;
beforeAll(async () => {
  there = await loadModels();
  expect(there.get(model)?.licence.use).toBe('research-only');
});

it.each<[string, Record<string, unknown>, boolean]>([
  ['no settings', {}, false],
  ['production', production, false],
  ['production with researchModels', { ...production, researchModels: true }, true],
  ['the demonstration', { demo: true }, true],
])('a model for research only is carried as the settings say: %s', (_which, settings, isCarried) => {
  const { models, leftOut } = carriedOf(there, loadConfig({}, settings));
  expect([models.has(model), leftOut.has(model)]).toEqual([isCarried, !isCarried]);
  expect(models.has('pulmonary-nodule')).toBe(true);
  if (!isCarried) expect(leftOut.get(model)).toMatch(/research only .*CC-BY-NC-SA-4\.0.*researchModels/);
});

describe('a hub that does not carry it', () => {
  let running: RunningHub;
  beforeAll(async () => {
    running = await startHub({ config: { researchModels: false, workers: 1, tokenLifetime: 2 } });
    await running.join([{ id: 'hospital-a', assigner: 'urn:oid:1.2.3' }]);
  });
  afterAll(() => running.stop());

  it('refuses a request that names it, and says why', async () => {
    const study = await indexStudy(running.db);
    const answer = await running
      .http()
      .post('/fhir/Task')
      .set('authorization', `Bearer ${await running.system('hospital-a')}`)
      .type('application/fhir+json')
      .send({
        resourceType: 'Task',
        status: 'requested',
        intent: 'order',
        code: { coding: [{ system: systems.taskKind, code: 'scoring-request' }] },
        focus: { reference: `ImagingStudy/${study.id}` },
        for: { reference: `Patient/${study.patient_id}` },
        requester: { reference: 'Organization/hospital-a' },
        input: [{ type: { text: 'model' }, valueString: model }],
      });
    expect(answer.status).toBe(422);
    expect(JSON.parse(answer.text).issue[0].diagnostics).toMatch(
      /^The model covid-ct can't be asked for\. It is for research only/,
    );
  });

  it('leaves jobs of it to a process that does, and tells the hospital of them', async () => {
    const job = (task: string, of: string) => sql`
      insert into scoring_job (task_id, focus_type, focus_id, focus_version, patient_id, custodian_id, requester_id, model, created)
      values (${task}, 'ImagingStudy', 'gone', 1, 'p', 'hospital-a', 'hospital-a', ${of}, '2026-01-01T00:00:00Z'::timestamptz)`;
    await running.db.query(job('awaits', model));
    await running.db.query(job('fails', 'pulmonary-nodule'));
    await running.enrol({ username: 'administrator', role: 'hospital-administrator', organizationId: 'hospital-a' });
    const administrator = clientOf(running, await running.person('administrator'));
    for (let failed = 0; failed === 0; await sleep(50)) failed = (await administrator.get('/scoring/failures')).body.jobs.length;
    expect((await administrator.get('/scoring/failures')).body).toMatchObject({
      awaitedModels: [{ model, jobs: 1, oldest: '2026-01-01T00:00:00.000Z' }],
      jobs: [{ task: 'Task/fails' }],
    });
    expect((await running.http().get('/metrics')).text).toContain(`hub_scoring_awaited_model_jobs{model="${model}"} 1`);
  });

  it('follows a job for nobody longer than his token holds', async () => {
    const study = await indexStudy(running.db);
    const token = await running.system('hospital-a');
    const task = {
      resourceType: 'Task',
      status: 'requested',
      intent: 'order',
      code: { coding: [{ system: systems.taskKind, code: 'scoring-request' }] },
      focus: { reference: `ImagingStudy/${study.id}` },
      for: { reference: `Patient/${study.patient_id}` },
      requester: { reference: 'Organization/hospital-a' },
      input: [{ type: { text: 'model' }, valueString: 'pulmonary-nodule' }],
    };
    const { body } = await clientOf(running, token).post(task);
    await running.db.query(sql`update scoring_job set run_after = now() + interval '1 hour' where task_id = ${body.id}`);
    const followed = await fetch(`${running.url}/scoring/jobs/${body.id}/events`, {
      headers: { authorization: `Bearer ${token}` },
    });
    expect(followed.status).toBe(200);
    expect(await followed.text()).toContain('event: progress');
    const [job] = await running.db.query<{ over: boolean }>(
      sql`select state not in ('queued', 'running') as over from scoring_job where task_id = ${body.id}`,
    );
    expect(job!.over).toBe(false);
  });

  it('tells its operator of the model and of each rule that scores nothing because of it', async () => {
    const settings = { baseUrl: 'http://127.0.0.1:1' };
    await addSource(running.db, { id: 'a.pacs', organizationId: 'hospital-a', kind: 'dicomweb', settings, autoScore: [model] });
    const lines: { msg: string; model: string; hospital?: string }[] = [];
    const log = pino({}, { write: (line: string) => void lines.push(JSON.parse(line)) });
    await reportLeftOut(running.db, carriedOf(there, { demo: false, researchModels: false }), log);
    expect(lines).toContainEqual(expect.objectContaining({ msg: 'a model is not carried', model }));
    expect(lines).toContainEqual(expect.objectContaining({ msg: 'a rule scores nothing', model, hospital: 'hospital-a' }));
  });
});

it.each([
  [model, true],
  ['pulmonary-nodule', false],
])('a report of %s says whether it is for research only', (name, isResearch) => {
  const manifest = there.get(name)!;
  const { report } = resultsOf({
    scored: {
      studyInstanceUid: '2.25.1',
      inputs: [],
      positive: false,
      findings: [],
      summary: {},
      model: { name, version: manifest.version, sha256: manifest.graph.sha256 },
      runtime: { node: '20', onnxruntime: '1', threads: 1 },
      thresholds: {},
      elapsedMs: 1,
      stagesMs: { reading: 1, computing: 1, measuring: 1 },
      peakMemoryBytes: 1,
    },
    manifest,
    made: { manifestSha256: '', codeSha256: '', cpu: '' },
    patientId: 'p',
    focus: 'ImagingStudy/s',
    deviceId: 'd',
    started: undefined,
    now: '2025-03-04T10:00:00Z',
  } as Parameters<typeof resultsOf>[0]);
  expect(report['conclusion'].includes('For research only')).toBe(isResearch);
});
