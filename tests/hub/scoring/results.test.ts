/** A study that its hospital's PACS has is scored without being asked; the score is then had in every form. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import iconv from 'iconv-lite';
import { extensions, systems } from '../../../fhir-profiles/codes.js';
import { addSource } from '../../../hub/ingest/hospital.js';
import { inState } from '../../../hub/jobs/task-state.js';
import { annotationsOf } from '../../../hub/scoring/annotations.js';
import { differences } from '../../../hub/scoring/replay/differences.js';
import { replayScore } from '../../../hub/scoring/replay/replay.js';
import { asRecorded, findScoreRecord, type ScoreRecord } from '../../../hub/scoring/score-record.js';
import { failedFilings, retryFilings } from '../../../hub/scoring/store-back/failed-filings.sql.js';
import { headerFor } from '../../../hub/scoring/structured-report/patient-and-study.js';
import { placeScoringTask } from '../../../hub/scoring/task-writer.js';
import { findResource, toResource } from '../../../hub/store/resources.js';
import type { FhirResource } from '../../../hub/store/search-keys.js';
import { sql } from '../../../hub/store/sql.js';
import { writeChestCt } from '../../../models/phantoms/chest-ct.js';
import type { Scored } from '../../../models/score-messages.js';
import { dcmtk } from '../../support/dcmtk.js';
import { type Orthanc, startOrthanc } from '../../support/orthanc.js';
import { type RunningHub, startHub } from '../../support/running-hub.js';
import { TEST_SECRET, type TestDatabase, testDatabase } from '../../support/test-database.js';
import { hub as command } from '../commands/command-line.js';

const NOBODY = '0190aaaa-0000-7000-8000-000000000000';
const STUDY = '1.2.826.0.1.3680043.10.1451.33.1';
let database: TestDatabase;
let hub: RunningHub;
let pacs: Orthanc;
let folder: string;
let planted: number;
let files: string[];
let instances: string[];
let reportId: string;
/** Of a later score of the same study, which another hospital asked for. */
let newerId: string;
const tokens: Record<string, string> = {};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'results-'));
  database = await testDatabase();
  [hub, pacs] = await Promise.all([startHub({ database, config: { workers: 1 } }), startOrthanc()]);
  await hub.join(['a', 'b', 'c', 'd'].map((id) => ({ id, assigner: `urn:oid:1.2.3.${id.charCodeAt(0)}` })));
  for (const id of ['a', 'b', 'c', 'd']) tokens[id] = await hub.system(id);
  await hub.enrol({ username: 'physician-a', name: '李雷', role: 'physician', organizationId: 'a' });
  tokens['physician'] = await hub.person('physician-a');
  const phantom = await writeChestCt({
    folder: join(folder, 'ct'),
    patient: { id: 'P-33', name: 'Wang^XiaoDong=王^小东', birthDate: '1960-02-03', sex: 'M' },
    study: { uid: STUDY, started: '2026-01-02T10:00:00', accessionNumber: 'ACC-33' },
    characterSet: 'GB18030',
    slices: 40,
    sliceSpacingMm: 5,
    rows: 160,
    nodules: 2,
  });
  planted = phantom.truth.nodules.length;
  files = phantom.files.map((file) => file.path);
  instances = phantom.files.map((file) => file.sopInstanceUid);
  await pacs.store(files);
  await addSource(hub.db, {
    id: 'a.pacs',
    organizationId: 'a',
    kind: 'dicomweb',
    autoScore: ['pulmonary-nodule'],
    store: true,
    storeResults: true,
    settings: { baseUrl: pacs.dicomwebUrl, orthancUrl: pacs.orthancUrl },
  });
  reportId = await until(async () => {
    const [row] = await hub.db.query<{ id: string }>(sql`select id from resource where type = 'DiagnosticReport'`);
    return row?.id;
  });
});
afterAll(async () => {
  await Promise.all([hub?.stop(), pacs?.stop()]);
  await database?.close();
  await rm(folder, { recursive: true, force: true });
});

