import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { join } from 'node:path';
import { systems } from '../../fhir-profiles/codes.js';
import { withCheckDigit } from '../../hub/identity/national-identifier.js';
import { addSource } from '../../hub/ingest/hospital.js';
import type { FhirResource } from '../../hub/store/search-keys.js';
import { bundleOf, post } from '../support/fhir-samples.js';
import { type Orthanc, startOrthanc } from '../support/orthanc.js';
import { describeWithRealData } from '../support/real-data.js';
import { type RunningHub, startHub } from '../support/running-hub.js';

const HOSPITALS = [1, 2, 3].map((n) => ({
  id: `hospital-${'abc'[n - 1]}`,
  assigner: `urn:oid:1.2.826.0.1.3680043.10.1451.3${n}`,
}));
const [A, B, C] = HOSPITALS as [(typeof HOSPITALS)[0], (typeof HOSPITALS)[0], (typeof HOSPITALS)[0]];

type Resource = FhirResource & { id: string };

/** Hospital A by folder, B and C in two real PACS by DICOMweb: what the federation is for, step by step, on real archives. */
describeWithRealData('three hospitals with real archives', (data) => {
  let hub: RunningHub;
  const pacs: Orthanc[] = [];
  const tokens: Record<string, string> = {};

  beforeAll(async () => {
    pacs.push(...(await Promise.all(['b', 'c'].map((h) => startOrthanc({ folder: join(data, `hospital-${h}`) })))));
    hub = await startHub({ config: { workers: 1 } });
    await hub.join(HOSPITALS);
    await hub.enrol(
      ...HOSPITALS.map(({ id }) => ({ username: `physician-${id}`, role: 'physician' as const, organizationId: id })),
      ...HOSPITALS.map(({ id }) => ({
        username: `administrator-${id}`,
        role: 'hospital-administrator' as const,
        organizationId: id,
      })),
      { username: 'steward', role: 'identity-steward', organizationId: A.id },
      { username: 'auditor', role: 'auditor', organizationId: 'commission' },
      { username: 'officer', role: 'commission-officer', organizationId: 'commission' },
    );
    for (const { id } of HOSPITALS) tokens[id] = await hub.system(id);
    await addSource(hub.db, {
      id: 'a.folder',
      organizationId: A.id,
      kind: 'folder',
      settings: { root: join(data, 'hospital-a') },
    });
    for (const [i, { id }] of [B, C].entries()) {
      const orthanc = pacs[i] as Orthanc;
      await addSource(hub.db, {
        id: `${id}.pacs`,
        organizationId: id,
        kind: 'dicomweb',
        settings: { baseUrl: orthanc.dicomwebUrl, orthancUrl: orthanc.orthancUrl },
      });
    }
    await hub.hub.sources.idle();
  }, 180_000);
  afterAll(async () => {
    await hub?.stop();
    await Promise.all(pacs.map((p) => p.stop()));
  });

  const call = async (token: string, method: 'get' | 'post' | 'put', path: string, body?: object) => {
    const request = hub.http()[method](path).set('authorization', `Bearer ${token}`);
    const answer = await (body ? request.set('content-type', 'application/fhir+json').send(JSON.stringify(body)) : request);
    return { status: answer.status, body: answer.text ? JSON.parse(answer.text) : undefined };
  };
  const search = async (token: string, query: string): Promise<Resource[]> => {
    const { body } = await call(token, 'get', `/fhir/${query}`);
    return (body.entry ?? [])
      .filter((e: { search: { mode: string } }) => e.search.mode === 'match')
      .map((e: { resource: Resource }) => e.resource);
  };
  const ofHospital = (id: string, query = 'ImagingStudy?_count=50'): Promise<Resource[]> => search(tokens[id] ?? '', query);
  const totals = async () => {
    const studies = (await Promise.all(HOSPITALS.map(({ id }) => ofHospital(id)))).flat();
    const sum = (element: string): number => studies.reduce((n, s) => n + s[element], 0);
    return { studies: studies.length, series: sum('numberOfSeries'), instances: sum('numberOfInstances') };
  };
  const held = async () => (await call(await hub.person('administrator-hospital-a'), 'get', '/quarantine')).body.items;

  it('8 studies, 14 series, 244 instances, and the duplicate SOP Instance UID in quarantine', async () => {
    expect(await totals()).toEqual({ studies: 8, series: 14, instances: 244 });
    expect(await held()).toMatchObject([{ reason: 'sop-instance-conflict', state: 'held' }]);
    const [row] = (await hub.db.pool.query("select count(*)::int as n from quarantine where state = 'held'")).rows;
    expect(row.n).toBe(1);
  });

  it('reading everything again changes nothing', async () => {
    for (const id of ['a.folder', 'hospital-b.pacs', 'hospital-c.pacs']) await hub.hub.sources.reindex(id);
    await hub.hub.sources.idle();
    expect(await totals()).toEqual({ studies: 8, series: 14, instances: 244 });
    expect(await held()).toHaveLength(1);
    expect((await ofHospital(A.id)).map((s) => s.meta?.versionId)).toEqual(['1', '1', '1']);
  });

  const a046441 = async (hospital: { id: string; assigner: string }): Promise<Resource> => {
    const [patient] = await ofHospital(hospital.id, `Patient?identifier=${encodeURIComponent(`${hospital.assigner}|A046441`)}`);
    return patient as Resource;
  };

  it('A046441 at A and C is proposed as a link, and each hospital finds only its own study', async () => {
    const links = (await call(await hub.person('steward'), 'get', '/identity/links?state=proposed')).body.items;
    const ids = [(await a046441(A)).id, (await a046441(C)).id].sort();
    expect(
      links.map((l: { own: { patient: string }; other: { patient: string } }) => [l.own.patient, l.other.patient].sort()),
    ).toContainEqual(ids);
    expect(await ofHospital(A.id, `ImagingStudy?patient.identifier=A046441`)).toHaveLength(1);
    expect(await ofHospital(C.id, `ImagingStudy?patient=${ids[0]}`)).toHaveLength((await a046441(C)).id === ids[0] ? 1 : 0);
  });

  it('after both hospitals push the same valid national identifier it is linked; policy still decides who sees what', async () => {
    const national = { system: systems.nationalIdentifier, value: withCheckDigit('99010119010101001') };
    for (const hospital of [A, C]) {
      const patient = await a046441(hospital);
      const pushed = await call(tokens[hospital.id] ?? '', 'put', `/fhir/Patient/${patient.id}`, {
        ...patient,
        identifier: [...patient.identifier, national],
      });
      expect(pushed.status).toBe(200);
    }
    const linked = (await call(await hub.person('steward'), 'get', '/identity/links?state=linked')).body.items;
    expect(linked).toHaveLength(1);
    const physician = await hub.person('physician-hospital-c');
    const bundle = (await call(physician, 'get', `/fhir/ImagingStudy?patient=${(await a046441(C)).id}`)).body;
    const modes = bundle.entry.map((e: { search: { mode: string } }) => e.search.mode);
    expect(modes).toEqual(['match', 'outcome']);
    expect(bundle.entry[1].resource.issue[0]).toMatchObject({ code: 'suppressed', details: { coding: [{ code: 'no-basis' }] } });
  });

  it('C is refused A’s study with a reason class, asks for its release, reads that study and no other until it ends', async () => {
    const physician = await hub.person('physician-hospital-c');
    const mine = await a046441(C);
    const bundle = (await call(physician, 'get', `/fhir/ImagingStudy?patient=${mine.id}`)).body;
    const reference: string = bundle.entry.at(-1).resource.issue[0].expression[0];
    expect((await call(physician, 'get', `/fhir/${reference}`)).status).toBe(403);
    const others = (await ofHospital(A.id)).filter((s) => `ImagingStudy/${s.id}` !== reference);
    for (const other of others) expect((await call(physician, 'get', `/fhir/ImagingStudy/${other.id}`)).status).toBe(404);

    const task: FhirResource = {
      resourceType: 'Task',
      status: 'requested',
      intent: 'order',
      code: { coding: [{ system: systems.taskKind, code: 'release-request' }] },
      businessStatus: { coding: [{ system: systems.businessStatus, code: 'requested' }] },
      focus: { reference },
      for: { reference: `Patient/${mine.id}` },
      requester: { reference: `Organization/${C.id}` },
      owner: { reference: `Organization/${A.id}` },
      reasonCode: { text: 'Comparison before treatment' },
    };
    const placed = await call(physician, 'post', '/fhir/Task', task);
    expect(placed.status).toBe(201);
    expect((await call(physician, 'get', `/fhir/${reference}`)).status).toBe(403);
    const inState = (given: Resource, code: string) => ({
      ...given,
      businessStatus: { coding: [{ system: systems.businessStatus, code }] },
    });
    const selfGrant = await call(physician, 'put', `/fhir/Task/${placed.body.id}`, inState(placed.body, 'accepted'));
    expect(selfGrant.status).toBe(409);

    const administrator = await hub.person('administrator-hospital-a');
    const accepted = await call(
      administrator,
      'put',
      `/fhir/Task/${placed.body.id}`,
      inState((await call(administrator, 'get', `/fhir/Task/${placed.body.id}`)).body, 'accepted'),
    );
    expect(accepted.status).toBe(200);
    expect((await call(physician, 'get', `/fhir/${reference}`)).body).toMatchObject({ resourceType: 'ImagingStudy' });
    for (const other of others) expect((await call(physician, 'get', `/fhir/ImagingStudy/${other.id}`)).status).toBe(404);
    const uid = (await call(physician, 'get', `/fhir/${reference}`)).body.identifier[0].value.replace('urn:oid:', '');
    const pixels = await hub
      .http()
      .get(`/dicomweb/studies/${uid}`)
      .set('authorization', `Bearer ${physician}`)
      .buffer(true)
      .parse(binary);
    expect({ status: pixels.status, type: pixels.headers['content-type'] }).toMatchObject({
      status: 200,
      type: expect.stringMatching(/^multipart\/related/),
    });
    expect((pixels.body as Buffer).length).toBeGreaterThan(1_000_000);

    const done = await call(physician, 'put', `/fhir/Task/${placed.body.id}`, inState(accepted.body, 'completed'));
    expect(done.status).toBe(200);
    expect((await call(physician, 'get', `/fhir/${reference}`)).status).toBe(403);
    expect((await hub.http().get(`/dicomweb/studies/${uid}`).set('authorization', `Bearer ${physician}`)).status).toBe(403);
  });

  it('the NLST chest CT is scored from the archive to a preliminary report', async () => {
    const [study] = (await ofHospital(A.id)).filter((s) => s.numberOfInstances === 144);
    const task = {
      resourceType: 'Task',
      status: 'requested',
      intent: 'order',
      priority: 'urgent',
      code: { coding: [{ system: systems.taskKind, code: 'scoring-request' }] },
      focus: { reference: `ImagingStudy/${study?.id}` },
      for: study?.subject,
      requester: { reference: `Organization/${A.id}` },
      input: [{ type: { text: 'model' }, valueString: 'pulmonary-nodule' }],
    };
    const physician = await hub.person('physician-hospital-a');
    const placed = await call(physician, 'post', '/fhir/Task', task);
    expect({ status: placed.status, issue: placed.body.issue }).toEqual({ status: 201, issue: undefined });
    const ended = await until(async () => {
      const { body } = await call(physician, 'get', `/fhir/Task/${placed.body.id}`);
      return ['completed', 'failed'].includes(body.status) ? body : undefined;
    });
    expect(ended.status).toBe('completed');
    const [report] = await search(
      physician,
      `DiagnosticReport?patient=${String(study?.subject.reference).replace('Patient/', '')}`,
    );
    expect(report).toMatchObject({ status: 'preliminary' });
    expect(report?.result.length).toBeGreaterThan(0);
    const provenance = await search(physician, `Provenance?target=DiagnosticReport/${report?.id}`);
    expect(JSON.stringify(provenance)).toMatch(/[0-9a-f]{64}/);
    // B and C have nothing to do with this patient: to them the report does not exist
    expect((await call(await hub.person('physician-hospital-b'), 'get', `/fhir/DiagnosticReport/${report?.id}`)).status).toBe(
      404,
    );
  }, 180_000);

  it('A consults expert hospital B, who reads exactly what was attached, and answers; then the grant is over', async () => {
    const physicianA = await hub.person('physician-hospital-a');
    const physicianB = await hub.person('physician-hospital-b');
    const [study, other] = (await ofHospital(A.id)).filter((s) => s.numberOfInstances !== 3) as [Resource, Resource];
    const patient = study.subject as { reference: string };
    const order = {
      resourceType: 'ServiceRequest',
      status: 'active',
      intent: 'order',
      code: { text: '远程会诊 Remote consultation' },
      subject: patient,
      requester: { reference: `Organization/${A.id}` },
      performer: [{ reference: `Organization/${B.id}` }],
    };
    const task = {
      resourceType: 'Task',
      status: 'requested',
      intent: 'order',
      code: { coding: [{ system: systems.taskKind, code: 'consultation-request' }] },
      businessStatus: { coding: [{ system: systems.businessStatus, code: 'requested' }] },
      focus: { reference: 'urn:uuid:3c8f0a52-0000-4000-8000-000000000003' },
      for: patient,
      requester: { reference: `Organization/${A.id}` },
      owner: { reference: `Organization/${B.id}` },
      input: [{ type: { text: 'study' }, valueReference: { reference: `ImagingStudy/${study.id}` } }],
    };
    const sent = await call(
      physicianA,
      'post',
      '/fhir',
      bundleOf('transaction', [{ ...post(order), fullUrl: task.focus.reference }, post(task)]),
    );
    expect(sent.status).toBe(200);
    const taskId: string = sent.body.entry[1].resource.id;
    expect((await call(physicianB, 'get', `/fhir/ImagingStudy/${study.id}`)).status).toBe(404);
    const step = async (token: string, code: string, more: object = {}) => {
      const { body } = await call(token, 'get', `/fhir/Task/${taskId}`);
      return call(token, 'put', `/fhir/Task/${taskId}`, {
        ...body,
        ...more,
        businessStatus: { coding: [{ system: systems.businessStatus, code }] },
      });
    };
    expect((await step(physicianB, 'accepted')).status).toBe(200);
    expect((await call(physicianB, 'get', `/fhir/ImagingStudy/${study.id}`)).status).toBe(200);
    expect((await call(physicianB, 'get', `/fhir/ImagingStudy/${other.id}`)).status).toBe(404);
    const opinion = {
      resourceType: 'DiagnosticReport',
      status: 'final',
      code: { text: '会诊意见 Consultation opinion' },
      subject: patient,
      imagingStudy: [{ reference: `ImagingStudy/${study.id}` }],
      performer: [{ reference: `Organization/${B.id}` }],
      conclusion: '建议短期复查。',
    };
    const report = await call(physicianB, 'post', '/fhir/DiagnosticReport', opinion);
    expect(report.status).toBe(201);
    const output = [{ type: { text: 'opinion' }, valueReference: { reference: `DiagnosticReport/${report.body.id}` } }];
    expect((await step(physicianB, 'completed', { output })).status).toBe(200);
    expect((await call(physicianB, 'get', `/fhir/ImagingStudy/${study.id}`)).status).toBe(404);
    expect((await call(physicianB, 'get', `/fhir/DiagnosticReport/${report.body.id}`)).status).toBe(200);
    expect((await call(physicianA, 'get', `/fhir/DiagnosticReport/${report.body.id}`)).body).toMatchObject({
      conclusion: '建议短期复查。',
    });
  });

  it('the auditor finds every step, denials included; the commission gets its figures, and nobody else', async () => {
    const auditor = await hub.person('auditor');
    const patientId = (await a046441(A)).id;
    const events = await search(auditor, `AuditEvent?patient=${patientId}&_count=200`);
    const kinds = new Set(events.flatMap((e) => e.subtype.map((s: { code: string }) => s.code)));
    for (const kind of ['read', 'search-type', 'retrieve', 'accept', 'complete', 'link']) expect([...kinds]).toContain(kind);
    expect(events.some((e) => e.outcome === '4')).toBe(true);
    const officer = await hub.person('officer');
    const volume = (await call(officer, 'get', '/reports/exchange-volume')).body;
    expect(JSON.stringify(volume)).toContain('hospital-a');
    expect((await call(await hub.person('physician-hospital-a'), 'get', '/reports/exchange-volume')).status).toBe(403);
    expect((await call(officer, 'get', '/fhir/ImagingStudy')).body.entry).toBeUndefined();
  });
});

async function until<T>(look: () => Promise<T | undefined>): Promise<T> {
  for (let i = 0; i < 300; i += 1) {
    const found = await look();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 400));
  }
  throw new Error('it did not happen in time');
}

function binary(answer: unknown, done: (error: Error | null, body: unknown) => void): void {
  const response = answer as NodeJS.ReadableStream;
  const chunks: Buffer[] = [];
  response.on('data', (chunk: Buffer) => chunks.push(chunk));
  response.on('end', () => done(null, Buffer.concat(chunks)));
  response.on('error', (error: Error) => done(error, Buffer.alloc(0)));
}
