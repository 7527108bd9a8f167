import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { systems } from '../../../fhir-profiles/codes.js';
import { withCheckDigit } from '../../../hub/identity/national-identifier.js';
import { startStoreBackWorkers } from '../../../hub/scoring/store-back/worker.js';
import { sql } from '../../../hub/store/sql.js';
import { hl7, pid } from '../../support/mllp.js';
import { sampleStudy } from '../../support/fhir-samples.js';
import { finding, reviewOf, scoredFor, scoringTask } from '../scoring/scored-world.js';
import { businessStatus, clientOf, kindOfTask, made, organization, series } from '../security/world.js';
import { assigner, type MergingRegion, mergingRegion } from './merging.js';

let at: MergingRegion;
beforeAll(async () => {
  at = await mergingRegion();
});
afterAll(() => at?.stop());

/** A man, born on 1968-03-12 like the patients of these tests. */
const national = (order: number): string => withCheckDigit(`11010519680312${String(order * 2 + 1).padStart(3, '0')}`);
const identified = (number: string, order: number): string => `${number}~${national(order)}^^^^NNCHN`;
const subject = (resource: { subject: { reference: string } }): string => resource.subject.reference;

describe('numbers that are merged', () => {
  it('file everything under the survivor, and are found by either', async () => {
    await at.register('S1');
    await at.register('R1', { 5: '王^小冬' });
    const [ofS, ofR] = [await at.study('S1'), await at.study('R1')];
    const retired = await at.patientOf('R1');
    const about = { subject: { reference: `Patient/${retired.id}` } };
    const order = made(
      await at.a.post({ resourceType: 'ServiceRequest', status: 'active', intent: 'order', code: { text: 'CT' }, ...about }),
    );
    const report = made(
      await at.a.post({
        resourceType: 'DiagnosticReport',
        status: 'final',
        code: { text: 'CT' },
        imagingStudy: [{ reference: `ImagingStudy/${ofR.id}` }],
        basedOn: [{ reference: `ServiceRequest/${order.id}` }],
        ...about,
      }),
    );
    expect(await at.merge('S1', 'R1')).toBe('AA');
    const survivor = await at.patientOf('S1');
    for (const number of ['S1', 'R1']) expect(await at.studiesByNumber(number)).toEqual([ofS.id, ofR.id].sort());
    for (const id of [survivor.id, retired.id])
      expect(await at.found(at.a, `DiagnosticReport?patient=${id}`)).toEqual([report.id]);
    for (const [type, id] of [
      ['ImagingStudy', ofR.id],
      ['ServiceRequest', order.id],
      ['DiagnosticReport', report.id],
    ] as const)
      expect(subject((await at.a.get(`/fhir/${type}/${id}`)).body)).toBe(`Patient/${survivor.id}`);
    expect(survivor).toMatchObject({ link: [{ other: { reference: `Patient/${retired.id}` }, type: 'replaces' }] });
    expect(await at.patientOf('R1')).toMatchObject({
      id: retired.id,
      active: false,
      name: retired.name,
      link: [{ other: { reference: `Patient/${survivor.id}` }, type: 'replaced-by' }],
    });
    const { body: before } = await at.a.get(`/fhir/ImagingStudy/${ofR.id}/_history/1`);
    expect(subject(before)).toBe(`Patient/${retired.id}`);
  });

  it('leave their Provenance and entries in the audit of both', async () => {
    const [survivor, retired] = [await at.patientOf('S1'), await at.patientOf('R1')];
    const entries = await at.hub.db.query<{ patient_id: string; agent: string; entity: string[] }>(sql`
      select patient_id, agent, entity from audit_event where subtype = 'merge' and patient_id in (${survivor.id}, ${retired.id}) order by id`);
    expect(entries.map((e) => [e.patient_id, e.agent])).toEqual([
      [survivor.id, 'Device/connector-a.his'],
      [retired.id, 'Device/connector-a.his'],
    ]);
    const [provenance] = (await at.a.get(`/fhir/Provenance?target=Patient/${survivor.id}`)).body.entry;
    const targets = provenance.resource.target.map((t: { reference: string }) => t.reference);
    expect(targets).toEqual(expect.arrayContaining([`Patient/${survivor.id}/_history/2`, `Patient/${retired.id}/_history/2`]));
    expect(targets).toHaveLength(5);
  });

  it('may be merged before either is known, again, and in a chain', async () => {
    expect(await at.merge('S2', 'R2')).toBe('AA');
    await at.register('S2');
    const versions = (await at.patientOf('R2')).meta?.versionId;
    expect(await at.merge('S2', 'R2')).toBe('AA');
    expect((await at.patientOf('R2')).meta?.versionId).toBe(versions);
    expect(await at.merge('T2', 'S2')).toBe('AA');
    const { patientId } = await at.image('R2', { birthDate: '1968-03-12' });
    expect(patientId).toBe((await at.patientOf('T2')).id);
    for (const number of ['R2', 'S2', 'T2']) expect(await at.studiesByNumber(number)).toHaveLength(1);
  });

  it('are not brought back by what comes late: a message, a push, an image', async () => {
    await at.register('S3');
    await at.register('R3', { 5: '王^晓东', 11: 'old address' });
    await at.merge('S3', 'R3');
    const survivor = await at.patientOf('S3');
    for (const event of ['A08', 'A01'])
      expect(await at.send(hl7(`ADT^${event}`, [pid('R3', { 5: '王^晓东', 11: 'late address' })]))).toBe('AA');
    const retired = await at.patientOf('R3');
    expect([retired.active, retired.address[0].line, (await at.patientOf('S3')).address]).toEqual([
      false,
      ['old address'],
      undefined,
    ]);
    expect((await at.a.put({ ...retired, active: true })).status).toBe(409);
    const again = { resourceType: 'Patient', identifier: [{ system: assigner('a'), value: 'R3' }] };
    expect((await at.a.put(again, `/fhir/Patient?identifier=${assigner('a')}|R3`)).status).toBe(409);
    expect((await at.a.post(again)).status).toBe(409);
    const study = await at.a.post(sampleStudy(retired.id));
    expect([study.status, study.text]).toEqual([422, expect.stringContaining(`refer to Patient/${survivor.id}`)]);
    // images keep the old number, and the old name
    expect(await at.image('R3', { name: '王^晓东' })).toMatchObject({ patientId: survivor.id, quarantined: [] });
    expect((await at.image('R3', { name: '赵^敏' })).quarantined).toHaveLength(1);
    // another person under the number is no late message
    expect(await at.send(hl7('ADT^A04', [pid('R3', { 5: '赵^敏', 8: 'F' })]))).toBe('AR');
  });

  it('are refused the other way round, and with themselves', async () => {
    await at.merge('S4', 'R4');
    expect(await at.merge('R4', 'S4')).toBe('AR');
    await at.register('X4');
    expect(await at.merge('X4', 'R4')).toBe('AR');
    expect(await at.merge('S4', 'S4')).toBe('AR');
    expect((await at.patientOf('S4')).active).not.toBe(false);
  });

  it('A47: a number that changes is merged into the new one', async () => {
    await at.register('OLD5');
    const study = await at.study('OLD5');
    expect(await at.send(hl7('ADT^A47', [pid('NEW5'), 'MRG|OLD5']))).toBe('AA');
    expect(await at.studiesByNumber('NEW5')).toEqual([study.id]);
  });
});

