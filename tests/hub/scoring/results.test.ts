/** A study that its hospital's PACS has is scored without being asked; the score is then had in every form. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import iconv from 'iconv-lite';
import { systems } from '../../../fhir-profiles/codes.js';
import { addSource } from '../../../hub/ingest/hospital.js';
import { inState } from '../../../hub/jobs/task-state.js';
import { annotationsOf } from '../../../hub/scoring/annotations.js';
import { asRecorded, type ScoreRecord } from '../../../hub/scoring/score-record.js';
import { placeScoringTask } from '../../../hub/scoring/task-writer.js';
import { findResource, toResource } from '../../../hub/store/resources.js';
import { sql } from '../../../hub/store/sql.js';
import { writeChestCt } from '../../../models/phantoms/chest-ct.js';
import type { Scored } from '../../../models/score-messages.js';
import { dcmtk } from '../../support/dcmtk.js';
import { type Orthanc, startOrthanc } from '../../support/orthanc.js';
import { type RunningHub, startHub } from '../../support/running-hub.js';

const NOBODY = '0190aaaa-0000-7000-8000-000000000000';
const STUDY = '1.2.826.0.1.3680043.10.1451.33.1';
let hub: RunningHub;
let pacs: Orthanc;
let folder: string;
let planted: number;
let files: string[];
let instances: string[];
let reportId: string;
const tokens: Record<string, string> = {};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'results-'));
  [hub, pacs] = await Promise.all([startHub({ config: { workers: 1 } }), startOrthanc()]);
  await hub.join(['a', 'b', 'c'].map((id) => ({ id, assigner: `urn:oid:1.2.3.${id.charCodeAt(0)}` })));
  for (const id of ['a', 'b', 'c']) tokens[id] = await hub.system(id);
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
    settings: { baseUrl: pacs.dicomwebUrl, orthancUrl: pacs.orthancUrl },
  });
  reportId = await until(async () => {
    const [row] = await hub.db.query<{ id: string }>(sql`select id from resource where type = 'DiagnosticReport'`);
    return row?.id;
  });
}, 120_000);
afterAll(async () => {
  await Promise.all([hub?.stop(), pacs?.stop()]);
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

async function dumped(bytes: Buffer, tool: 'dsrdump' | 'dcmdump', ...options: string[]): Promise<string> {
  const file = join(folder, `${tool}.dcm`);
  await writeFile(file, bytes);
  const { status, output } = await dcmtk(tool, [...options, file]);
  // dcmtk knows no other character set well enough to look for wrong characters in it
  const complaints = (output.match(/^[WEF]: .*$/gm) ?? []).filter((line) => !line.includes('VR checker does not support'));
  expect([status, complaints]).toEqual([0, []]);
  return output;
}

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
    const [named, unnamed] = [await structuredReport('a', theirs), await structuredReport('b', theirs)];
    expect([named, unnamed].map((bytes) => bytes.includes('Wang^XiaoDong'))).toEqual([true, false]);
    for (const secret of ['P-33', 'ACC-33', '19600203']) expect(unnamed.includes(secret)).toBe(false);
    const text = await dumped(unnamed, 'dcmdump');
    expect(text).toMatch(/PatientIdentityRemoved/);
    const uidOf = (bytes: Buffer) => /2\.25\.\d+/.exec(bytes.toString('latin1'))?.[0];
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
    expect(annotationsOf(record, true)).toMatchObject({
      instances: [{ sopInstanceUid: '1.2', maps: [{ x: 0, rows: 1, columns: 2, values: [0, 1] }] }],
      mapsWithheld: false,
    });
    expect(annotationsOf(record, false)).toMatchObject({ instances: [], mapsWithheld: true });
  });

  it('keep no map that is as fine as the pixels', () => {
    const map = (size: number) => ({ rows: size, columns: size, values: new Array(size * size).fill(0.5) });
    const scored = { maps: [map(16), map(512), { ...map(16), values: [1] }] } as unknown as Scored;
    expect(asRecorded(scored).maps?.map(({ rows }) => rows)).toEqual([16]);
  });
});
