import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { systems } from '../../../fhir-profiles/codes.js';
import { signIn } from '../../../hub/demo/sign-in.js';
import { bundleOf, post } from '../../support/fhir-samples.js';
import { type Answer, assigner, type Client, clientOf, NATIONAL, openWorld, studyUidOf, type World } from './world.js';

let world: World;
let physician: Client;
let auditor: Client;
let serial = 0;

beforeAll(async () => {
  world = await openWorld({ config: { breakGlassPerDay: 3 } });
  auditor = await world.person('auditor');
  physician = await freshPhysician();
});
afterAll(() => world.hub.stop());

/** A physician of C who has opened nothing yet. */
async function freshPhysician(hospital = 'c'): Promise<Client> {
  const username = `emergency-${++serial}`;
  await world.hub.enrol({ username, role: 'physician', organizationId: hospital });
  return world.person(username);
}

const asked = (patient: object, more: object = {}) => ({
  patient,
  reason: 'unconscious',
  statement: 'Brought in unconscious after a fall.',
  ...more,
});
const nationalNumber = { identifier: { system: systems.nationalIdentifier, value: NATIONAL.toLowerCase() } };
const reference = (id: string) => ({ reference: `Patient/${id}` });

/** A session, and somebody with its token. */
async function breakGlass(by: Client, patient: object) {
  const answer = await by.post(asked(patient), '/access/break-glass');
  if (answer.status !== 201) throw new Error(answer.text);
  return { answer, id: answer.body.id as string, under: clientOf(world.hub, answer.body.token.access_token) };
}
const step = (by: Client, id: string, name: string, body: object = {}) => by.post(body, `/access/exceptional/${id}/${name}`);
const listed = async (by: Client, query = '') =>
  (await by.get(`/access/exceptional${query}`)).body.items as Record<string, unknown>[];
const ids = ({ body }: Answer): string[] =>
  (body.entry ?? [])
    .filter((e: { search: { mode: string } }) => e.search.mode === 'match')
    .map((e: { resource: { id: string } }) => e.resource.id);
const moveInTime = (id: string, columns: string) =>
  world.hub.db.pool.query(`update exceptional_access set ${columns} where id = $1`, [id]);