async function until<T>(look: () => Promise<T | undefined | false>): Promise<T> {
  for (let i = 0; i < 600; i++) {
    const seen = await look();
    if (seen) return seen;
    await sleep(100);
  }
  throw new Error('it did not come about');
}

const get = (path: string, token = 'a') => hub.http().get(path).set('authorization', `Bearer ${tokens[token]}`);
const ofReport = (form: string) => `/scoring/reports/${reportId}/${form}`;

async function structuredReport(token = 'a', of = reportId): Promise<Buffer> {
  const answer = await get(`/scoring/reports/${of}/structured-report`, token)
    .buffer(true)
    .parse((res, done) => {
      const chunks: Buffer[] = [];
      res.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => done(null, Buffer.concat(chunks)));
    });
  expect([answer.status, answer.headers['content-type']]).toEqual([200, 'application/dicom']);
  return answer.body;
}

const reads = () =>
  hub.db.query<{ outcome: number; detail: string }>(
    sql`select outcome, detail from audit_event where type = 'rest' and subtype = 'read' and query like '/scoring/%' order by id`,
  );

/** A request of another hospital, which is a party to the result and to nothing else. */
async function requestedBy(organizationId: string) {
  const [{ id: studyId }] = (await hub.db.query<{ id: string }>(sql`select id from resource where type = 'ImagingStudy'`)) as [
    { id: string },
  ];
  const study = (await findResource(hub.db, 'ImagingStudy', studyId))!;
  const task = {
    resourceType: 'Task',
    status: 'requested',
    businessStatus: inState('requested'),
    code: { coding: [{ system: systems.taskKind, code: 'scoring-request' }] },
    focus: { reference: `ImagingStudy/${study.id}` },
    for: { reference: `Patient/${study.patient_id}` },
    requester: { reference: `Organization/${organizationId}` },
  };
  const row = await hub.db.transaction((tx) => placeScoringTask(tx, task, study, 'pulmonary-nodule'));
  return {
    report: async (): Promise<string | undefined> =>
      toResource((await findResource(hub.db, 'Task', row.id))!).output?.[0]?.valueReference.reference.split('/')[1],
  };
}

/** Of an object of ours: the first one in its file. */
const uidOf = (bytes: Buffer) => /2\.25\.\d+/.exec(bytes.toString('latin1'))?.[0];

async function dumped(bytes: Buffer, tool: 'dsrdump' | 'dcmdump', ...options: string[]): Promise<string> {
  const file = join(folder, `${tool}.dcm`);
  await writeFile(file, bytes);
  const { status, output } = await dcmtk(tool, [...options, file]);
  // dcmtk knows no other character set well enough to look for wrong characters in it, and no template of a Key Object Selection
  const complaints = (output.match(/^[WEF]: .*$/gm) ?? []).filter(
    (line) => !/VR checker does not support|template constraints not yet supported/.test(line),
  );
  expect([status, complaints]).toEqual([0, []]);
  return output;
}