describe('who may see what after a merge', () => {
  const mayRead = async (id: string, username = 'physician-b'): Promise<boolean> =>
    (await (await at.person(username)).get(`/fhir/ImagingStudy/${id}`)).status === 200;

  it('a refusal that was given under either number stays in force for all of the survivor’s', async () => {
    await at.patientAt('b', 'B6', {
      identifier: [
        { system: assigner('b'), value: 'B6' },
        { system: systems.nationalIdentifier, value: national(6) },
      ],
      birthDate: '1968-03-12',
      name: [{ text: '王小东' }],
    });
    await at.register(identified('S6', 6));
    await at.register('R6');
    const [ofS, ofR] = [await at.study('S6'), await at.study('R6')];
    const retired = await at.patientOf('R6');
    expect([await mayRead(ofS.id), await mayRead(ofR.id)]).toEqual([true, false]);
    const consent = made(await at.a.post(at.consent(retired.id)));
    await at.merge('S6', 'R6');
    expect([await mayRead(ofS.id), await mayRead(ofR.id)]).toEqual([false, false]);
    // the hospital takes it back where it stands
    expect((await at.a.put({ ...consent, status: 'inactive' })).status).toBe(200);
    expect([await mayRead(ofS.id), await mayRead(ofR.id)]).toEqual([true, true]);
  });

  it('what the hospital recorded for the number that was given up opens nothing until it is recorded for the survivor; the patient’s own word does', async () => {
    const research = {
      provision: { type: 'permit', purpose: [{ system: systems.actReason, code: 'HRESCH' }] },
      policyRule: { coding: [{ system: systems.actCode, code: 'OPTIN' }] },
    };
    await at.register('S7');
    await at.register('R7');
    const ofS = await at.study('S7');
    const ofR = await at.study('R7');
    const retired = await at.patientOf('R7');
    const consent = made(await at.a.post(at.consent(retired.id, research)));
    const researching = async (): Promise<boolean[]> => {
      const physician = await at.person('physician-a', 'HRESCH');
      return [
        (await physician.get(`/fhir/ImagingStudy/${ofS.id}`)).status === 200,
        (await physician.get(`/fhir/ImagingStudy/${ofR.id}`)).status === 200,
      ];
    };
    expect(await researching()).toEqual([false, true]);
    await at.merge('S7', 'R7');
    expect(await researching()).toEqual([false, false]);
    const survivor = await at.patientOf('S7');
    const again = await at.a.put({ ...consent, patient: { reference: `Patient/${survivor.id}` } });
    expect([again.status, await researching()]).toEqual([200, [true, true]]);
    expect(await at.found(at.a, `Consent?patient=${survivor.id}`)).toEqual([consent.id]);
    // her own
    await at.register('S8');
    await at.register('R8');
    await at.hub.enrol({ username: 'patient-8', role: 'patient', patientId: (await at.patientOf('R8')).id });
    const herself = await at.person('patient-8');
    made(await herself.post(at.consent((await at.patientOf('R8')).id, research)));
    const study = await at.study('S8');
    const read = async () => (await (await at.person('physician-a', 'HRESCH')).get(`/fhir/ImagingStudy/${study.id}`)).status;
    expect(await read()).not.toBe(200);
    await at.merge('S8', 'R8');
    expect(await read()).toBe(200);
    expect((await herself.get(`/fhir/ImagingStudy/${study.id}`)).status).toBe(200);
  });

  it('links of the number that was given up hold for the survivor, whose records the other hospital then knows of', async () => {
    const mate = await at.patientAt('b', 'B9', {
      identifier: [
        { system: assigner('b'), value: 'B9' },
        { system: systems.nationalIdentifier, value: national(9) },
      ],
      birthDate: '1968-03-12',
      name: [{ text: '王小东' }],
    });
    await at.register('S9');
    await at.register(identified('R9', 9));
    const study = await at.study('S9');
    expect(await mayRead(study.id)).toBe(false);
    await at.merge('S9', 'R9');
    expect(await mayRead(study.id)).toBe(true);
    expect(await at.found(await at.person('physician-b'), `ImagingStudy?patient=${mate.id}`)).toEqual([study.id]);
    // the survivor states the identifier himself: it is his then
    await at.say(hl7('ADT^A08', [pid(identified('S9', 9))]));
    // no steward is asked about a hospital's own numbers
    const { body } = await (await at.person('steward-a')).get('/identity/links?state=linked&_count=50');
    expect(
      body.items.filter((i: { own: { patient: string }; other: { patient: string } }) =>
        [i.own.patient, i.other.patient].every((p) => p !== mate.id && p === i.own.patient),
      ),
    ).toEqual([]);
  });

  it('a link that the survivor does not bear ends, with what was released on it, for whoever remembers it too', async () => {
    await at.patientAt('d', 'D10', {
      identifier: [
        { system: assigner('d'), value: 'D10' },
        { system: systems.nationalIdentifier, value: national(10) },
      ],
      birthDate: '1968-03-12',
      name: [{ text: '王小东' }],
    });
    const mine = (await at.found(at.d, `Patient?identifier=${assigner('d')}|D10`))[0];
    await at.register(identified('R10', 10));
    await at.register(identified('S10', 11));
    const study = await at.study('R10');
    const physician = await at.person('physician-d');
    const task = made(
      await physician.post({
        resourceType: 'Task',
        status: 'requested',
        intent: 'order',
        code: kindOfTask('release-request'),
        businessStatus: businessStatus('requested'),
        focus: { reference: `ImagingStudy/${study.id}` },
        for: { reference: `Patient/${mine}` },
        requester: organization('d'),
        owner: organization('a'),
      }),
    );
    const administrator = await at.person('administrator-a');
    const { body: asked } = await administrator.get(`/fhir/Task/${task.id}`);
    expect((await administrator.put({ ...asked, businessStatus: businessStatus('accepted') })).status).toBeLessThan(300);
    expect((await physician.get(`/fhir/ImagingStudy/${study.id}`)).status).toBe(200);
    expect(await at.merge(identified('S10', 11), 'R10')).toBe('AA');
    expect((await physician.get(`/fhir/ImagingStudy/${study.id}`)).status).not.toBe(200);
    const [link] = await at.hub.db.query<{ state: string }>(
      sql`select state from link_decision where ${mine} in (patient_a, patient_b)`,
    );
    expect(link?.state).toBe('proposed');
    expect((await physician.get(`/fhir/Task/${task.id}`)).body.businessStatus).toMatchObject(businessStatus('returned'));
  });
});