describe('a patient who is a stranger here', () => {
  it('is opened, with all that is linked with her, to the physician who breaks the glass, and nobody else is', async () => {
    expect((await physician.get(`/fhir/ImagingStudy/${world.studyOfA.id}`)).status).toBe(404);
    const { under } = await breakGlass(physician, nationalNumber);
    expect((await under.get(`/fhir/ImagingStudy/${world.studyOfA.id}`)).body.id).toBe(world.studyOfA.id);
    expect((await under.get(`/fhir/Patient/${world.patientOfD.id}`)).status).toBe(200);
    expect((await under.get(`/fhir/ImagingStudy/${world.otherStudyOfA.id}`)).status).toBe(404);
    expect(ids(await under.get('/fhir/ImagingStudy'))).toEqual([world.studyOfA.id]);
    expect(ids(await under.get('/fhir/ImagingStudy?_count=50&_sort=-started'))).toEqual([world.studyOfA.id]);
    expect((await under.get('/fhir/ImagingStudy?_summary=count')).body.total).toBe(1);
    expect(ids(await under.get('/fhir/Patient')).sort()).toEqual(
      [world.patientOfA.id, world.patientOfB.id, world.patientOfD.id].sort(),
    );
    expect((await physician.get(`/fhir/ImagingStudy/${world.studyOfA.id}`)).status).toBe(404);
  });

  it('finds in her audit who broke the glass and what he read, with the session', async () => {
    const by = await freshPhysician();
    const { id, under } = await breakGlass(by, nationalNumber);
    await under.get(`/fhir/ImagingStudy/${world.studyOfA.id}`);
    await under.get(`/fhir/ImagingStudy?patient=${world.patientOfA.id}`);
    await under.get(`/dicomweb/studies/${studyUidOf(world.studyOfA)}`);
    const { body } = await (await world.person('patient-1')).get('/fhir/AuditEvent?_count=100');
    const evidence = (e: { entity: { detail?: { type: string; valueString: string }[] }[] }) =>
      e.entity.flatMap((entity) => entity.detail ?? []).filter((d) => d.valueString === `break-glass ${id}`);
    const mine: { subtype: { code: string }[]; purposeOfEvent: { coding: { code: string }[] }[] }[] = body.entry
      .map((e: { resource: never }) => e.resource)
      .filter((e: never) => evidence(e).length > 0);
    const operations = mine.flatMap((e) => e.subtype.map((c) => c.code));
    expect(operations).toEqual(expect.arrayContaining(['break-glass', 'read', 'search-type', 'retrieve']));
    expect(new Set(mine.map((e) => e.purposeOfEvent[0]!.coding[0]!.code))).toEqual(new Set(['BTG']));
    const about = await listed(await world.person('patient-1'));
    expect(about.find((s) => s.id === id)).toMatchObject({ reason: 'unconscious', organization: 'c', review: 'owed' });
    expect(await listed(await world.person('patient-2'))).toEqual([]);
  });

  it('whose custodians are told, each of its own Patient', async () => {
    const { id } = await breakGlass(await freshPhysician(), nationalNumber);
    const { rows } = await world.hub.db.pool.query(
      "select organization_id, payload->'patient' as patient from outbox where topic = 'break-glass.opened' and payload->>'access' = $1 order by organization_id",
      [id],
    );
    expect(rows).toEqual([
      { organization_id: 'a', patient: [`Patient/${world.patientOfA.id}`] },
      { organization_id: 'b', patient: [`Patient/${world.patientOfB.id}`] },
      { organization_id: 'c', patient: [] },
      { organization_id: 'd', patient: [`Patient/${world.patientOfD.id}`] },
    ]);
  });

  it('is fetched as a notice by each custodian, until that one has taken note', async () => {
    const { id } = await breakGlass(await freshPhysician(), nationalNumber);
    const administrator = await world.person('administrator-a');
    const pending = async (by: Client) =>
      (
        (await by.get('/notices?_count=200')).body.notices as {
          id: string;
          topic: string;
          about: { access?: string; patient?: string[] };
        }[]
      ).filter(({ about }) => about.access === id);
    const [notice, ...more] = await pending(administrator);
    expect([notice?.topic, notice?.about.patient, more]).toEqual(['break-glass.opened', [`Patient/${world.patientOfA.id}`], []]);
    expect((await pending(world.systems.b))[0]?.about.patient).toEqual([`Patient/${world.patientOfB.id}`]);
    const path = `/notices/${notice?.id}/acknowledgement`;
    expect((await world.systems.b.post({}, path)).status).toBe(404);
    for (let again = 0; again < 2; again += 1) expect((await administrator.post({}, path)).status).toBe(204);
    expect(await pending(administrator)).toEqual([]);
    expect(await pending(world.systems.b)).toHaveLength(1);
    expect((await physician.get('/notices')).status).toBe(403);
    expect((await administrator.get('/notices?_count=0')).status).toBe(400);
  });

  it('is opened against a general opt-out, which names no emergency; one that names it decides', async () => {
    const patient = await world.patient('a', 'A7', { birthDate: '1971-01-01' });
    const study = await world.study('a', patient);
    const optOut = {
      resourceType: 'Consent',
      status: 'active',
      scope: { coding: [{ system: systems.consentScope, code: 'patient-privacy' }] },
      category: [{ coding: [{ system: systems.loinc, code: '59284-0' }] }],
      patient: { reference: `Patient/${patient.id}` },
      dateTime: '2026-01-01',
      policy: [{ uri: 'https://federation-hub.example/policies/opt-out' }],
      provision: { type: 'deny' },
    };
    expect((await world.systems.a.post(optOut)).status).toBe(201);
    const { under } = await breakGlass(await freshPhysician(), reference(patient.id));
    expect((await under.get(`/fhir/ImagingStudy/${study.id}`)).status).toBe(200);
    const named = { ...optOut, provision: { type: 'deny', purpose: [{ system: systems.actReason, code: 'BTG' }] } };
    expect((await world.systems.a.post(named)).status).toBe(201);
    const refused = await under.get(`/fhir/ImagingStudy/${study.id}`);
    expect([refused.status, refused.body.issue[0].details.coding[0].code]).toEqual([403, 'consent']);
  });

  it('is answered for like one who is not here at all', async () => {
    const one = await breakGlass(await freshPhysician(), reference(world.otherOfA.id));
    const none = await breakGlass(await freshPhysician(), reference('nobody'));
    const shape = ({ body, status, headers }: Answer) => [
      status,
      Object.keys(body),
      Object.keys(body.token),
      headers['content-type'],
    ];
    expect(shape(one.answer)).toEqual(shape(none.answer));
    expect(ids(await none.under.get('/fhir/ImagingStudy'))).toEqual([]);
    expect((await listed(auditor, '?review=owed&_count=100')).map((s) => s.id)).toEqual(
      expect.arrayContaining([one.id, none.id]),
    );
  });

  it('is not opened by what others may share, or by a piece of a number', async () => {
    const by = await freshPhysician();
    for (const patient of [
      { identifier: { system: assigner('a'), value: 'A' } },
      { identifier: { system: assigner('b'), value: 'A1' } },
    ]) {
      const { under } = await breakGlass(by, patient);
      expect(ids(await under.get('/fhir/Patient'))).toEqual([]);
    }
    const { under } = await breakGlass(by, { identifier: { system: assigner('a'), value: 'A2' } });
    expect(ids(await under.get('/fhir/Patient'))).toEqual([world.otherOfA.id]);
  });
});