describe('the structured report in the archive of the hospital', () => {
  const job = async () =>
    (
      await hub.db.query<{ state: string; task_id: string; last_error: string; sop_instance_uid: string }>(
        sql`select state, task_id, last_error, sop_instance_uid from result_store_job where report_id = ${reportId}`,
      )
    )[0]!;
  const again = (change: string) =>
    hub.db.pool.query(`update result_store_job set ${change}, attempts = 1 where report_id = $1`, [reportId]);
  const settled = (state: string) => until(async () => (await job()).state === state);
  const study = async () => {
    const [row] = await hub.db.query<{ id: string }>(sql`select id from resource where type = 'ImagingStudy'`);
    return findResource(hub.db, 'ImagingStudy', row!.id);
  };
  const taskOf = async () => toResource((await findResource(hub.db, 'Task', (await job()).task_id))!);
  const inArchive = async (): Promise<string[]> => {
    const answer = await fetch(`${pacs.orthancUrl}/tools/find`, {
      method: 'POST',
      body: JSON.stringify({ Level: 'Instance', Query: { StudyInstanceUID: STUDY, Modality: 'SR' } }),
    });
    return (await answer.json()) as string[];
  };

  it('lies with its study, byte for byte, is indexed there, and is no reason to score the study again', async () => {
    await settled('done');
    const [one, ...more] = await inArchive();
    expect(more).toEqual([]);
    const stored = Buffer.from(await (await fetch(`${pacs.orthancUrl}/instances/${one}/file`)).arrayBuffer());
    expect(stored.equals(await structuredReport())).toBe(true);
    const { version, ...indexed } = await until(async () => {
      const row = await study();
      return row && toResource(row).series.length > 1 && { ...toResource(row), version: row.version };
    });
    const { modality, series } = indexed as FhirResource;
    expect(modality.map((m: { code: string }) => m.code)).toEqual(['CT', 'SR']);
    expect(series.map((s: { numberOfInstances: number }) => s.numberOfInstances)).toEqual([40, 1]);
    expect(version).toBeGreaterThan(1);
    await hub.hub.sources.idle();
    expect(await hub.db.query(sql`select state from scoring_job`)).toEqual([{ state: 'done' }]);
    const { status, output } = await taskOf();
    expect([status, output.map((o: { type: { text: string } }) => o.type.text)]).toEqual([
      'completed',
      ['report', 'structured-report'],
    ]);
    const entries = await hub.db.query<{ subtype: string }>(
      sql`select subtype from audit_event where type = 'scoring' and subtype like 'store%' order by id`,
    );
    expect(entries.map((e) => e.subtype)).toEqual(['store-begin', 'store']);
  });

  it('narrows no agreement: who shares chest CTs goes on to share one that was scored', async () => {
    const [{ bodySite }] = toResource((await study())!).series;
    const limits = [
      { url: 'modality', valueCoding: { system: systems.dicomTerminology, code: 'CT' } },
      { url: 'bodySite', valueCoding: { system: bodySite.system, code: bodySite.code } },
    ];
    const agreement = {
      resourceType: 'OrganizationAffiliation',
      id: 'chest-ct',
      active: true,
      period: { start: '2026-01-01' },
      organization: { reference: 'Organization/a' },
      participatingOrganization: { reference: 'Organization/d' },
      code: [{ coding: [{ system: systems.affiliationKind, code: 'sharing-agreement' }] }],
      extension: [{ url: extensions.sharingScope, extension: limits }],
    };
    const registrar = await hub.system('commission', 'hub-administrator');
    const entered = await hub
      .http()
      .put('/fhir/OrganizationAffiliation/chest-ct')
      .set('authorization', `Bearer ${registrar}`)
      .send(agreement);
    expect([entered.status, entered.body.issue]).toEqual([201, undefined]);
    const path = `/fhir/ImagingStudy/${(await study())!.id}`;
    expect((await get(path, 'd')).status).toBe(404);
    await hub.sign('chest-ct', 'a', 'd');
    const { status, text } = await get(path, 'd');
    expect([status, JSON.parse(text).modality?.map((m: { code: string }) => m.code)]).toEqual([200, ['CT', 'SR']]);
  });

  it('is there once, also when a worker dies after the archive has it', async () => {
    const version = (await study())!.version;
    await again("state = 'running', lease_owner = 'dead', lease_until = now() - interval '1 second'");
    await settled('done');
    expect(await inArchive()).toHaveLength(1);
    expect((await study())!.version).toBe(version);
    expect(await hub.db.query(sql`select reason from quarantine where state = 'held'`)).toEqual([]);
  });

  it('is given up with the reason in the Task when it can never be stored, and what was published stands; it can be filed later, however old', async () => {
    const { task_id: taskId, sop_instance_uid: uid } = await job();
    await again("state = 'queued', sop_instance_uid = '2.25.1'");
    await settled('failed');
    const { status, note } = await taskOf();
    expect([status, note[0].text]).toEqual(['completed', expect.stringMatching(/not in the archive.*another report/)]);
    expect((await structuredReport()).length).toBeGreaterThan(1000);
    expect(await inArchive()).toHaveLength(1);
    expect(await failedFilings(hub.db, { custodianId: 'a', count: 9 })).toMatchObject([
      { taskId, report: `DiagnosticReport/${reportId}`, reason: expect.stringContaining('another report') },
    ]);
    await again(`created = now() - interval '2 days', sop_instance_uid = '${uid}'`);
    expect(await hub.db.transaction((tx) => retryFilings(tx, taskId))).toBe(1);
    await settled('done');
    expect(await failedFilings(hub.db, { count: 9 })).toEqual([]);
    expect(await hub.db.transaction((tx) => retryFilings(tx, taskId))).toBe(0);
  });
});