describe('a number that moves to another patient (A43)', () => {
  it('takes its studies along at once, and is found under either of the numbers that are his then', async () => {
    await at.register('T20', { 5: '陈^静', 8: 'F', 7: '19700505' });
    await at.register('N20', { 5: '周^杰' });
    const [ofN, ofT] = [await at.study('N20'), await at.study('T20')];
    const before = await at.patientOf('N20');
    expect(await at.move('N20', 'T20')).toBe('AA');
    const target = await at.patientOf('T20');
    expect(await at.studiesByNumber('N20')).toEqual([ofN.id, ofT.id].sort());
    expect(subject((await at.a.get(`/fhir/ImagingStudy/${ofN.id}`)).body)).toBe(`Patient/${target.id}`);
    expect(target.identifier.map((i: { value: string }) => i.value)).toEqual(['T20', 'N20']);
    expect((await at.a.get(`/fhir/Patient/${before.id}`)).body).toMatchObject({
      active: false,
      identifier: [{ value: 'N20', use: 'old' }],
    });
    expect(await at.move('N20', 'T20')).toBe('AA');
    // both numbers are the same person's now
    await at.say(hl7('ADT^A08', [pid('N20', { 5: '陈^静', 8: 'F', 7: '19700505', 11: 'new street' })]));
    expect((await at.patientOf('T20')).address).toEqual([{ line: ['new street'] }]);
    expect((await at.image('N20', { name: '陈^静' })).patientId).toBe(target.id);
  });

  it('takes nothing of the person along but refusals; links, grants and logins stay behind', async () => {
    await at.patientAt('b', 'B21', {
      identifier: [
        { system: assigner('b'), value: 'B21' },
        { system: systems.nationalIdentifier, value: national(21) },
      ],
      birthDate: '1968-03-12',
      name: [{ text: '王小东' }],
    });
    await at.register('T21', { 5: '陈^静', 8: 'F', 7: '19700505' });
    await at.register(identified('N21', 21));
    const study = await at.study('N21');
    const source = await at.patientOf('N21');
    await at.hub.enrol({ username: 'patient-21', role: 'patient', patientId: source.id });
    const [himself, near] = [await at.person('patient-21'), await at.person('physician-b')];
    const status = async () => [
      (await himself.get(`/fhir/ImagingStudy/${study.id}`)).status,
      (await near.get(`/fhir/ImagingStudy/${study.id}`)).status,
    ];
    expect(await status()).toEqual([200, 200]);
    made(await at.a.post(at.consent(source.id)));
    expect(await at.move('N21', 'T21')).toBe('AA');
    expect(await status()).toEqual([404, 404]);
    const target = await at.patientOf('T21');
    const rules = await at.hub.db.query(sql`select decision from consent_rule where patient_id = ${target.id}`);
    expect(rules).toEqual([{ decision: 'deny' }]);
    const [link] = await at.hub.db.query<{ state: string }>(
      sql`select state from link_decision where ${source.id} in (patient_a, patient_b)`,
    );
    expect(link?.state).toBe('unlinked');
    const subtypes = await at.hub.db.query<{ subtype: string }>(
      sql`select distinct subtype from audit_event where patient_id = ${source.id} and type = 'identity' order by 1`,
    );
    expect(subtypes.map((s) => s.subtype)).toEqual(['link', 'move', 'unlink']);
  });

  it('scored images that named the one before: their structured report names nobody then, and is not filed; after a merge it stays as it is', async () => {
    const token = await at.hub.person('physician-a', 'TREAT');
    const physician = clientOf(at.hub, token);
    await at.hub.db.query(sql`
      insert into connector (id, organization_id, kind, settings) values ('a.out', 'a', 'folder', '{"store": true, "storeResults": true}'::jsonb)`);
    const thorax = () => series({ bodySite: { system: systems.snomed, code: '51185008', display: 'Thorax' } });
    const b64 = (text: string) => Buffer.from(text).toString('base64').replace(/=+$/, '');
    const scored = async (number: string) => {
      await at.register(number, { 5: 'LI^SI' });
      const study = await at.study(number, { series: [thorax()] });
      const header = { characterSet: [], values: { '00100010': b64('LI^SI'), '00100020': b64(number) } };
      const task = scoringTask(study, await at.patientOf(number), 'a');
      const { report } = await scoredFor(at, physician, task, { findings: [finding(study)], header });
      const document = () =>
        fetch(`${at.hub.url}/scoring/reports/${report.id}/structured-report`, { headers: { authorization: `Bearer ${token}` } });
      return { id: report.id, text: async () => (await document()).text() };
    };
    const merged = await scored('N43');
    await at.register('S43', { 5: 'LI^SI' });
    expect(await at.merge('S43', 'N43')).toBe('AA');
    expect(await merged.text()).toMatch(/LI\^SI/);
    const moved = await scored('N44');
    expect(await moved.text()).toMatch(/LI\^SI/);
    await at.register('T44', { 5: 'WANG^WU' });
    expect(await at.move('N44', 'T44')).toBe('AA');
    const report = (await physician.get(`/fhir/DiagnosticReport/${moved.id}`)).body;
    expect(subject(report)).toBe(`Patient/${(await at.patientOf('T44')).id}`);
    const unnamed = await moved.text();
    expect(unnamed).not.toMatch(/LI\^SI|N44|WANG/);
    expect(unnamed).toMatch(/Made without patient/);
    expect((await reviewOf(physician, report, { decision: 'accept' })).status).toBe(200);
    expect(await moved.text()).not.toMatch(/LI\^SI|N44/);
    const filing = startStoreBackWorkers({
      db: at.hub.db,
      audit: at.hub.hub.audit,
      config: { deliveryHours: 1 },
      log: { info: () => undefined, warn: () => undefined, error: () => undefined },
      store: async () => Promise.reject(new Error('nothing may be stored')),
      count: 1,
      idleSeconds: 0.02,
    });
    const outcomes = async () =>
      (await at.hub.db.query<{ state: string; last_error: string }>(
        sql`select state, last_error from result_store_job where report_id = ${moved.id} order by report_version`,
      )) as { state: string; last_error: string }[];
    while ((await outcomes()).some(({ state }) => state !== 'failed')) await sleep(20);
    await filing.stop();
    const why = 'The study is filed under another patient by now.';
    expect((await outcomes()).map(({ last_error }) => last_error)).toEqual([why, why]);
  });

  it('is refused where its records can not be told from others', async () => {
    await at.register('N22~M22');
    await at.register('T22');
    expect(await at.move('N22', 'T22')).toBe('AR');
    expect(await at.send(hl7('ADT^A43', ['PID|||N22', 'MRG|N22']))).toBe('AR');
    expect(await at.send(hl7('ADT^A43', ['PID||T22|Q22', 'MRG|Q22']))).toBe('AA');
    expect((await at.patientOf('Q22')).id).toBe((await at.patientOf('T22')).id);
  });

  it('goes with the other numbers of the patient, where the message names them all; all or none', async () => {
    await at.register('N23~M23');
    await at.register('O23', { 5: '周^杰' });
    await at.register('T23', { 5: '陈^静', 8: 'F', 7: '19700505' });
    const [ofN, ofO] = [await at.study('N23'), await at.study('O23')];
    expect(await at.move('N23~O23', 'T23')).toBe('AR');
    expect(await at.studiesByNumber('O23')).toEqual([ofO.id]);
    expect(await at.move('N23~M23~O23', 'T23')).toBe('AA');
    expect(await at.studiesByNumber('T23')).toEqual([ofN.id, ofO.id].sort());
    const { identifier } = await at.patientOf('T23');
    expect(identifier.map((i: { value: string }) => i.value).sort()).toEqual(['M23', 'N23', 'O23', 'T23']);
  });
});