describe('a session', () => {
  it('reads and retrieves, and writes, scores, asks and reviews nothing', async () => {
    const { id, under } = await breakGlass(await freshPhysician(), nationalNumber);
    const subject = { reference: `Patient/${world.patientOfA.id}` };
    const writes = [
      await under.post({ resourceType: 'Observation', status: 'final', code: { text: 'x' }, subject }),
      await under.post(
        bundleOf('transaction', [post({ resourceType: 'DiagnosticReport', status: 'final', code: { text: 'x' }, subject })]),
        '/fhir',
      ),
      await under.put(world.studyOfA),
      await under.put(world.patientOfA),
    ];
    expect(writes.map((a) => a.status >= 400 && a.status < 500)).toEqual(writes.map(() => true));
    expect((await under.post(asked(nationalNumber), '/access/break-glass')).status).toBe(403);
    expect((await step(under, id, 'token')).status).toBe(403);
    expect((await step(under, id, 'review', { finding: 'justified', comment: 'it was needed' })).status).toBe(403);
    // the study was described, and no archive of A is connected: policy lets him through to that answer
    expect((await under.get(`/dicomweb/studies/${studyUidOf(world.studyOfA)}`)).text).toContain('known but not retrievable');
  });

  it('that is ended is over for the next request and the next page, and its token is worth nothing', async () => {
    const by = await freshPhysician();
    await world.study('a', world.otherOfA);
    const { id, under } = await breakGlass(by, reference(world.otherOfA.id));
    const first = await under.get('/fhir/ImagingStudy?_count=1');
    const next = first.body.link.find((l: { relation: string }) => l.relation === 'next').url.replace(world.hub.url, '');
    expect((await under.get(next)).status).toBe(200);
    expect((await step(by, id, 'end')).body).toMatchObject({ id, state: 'over', patients: [] });
    for (const path of [
      next,
      `/fhir/ImagingStudy/${world.otherStudyOfA.id}`,
      '/fhir/Organization',
      `/dicomweb/studies/${studyUidOf(world.otherStudyOfA)}`,
    ])
      expect([path, (await under.get(path)).status]).toEqual([path, 401]);
    expect((await step(by, id, 'end')).status).toBe(409);
    expect((await step(by, id, 'token')).status).toBe(404);
    expect((await step(await freshPhysician(), id, 'end')).status).toBe(404);
  });

  it('ends when its time is over', async () => {
    const { id, under } = await breakGlass(await freshPhysician(), nationalNumber);
    await moveInTime(id, 'valid_until = now()');
    expect((await under.get(`/fhir/ImagingStudy/${world.studyOfA.id}`)).status).toBe(401);
  });

  it('gives further tokens to the one person it is for, while it is open', async () => {
    const by = await freshPhysician();
    const { id } = await breakGlass(by, nationalNumber);
    const again = await step(by, id, 'token');
    expect(again.body.expires_in).toBeLessThanOrEqual(300);
    const under = clientOf(world.hub, again.body.access_token);
    expect((await under.get(`/fhir/ImagingStudy/${world.studyOfA.id}`)).status).toBe(200);
    expect((await step(await freshPhysician(), id, 'token')).status).toBe(404);
    expect((await step(auditor, id, 'token')).status).toBe(403);
  });

  it('does not reach a Patient that is unlinked from the one it was opened for', async () => {
    const { under } = await breakGlass(await freshPhysician(), { identifier: { system: assigner('a'), value: 'A1' } });
    const reads = async () =>
      Promise.all(
        [world.patientOfA, world.patientOfB, world.patientOfD].map(
          async (p) => (await under.get(`/fhir/Patient/${p.id}`)).status,
        ),
      );
    expect(await reads()).toEqual([200, 200, 200]);
    await world.hub.db.pool.query('delete from cross_reference where patient_id = $1', [world.patientOfB.id]);
    expect(await reads()).toEqual([200, 404, 200]);
    await world.hub.db.pool.query(
      'insert into cross_reference (patient_id, cluster_id) select $1, cluster_id from cross_reference where patient_id = $2',
      [world.patientOfB.id, world.patientOfA.id],
    );
    expect(await reads()).toEqual([200, 200, 200]);
  });
});