describe('the structured report of a score', () => {
  it('is read by dcmtk without a complaint, and says what was found where, by which model, and that nobody has verified it', async () => {
    const report = JSON.parse((await get(`/fhir/DiagnosticReport/${reportId}`)).text);
    expect(report.presentedForm).toMatchObject([{ contentType: 'application/dicom', url: ofReport('structured-report') }]);
    const bytes = await structuredReport();
    const text = await dumped(bytes, 'dsrdump', '+U8', '+Pc', '+Pu', '+Pl');
    expect(text).toContain('Comprehensive 3D SR Document');
    expect(text).toContain('王^小东');
    for (const flag of [
      'Completion Flag     : COMPLETE',
      'Verification Flag   : UNVERIFIED',
      'Preliminary Flag    : PRELIMINARY',
    ])
      expect(text).toContain(flag);
    expect(text).toMatch(/CODE:\(121071,DCM,"Finding"\)=\(786838002,SCT,"Nodule of lung"\)/);
    expect(text).toMatch(/NUM:\(81827009,SCT,"Diameter"\)="\d+(\.\d+)?" \(mm,UCUM,"millimeter"\)/);
    expect(text.match(/UIDREF:\(112040,DCM,"Tracking Unique Identifier"\)/g)!.length).toBe(1 + report.result.length - 1);
    expect(text.match(/SCOORD:\(111030,DCM,"Image Region"\)=\(POLYLINE/g)!.length).toBeGreaterThanOrEqual(planted);
    expect(text).toContain('no physician has checked it');
    const [, , finding = ''] = text.split('"Measurement Group")');
    for (const stated of [
      /\(363698007,SCT,"Finding Site"\)=\(\d+,SCT,"(Left|Right) lung structure"\)>\s+.*Laterality"\)=\(\d+,SCT,"\1"\)/,
      /\(nodule-patch-probability,99FEDHUB,"[^"]+"\)="0\.\d+"/,
      /\(121106,DCM,"Comment"\)="(left|right) lung, (upper|middle|lower) third of its height"/,
    ])
      expect(finding).toMatch(stated);
  });

  it('has the patient as the images have her, in their character set', async () => {
    const [ofReport, ofImage] = [await structuredReport(), await readFile(files[0]!)];
    const name = iconv.encode('Wang^XiaoDong=王^小东', 'gb18030');
    for (const bytes of [ofReport, ofImage]) {
      expect(bytes.includes(name)).toBe(true);
      expect(bytes.includes('GB18030')).toBe(true);
    }
  });

  it('is the same bytes whenever it is asked for, on record as read', async () => {
    const before = await reads();
    expect((await structuredReport()).equals(await structuredReport())).toBe(true);
    expect((await reads()).slice(before.length)).toEqual([
      { outcome: 0, detail: 'structured report' },
      { outcome: 0, detail: 'structured report' },
    ]);
  });

  it('does not say who the patient is to those who may read the report alone, and is another object then', async () => {
    const task = await requestedBy('b');
    const theirs = await until(async () => task.report());
    newerId = theirs;
    const [named, unnamed] = [await structuredReport('a', theirs), await structuredReport('b', theirs)];
    expect([named, unnamed].map((bytes) => bytes.includes('Wang^XiaoDong'))).toEqual([true, false]);
    for (const secret of ['P-33', 'ACC-33', '19600203']) expect(unnamed.includes(secret)).toBe(false);
    const text = await dumped(unnamed, 'dcmdump');
    expect(text).toMatch(/PatientIdentityRemoved/);
    expect(uidOf(named)).not.toBe(uidOf(unnamed));
    await dumped(unnamed, 'dsrdump');
  });

  it('is for nobody who may not read the report, and of no report that has none', async () => {
    const nobodys = `/scoring/reports/${NOBODY}/structured-report`;
    const [known, unknown] = [await get(ofReport('structured-report'), 'c'), await get(nobodys, 'c')];
    expect([known.status, known.text]).toEqual([404, unknown.text]);
    expect((await hub.http().get(ofReport('structured-report'))).status).toBe(401);
    expect((await get(`/scoring/reports/${'x'.repeat(300)}/structured-report`)).status).toBe(404);
    expect((await reads()).at(-2)).toMatchObject({ outcome: 4 });
  });
});

describe('the annotations of a score', () => {
  it('are boxes on the frames of the images that were scored', async () => {
    const { status, body } = await get(ofReport('annotations'));
    expect(status).toBe(200);
    const uids = new Set(instances);
    expect(body.findings.length).toBeGreaterThanOrEqual(planted);
    expect(body.instances.length).toBeGreaterThan(0);
    for (const { sopInstanceUid, frame, boxes } of body.instances) {
      expect([uids.has(sopInstanceUid), frame, boxes.length > 0]).toEqual([true, 1, true]);
      for (const { x, y, width, height } of boxes)
        expect(x >= 0 && y >= 0 && width > 0 && height > 0 && x + width <= 160 && y + height <= 160).toBe(true);
    }
    expect(body).toMatchObject({ report: `DiagnosticReport/${reportId}`, studyInstanceUid: STUDY, mapsWithheld: false });
    expect((await get(ofReport('annotations'), 'c')).status).toBe(404);
  });

  it('show heat maps to those alone who may retrieve the images', () => {
    const map = {
      sopInstanceUid: '1.2',
      frame: 1,
      box: { x: 0, y: 0, width: 64, height: 64 },
      rows: 1,
      columns: 2,
      values: [0, 1],
    };
    const scored = { studyInstanceUid: STUDY, model: { name: 'm', version: '1' }, findings: [], maps: [map] };
    const record = {
      reportId: 'r',
      focus: 'ImagingStudy/s',
      images: {},
      manifest: { findingCodes: [] },
      scored,
    } as unknown as ScoreRecord;
    const drawn = (maps: boolean, status: 'preliminary' | 'corrected' = 'preliminary') =>
      annotationsOf(record, { status }, undefined, maps);
    expect(drawn(true)).toMatchObject({
      instances: [{ sopInstanceUid: '1.2', maps: [{ x: 0, rows: 1, columns: 2, values: [0, 1] }] }],
      mapsWithheld: false,
    });
    expect(drawn(false)).toMatchObject({ instances: [], mapsWithheld: true });
    // a correction is not what the model looked at
    expect(drawn(true, 'corrected')).toMatchObject({ instances: [], mapsWithheld: false });
  });

  it('keep no map that is as fine as the pixels', () => {
    const map = (size: number) => ({ rows: size, columns: size, values: new Array(size * size).fill(0.5) });
    const scored = { maps: [map(16), map(512), { ...map(16), values: [1] }] } as unknown as Scored;
    expect(asRecorded(scored).maps?.map(({ rows }) => rows)).toEqual([16]);
  });
});

describe('the document of a score after a physician’s word', () => {
  const stands = async () => JSON.parse((await get(`/fhir/DiagnosticReport/${newerId}`)).text) as FhirResource;
  const word = async (body: object): Promise<FhirResource> => {
    const { meta } = await stands();
    const answer = await hub
      .http()
      .post(`/scoring/reports/${newerId}/review`)
      .set({ authorization: `Bearer ${tokens['physician']}`, 'if-match': `W/"${meta!.versionId}"` })
      .send(body);
    expect([answer.status, answer.body.issue]).toEqual([200, undefined]);
    return answer.body;
  };
  const drawn = async () => (await get(`/scoring/reports/${newerId}/annotations`)).body;
  /** The documents that the archive has of this score, by class. */
  const filed = async (count: number): Promise<Buffer[]> => {
    const jobs = await until(async () => {
      const rows = await hub.db.query<{ sop_instance_uid: string }>(
        sql`select sop_instance_uid from result_store_job where report_id = ${newerId} and state = 'done' order by report_version`,
      );
      return rows.length === count && rows;
    });
    const found = jobs.map(async ({ sop_instance_uid }) => {
      const find = { Level: 'Instance', Query: { SOPInstanceUID: sop_instance_uid } };
      const answer = await fetch(`${pacs.orthancUrl}/tools/find`, { method: 'POST', body: JSON.stringify(find) });
      const [instance] = (await answer.json()) as [string];
      return Buffer.from(await (await fetch(`${pacs.orthancUrl}/instances/${instance}/file`)).arrayBuffer());
    });
    return Promise.all(found);
  };
  const dump = (bytes: Buffer) => dumped(bytes, 'dsrdump', '+U8', '+Pc', '+Pu', '+Pl', '+Pt');

  it('accepted: a further report lies beside the first one, verified by him, with the first as its predecessor', async () => {
    const accepted = await word({ decision: 'accept', text: '与既往片比较无变化。' });
    expect(accepted.presentedForm).toMatchObject([{ title: expect.stringContaining('verified') }]);
    const [first, second] = (await filed(2)) as [Buffer, Buffer];
    expect((await structuredReport('a', newerId)).equals(second)).toBe(true);
    expect(await dump(first)).toContain('Verification Flag   : UNVERIFIED');
    const text = await dump(second);
    for (const line of ['Preliminary Flag    : FINAL', 'Predecessor Docs    : 1', 'Verification Flag   : VERIFIED'])
      expect(text).toContain(line);
    expect(text).toMatch(/Verifying Observers : .*李雷, a/);
    expect(text).toContain('accepted by 李雷 (a)');
    expect(text).toContain('与既往片比较无变化。');
    expect(second.includes(uidOf(first)!)).toBe(true);
    const { status, findings } = await drawn();
    expect([status, findings.length]).toEqual(['final', accepted.result.length - 1]);
  });

  it('corrected: what is his stands in his name, what is the model’s under its algorithm; so it is drawn', async () => {
    const { result } = await stands();
    await word({
      decision: 'correct',
      reason: 'wrong-place',
      positive: true,
      findings: [
        {
          change: 'change',
          observation: result[1].reference,
          diameterMm: 9,
          box: { sopInstanceUid: instances[3], x: 11, y: 21, width: 9, height: 9 },
        },
        { change: 'add', box: { sopInstanceUid: instances[4], x: 90, y: 90, width: 4, height: 4 }, text: '胸膜下' },
      ],
    });
    const [, second, third] = (await filed(3)) as [Buffer, Buffer, Buffer];
    expect([third.includes(uidOf(second)!), third.length]).toEqual([true, (await structuredReport('a', newerId)).length]);
    const [measurements = '', evaluations = ''] = (await dump(third)).split('"Qualitative Evaluations")');
    expect(evaluations).toMatch(/PNAME:\(121008,DCM,"Person Observer Name"\)="李雷"[\s\S]*"Finding"\)=\(\d+,SCT,"Positive"\)/);
    const groups = measurements.split('"Measurement Group")').slice(1);
    const his = groups.filter((group) => group.includes('PNAME:(121008,DCM,"Person Observer Name")="李雷"'));
    // the whole, the changed finding, the added one
    expect([groups.length, his.length]).toEqual([result.length + 1, 3]);
    for (const group of his) expect(group).not.toMatch(/Algorithm Name|"Score"|Laterality|Volume/);
    expect(his[1]).toMatch(/POLYLINE,11\/21,20\/21,20\/30,11\/30,11\/21[\s\S]*Diameter"\)="9"/);
    expect(his[2]).toContain('胸膜下');
    const body = await drawn();
    expect(body).toMatchObject({ status: 'corrected', mapsWithheld: false });
    const { number, score, ...added } = body.findings.at(-1);
    expect([number, score, added]).toEqual([
      result.length,
      undefined,
      expect.objectContaining({ physician: '李雷', text: '胸膜下' }),
    ]);
    expect(body.instances.find((i: FhirResource) => i['sopInstanceUid'] === instances[4]).boxes).toContainEqual({
      finding: number,
      x: 90,
      y: 90,
      width: 4,
      height: 4,
    });
  });

  it('is in UTF-8, patient and all, where the images’ character set does not hold what he writes', () => {
    const latin = { characterSet: ['ISO_IR 100'], values: { '00100010': Buffer.from('M\xfcller', 'latin1').toString('base64') } };
    expect(headerFor(latin, ['Dr. Groß'])).toBe(latin);
    const { characterSet, values } = headerFor(latin, ['李雷']);
    expect([characterSet, Buffer.from(values['00100010']!, 'base64').toString()]).toEqual([['ISO_IR 192'], 'Müller']);
  });

  it('rejected: a note withdraws every report of it, which stay where they are; nothing is drawn; accepted again, it is as before', async () => {
    await word({ decision: 'reject', reason: 'image-quality', text: '运动伪影' });
    const documents = await filed(4);
    const note = documents[3]!;
    const text = await dump(note);
    expect(text).toContain('(113001,DCM,"Rejected for Quality Reasons")');
    expect(text).toMatch(/\(113011,DCM,"Document Title Modifier"\)=\(image-quality,99\w+,"Image quality"\)/);
    expect(text.match(/COMPOSITE:=/g)).toHaveLength(3);
    for (const withdrawn of documents.slice(0, 3)) expect(note.includes(uidOf(withdrawn)!)).toBe(true);
    expect(text).toContain('运动伪影');
    expect((await structuredReport('a', newerId)).equals(note)).toBe(true);
    const unnamed = await structuredReport('b', newerId);
    expect([unnamed.includes('P-33'), unnamed.includes(uidOf(documents[0]!)!)]).toEqual([false, false]);
    expect(await drawn()).toMatchObject({ status: 'entered-in-error', findings: [], instances: [] });
    const [scored] = await hub.db.query<{ task_id: string }>(sql`select task_id from score_record where report_id = ${newerId}`);
    const { output } = toResource((await findResource(hub.db, 'Task', scored!.task_id))!);
    expect(output.map((o: { type: { text: string } }) => o.type.text)).toEqual([
      'report',
      ...['structured-report', 'structured-report', 'structured-report', 'rejection-note'],
    ]);
    await word({ decision: 'accept' });
    const again = (await filed(5))[4]!;
    expect(await dump(again)).toMatch(/Verification Flag {3}: VERIFIED/);
    expect([uidOf(documents[2]!)!, iconv.encode('胸膜下', 'gb18030')].map((part) => again.includes(part))).toEqual([true, true]);
    expect((await drawn()).findings.at(-1)).toMatchObject({ physician: '李雷', text: '胸膜下' });
  });
});

describe('a score that is made again', () => {
  const replay = (id: string) =>
    command(['score', 'replay', id], {
      DATABASE_URL: database.url,
      HUB_SECRET: TEST_SECRET,
      HUB_OUTBOUND_NETWORKS: '127.0.0.0/8',
    });
  const provenance = async () => {
    const [row] = await hub.db.query<{ provenance_id: string }>(
      sql`select provenance_id from score_record where report_id = ${reportId}`,
    );
    return toResource((await findResource(hub.db, 'Provenance', row!.provenance_id))!);
  };

  it('has everything that it depends on in its Provenance', async () => {
    const { agent, entity } = await provenance();
    const displays: string[] = entity.map((e: FhirResource) => e.what.display ?? e.what.reference);
    for (const wanted of [
      /^Model pulmonary-nodule \d/,
      /^Further graph false-positive$/,
      /^Manifest$/,
      /^Code /,
      /^Threshold score = 0\.\d+$/,
      /^Result, /,
    ])
      expect(displays.filter((display) => wanted.test(display))).toHaveLength(1);
    expect(displays.filter((display) => /^sha256 [0-9a-f]{64}$/.test(display))).toHaveLength(40);
    expect(agent[1].who.display).toMatch(/^onnxruntime [\d.]+, Node\.js [\d.]+, \d+ threads, .+/);
  });

  it('is equal to the last bit, which is on record', async () => {
    expect(await replay(`Provenance/${(await provenance()).id}`)).toEqual({
      status: 0,
      stdout: `equal  DiagnosticReport/${reportId}\n`,
      stderr: '',
    });
    const entries = await hub.db.query<{ subtype: string; outcome: number; detail: string | null; agent_name: string }>(
      sql`select subtype, outcome, detail from audit_event where type = 'scoring' and subtype like 'replay%' order by id`,
    );
    expect(entries).toEqual([
      { subtype: 'replay-begin', outcome: 0, detail: null },
      { subtype: 'replay', outcome: 0, detail: 'equal' },
    ]);
  });

  it('says which image is gone from the archive, and where a result differs', async () => {
    const find = { Level: 'Instance', Query: { SOPInstanceUID: instances[7] } };
    const found = await fetch(`${pacs.orthancUrl}/tools/find`, { method: 'POST', body: JSON.stringify(find) });
    const [gone] = (await found.json()) as [string];
    await (await fetch(`${pacs.orthancUrl}/instances/${gone}`, { method: 'DELETE' })).arrayBuffer();
    await until(async () => (await hub.db.query(sql`select from removed_instance`)).length > 0);
    expect(await replay(reportId)).toEqual({
      status: 1,
      stdout: `DIFFERS  ${instances[7]} is gone or was changed.\n`,
      stderr: '',
    });
    const finding = { score: 0.1 + 0.2, slices: [1, 2] };
    expect(differences({ findings: [finding] }, { findings: [{ score: 0.3, slices: [1] }] }, '')).toEqual([
      'findings[0].score: 0.3 was 0.30000000000000004',
      'findings[0].slices[1]: nothing was 2',
    ]);
  });

  it('is not made with another further graph than it was', async () => {
    const record = (await findScoreRecord(hub.db, hub.db, reportId))!;
    const furtherGraphs = structuredClone(record.manifest.furtherGraphs);
    furtherGraphs['false-positive']!.sha256 = '0'.repeat(64);
    const deps = { db: hub.db, timeout: 10, retrieve: () => Promise.reject(new Error('nothing is fetched')) };
    const { equal, different } = await replayScore(deps, { ...record, manifest: { ...record.manifest, furtherGraphs } });
    expect([equal, different]).toEqual([
      false,
      ['The program carries another model by now.', expect.stringMatching(/^graph\.false-positive: [0-9a-f]{64} was 0{64}$/)],
    ]);
  });

  it('is refused where there is none', async () => {
    expect(await replay('nothing')).toMatchObject({
      status: 1,
      stdout: '',
      stderr: 'hub: there is no published score nothing\n',
    });
  });
});

describe('an archive that is down', () => {
  it('is waited for, and what was published stands', async () => {
    await pacs.kill();
    await hub.db.pool.query(
      "update result_store_job set state = 'queued', attempts = 0, last_error = null, run_after = now(), sop_instance_uid = $1 where report_id = $2 and report_version = 1",
      [uidOf(await structuredReport()), reportId],
    );
    const [job] = await until(async () => {
      const rows = await hub.db.query<{ state: string; last_error: string | null }>(
        sql`select state, last_error from result_store_job where report_id = ${reportId} and state = 'queued' and last_error is not null`,
      );
      return rows.length > 0 && rows;
    });
    expect(job!.last_error).toMatch(/does not keep it now/);
    expect((await get(`/fhir/DiagnosticReport/${reportId}`)).status).toBe(200);
  });
});