describe('who may break the glass', () => {
  it('is a physician who treats, and says why', async () => {
    const others = ['administrator-a', 'steward-a', 'officer', 'auditor', 'patient-1'];
    for (const name of others)
      expect([name, (await (await world.person(name)).post(asked(nationalNumber), '/access/break-glass')).status]).toEqual([
        name,
        403,
      ]);
    expect((await world.systems.a.post(asked(nationalNumber), '/access/break-glass')).status).toBe(403);
    const research = await world.person('physician-c', 'HRESCH');
    expect((await research.post(asked(nationalNumber), '/access/break-glass')).status).toBe(403);
    const bad: [object, string][] = [
      [{ ...asked(nationalNumber), reason: 'curious' }, 'reason'],
      [{ ...asked(nationalNumber), statement: ' x ' }, 'statement'],
      [{ ...asked(nationalNumber), statement: 'x'.repeat(501) }, 'statement'],
      [asked({}), 'patient'],
      [asked({ ...nationalNumber, ...reference('x') }), 'patient'],
      [asked(reference('../x')), 'patient.reference'],
      [asked({ identifier: { system: 's', value: 'a\u0000b' } }), 'patient.identifier.value'],
    ];
    const by = await freshPhysician();
    for (const [body, element] of bad) {
      const answer = await by.post(body, '/access/break-glass');
      expect([answer.status, answer.body.issue[0].expression]).toEqual([400, [element]]);
    }
    expect(await listed(by)).toEqual([]);
  });

  it('is told that it would help, where it would', async () => {
    const read = await (await world.person('physician-d')).get(`/fhir/ImagingStudy/${world.studyOfA.id}`);
    expect([read.status, read.body.issue[0].diagnostics]).toEqual([403, expect.stringContaining('break the glass')]);
    const administrator = await (await world.person('administrator-d')).get(`/fhir/ImagingStudy/${world.studyOfA.id}`);
    expect(administrator.text).not.toContain('break the glass');
    const system = await world.systems.d.get(`/fhir/ImagingStudy/${world.studyOfA.id}`);
    expect([system.status, system.text]).toEqual([403, expect.not.stringContaining('break the glass')]);
  });

  it('does so a few times a day', async () => {
    const by = await freshPhysician();
    const answers = await Promise.all([1, 2, 3, 4, 5].map(() => by.post(asked(reference('nobody')), '/access/break-glass')));
    expect(answers.map((a) => a.status).sort()).toEqual([201, 201, 201, 429, 429]);
  });
});

describe('a review', () => {
  it('is owed by the time stated, stops the next use when overdue, and is not the physician’s own', async () => {
    const by = await freshPhysician();
    const { id } = await breakGlass(by, nationalNumber);
    await moveInTime(id, 'review_due = now()');
    const refused = await by.post(asked(reference(world.otherOfA.id)), '/access/break-glass');
    expect([refused.status, refused.body.issue[0].diagnostics]).toEqual([403, expect.stringContaining('overdue')]);
    const tries = await (await world.person('patient-2')).get('/fhir/AuditEvent?outcome=4&subtype=break-glass');
    expect(tries.body.entry[0].resource.outcomeDesc).toContain('review-overdue');
    expect((await listed(auditor, '?review=overdue')).map((s) => s.id)).toEqual([id]);
    expect((await step(auditor, id, 'review', { finding: 'justified', comment: 'it was needed' })).status).toBe(409);
    await step(by, id, 'end');
    for (const other of [by, await world.person('administrator-c'), await world.person('officer')])
      expect((await step(other, id, 'review', { finding: 'justified', comment: 'it was needed' })).status).toBe(403);
    const reviewed = await step(auditor, id, 'review', { finding: 'justified', comment: 'it was needed' });
    expect(reviewed.body).toMatchObject({ review: 'justified', reviewComment: 'it was needed' });
    expect((await step(auditor, id, 'review', { finding: 'not-justified', comment: 'it was not' })).status).toBe(409);
    expect((await by.post(asked(reference(world.otherOfA.id)), '/access/break-glass')).status).toBe(201);
  });

  it('that finds no justification ends what is open, is told, and may suspend', async () => {
    const by = await freshPhysician();
    const [one, other] = [await breakGlass(by, nationalNumber), await breakGlass(by, reference(world.otherOfA.id))];
    const finding = { finding: 'not-justified', comment: 'a neighbour was looked up', suspendDays: 30 };
    expect((await step(auditor, one.id, 'review', { ...finding, finding: 'justified' })).status).toBe(400);
    expect((await step(auditor, one.id, 'review', finding)).status).toBe(200);
    for (const { under } of [one, other]) expect((await under.get('/fhir/ImagingStudy')).status).toBe(401);
    const refused = await by.post(asked(nationalNumber), '/access/break-glass');
    expect([refused.status, refused.body.issue[0].diagnostics]).toEqual([403, expect.stringContaining('suspended')]);
    const { rows } = await world.hub.db.pool.query(
      "select organization_id from outbox where topic = 'break-glass.not-justified' and payload->>'access' = $1 order by 1",
      [one.id],
    );
    expect(rows.map((r) => r.organization_id)).toEqual(['a', 'b', 'c', 'd']);
  });

  it('is never by the same person, in whatever role', async () => {
    const username = `both-${++serial}`;
    await world.hub.enrol({ username, role: 'physician', organizationId: 'c' });
    await world.hub.db.pool.query("update account set roles = '{physician,auditor}' where subject = $1", [username]);
    const acting = async (role: string) =>
      clientOf(world.hub, await signIn({ baseUrl: world.hub.url, username, password: 'test-password', role }));
    const { id } = await breakGlass(await acting('physician'), nationalNumber);
    const now = await acting('auditor');
    expect((await step(now, id, 'review', { finding: 'not-justified', comment: 'it was not' })).status).toBe(403);
    expect((await listed(now, '?review=owed&_count=100')).some((s) => s.id === id)).toBe(true);
  });
});

describe('a custodian’s administrator', () => {
  it('sees who was let in to his patients, flags it once, and sees nobody else’s patients', async () => {
    const { id } = await breakGlass(await freshPhysician(), nationalNumber);
    const administrator = await world.person('administrator-a');
    const seen = (await listed(administrator, '?state=open&_count=100')).find((s) => s.id === id);
    expect(seen?.patients).toEqual([{ patient: `Patient/${world.patientOfA.id}`, custodian: 'a', named: true }]);
    const flagged = await step(administrator, id, 'flag', { comment: 'please look closely' });
    expect(flagged.body.patients[0].flagComment).toBe('please look closely');
    expect((await step(administrator, id, 'flag', { comment: 'please look closely' })).status).toBe(409);
    expect((await listed(auditor, '?flagged=true')).map((s) => s.id)).toEqual([id]);
    const employer = await world.person('administrator-c');
    expect((await listed(employer, '?_count=100')).find((s) => s.id === id)?.patients).toEqual([]);
    expect((await step(employer, id, 'flag', { comment: 'please look closely' })).status).toBe(404);
    expect((await step(await world.person('physician-a'), id, 'flag', { comment: 'please look closely' })).status).toBe(403);
    const stranger = await breakGlass(await freshPhysician(), reference('nobody'));
    expect((await listed(administrator, '?_count=100')).some((s) => s.id === stranger.id)).toBe(false);
  });
});

it('pages through a list without losing or repeating one', async () => {
  const all = (await listed(auditor, '?_count=100')).map((s) => s.id);
  const found: unknown[] = [];
  let path: string | undefined = '/access/exceptional?_count=4';
  while (path) {
    const { body }: Answer = await auditor.get(path);
    found.push(...body.items.map((s: { id: string }) => s.id));
    path = body.next && `/access/exceptional?_count=4&_cursor=${body.next}`;
  }
  expect(found).toEqual(all);
  expect((await auditor.get('/access/exceptional?_cursor=%27')).status).toBe(400);
});
