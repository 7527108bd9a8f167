import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { systems } from '../../../fhir-profiles/codes.js';
import { type Answer, type Client, made, openWorld, type World } from './world.js';

let world: World;
let herself: Client;
let auditor: Client;
let administratorOfA: Client;
const NOBODY = 'ImagingStudy/0190aaaa-0000-7000-8000-000000000000';

beforeAll(async () => {
  world = await openWorld();
  herself = await world.person('patient-1');
  auditor = await world.person('auditor');
  administratorOfA = await world.person('administrator-a');
});
afterAll(() => world.hub.stop());

const study = () => `ImagingStudy/${world.studyOfA.id}`;
const ask = (client: Client, more: object = {}): Promise<Answer> =>
  client.post({ resource: study(), action: 'read', ...more }, '/access/explain');
const optOut = () => ({
  resourceType: 'Consent',
  status: 'active',
  scope: { coding: [{ system: systems.consentScope, code: 'patient-privacy' }] },
  category: [{ coding: [{ system: 'http://loinc.org', code: '59284-0' }] }],
  patient: { reference: `Patient/${world.patientOfA.id}` },
  dateTime: '2026-01-01',
  policyRule: { coding: [{ system: systems.actCode, code: 'OPTOUT' }] },
});
const consented = async <T>(work: (consent: { id: string }) => Promise<T>): Promise<T> => {
  const consent = made(await herself.post(optOut()));
  try {
    return await work(consent);
  } finally {
    await herself.put({ ...consent, status: 'inactive' });
  }
};

describe('the patient', () => {
  it('learns whether a hospital may see her record, by what, and what her consent changes', async () => {
    const subject = { organization: 'b' };
    const open = await ask(herself, { subject });
    expect(open.body).toMatchObject({
      allowed: true,
      basis: 'consortium',
      rule: 'consortium-care',
      subject: { organization: 'b', role: 'physician', purpose: 'TREAT' },
    });
    expect(open.body.evidence).toEqual(expect.arrayContaining([{ kind: 'consortium', id: 'union' }]));
    await consented(async ({ id }) => {
      const closed = (await ask(herself, { subject })).body;
      expect(closed).toMatchObject({ allowed: false, reason: 'consent', rule: 'consent-denied' });
      expect(closed.wouldChange).toContain('ask the patient for consent');
      const [evidence] = closed.evidence;
      expect(evidence).toMatchObject({ kind: 'consent', id, version: 1 });
      expect(evidence.provision).toMatch(/policyRule|provision/);
      const without = { whatIf: { without: [{ kind: evidence.kind, id: evidence.id }] } };
      expect((await ask(herself, { subject, ...without })).body).toMatchObject({ allowed: true, basis: 'consortium' });
      // assumed, not done
      expect((await ask(herself, { subject })).body.allowed).toBe(false);
      expect((await (await world.person('physician-b')).get(`/fhir/${study()}`)).status).toBe(403);
    });
  });

  it('learns it of a person, by the grant that is his', async () => {
    await world.hub.db.pool.query(
      `insert into access_grant (id, custodian_id, recipient_id, practitioner_id, patient_id, resources, valid_from, valid_until, task_id, granted_by)
       values ('grant-1', 'a', 'c', 'physician-c', $1, $2, now(), now() + interval '1 day', 'none', 'Practitioner/physician-a')`,
      [world.patientOfA.id, [study()]],
    );
    const person = { organization: 'c', practitioner: 'physician-c' };
    const granted = await ask(herself, { subject: person });
    expect(granted.body).toMatchObject({ allowed: true, basis: 'grant', evidence: [{ kind: 'grant', id: 'grant-1' }] });
    for (const subject of [
      { organization: 'c' },
      { organization: 'c', practitioner: 'somebody' },
      { organization: 'd', practitioner: 'physician-c' },
    ])
      expect([subject, (await ask(herself, { subject })).body.allowed]).toEqual([subject, false]);
    const without = [{ kind: 'grant', id: 'grant-1' }];
    expect((await ask(herself, { subject: person, whatIf: { without } })).body.allowed).toBe(false);
    await world.hub.db.pool.query("delete from access_grant where id = 'grant-1'");
    expect((await ask(herself, { subject: { practitioner: 'physician-c' } })).body.issue[0].expression).toEqual([
      'subject.organization',
    ]);
  });

  it('asks about nobody else', async () => {
    const other = `ImagingStudy/${world.otherStudyOfA.id}`;
    for (const more of [{}, { subject: { organization: 'b' } }, { whatIf: { without: [] } }]) {
      const [one, none] = [await ask(herself, { resource: other, ...more }), await ask(herself, { resource: NOBODY, ...more })];
      expect([one.status, one.text]).toEqual([404, none.text]);
    }
  });
});

describe('an assumed agreement', () => {
  const subject = { organization: 'c' };
  it('is answered to the auditor, the patient and the custodian, within its limits, and leaves nothing', async () => {
    for (const client of [auditor, herself, administratorOfA]) {
      const allowed = async (agreement: object) => (await ask(client, { subject, whatIf: { agreement } })).body;
      expect(await allowed({})).toMatchObject({
        allowed: true,
        basis: 'agreement',
        evidence: [{ kind: 'agreement', id: 'what-if' }],
      });
      expect((await allowed({ modality: ['CT'], purpose: ['TREAT'] })).allowed).toBe(true);
      for (const limited of [{ modality: ['MR'] }, { purpose: ['HRESCH'] }, { bodySite: ['38266002'] }, { notOlderThanDays: 0 }])
        expect([limited, (await allowed(limited)).allowed]).toEqual([limited, false]);
      expect((await ask(client, { subject })).body.allowed).toBe(false);
    }
    expect((await world.hub.db.pool.query('select from sharing_agreement')).rowCount).toBe(0);
    expect((await (await world.person('physician-c')).get(`/fhir/${study()}`)).status).toBe(404);
  });
  it('does not open what a consent closes', async () => {
    await consented(async () => {
      expect((await ask(auditor, { subject, whatIf: { agreement: {} } })).body).toMatchObject({
        allowed: false,
        reason: 'consent',
      });
    });
  });
  it('is nobody else’s to ask, nor are other people', async () => {
    for (const name of ['physician-a', 'physician-c', 'steward-a', 'officer']) {
      const client = await world.person(name);
      for (const resource of [study(), NOBODY])
        for (const more of [
          { subject: { organization: 'b' } },
          { whatIf: { agreement: {} } },
          { whatIf: { without: [] } },
          { subject: { organization: 'b', practitioner: 'physician-b' } },
        ])
          expect([name, (await ask(client, { resource, ...more })).status]).toEqual([name, 403]);
    }
    const administratorOfC = await world.person('administrator-c');
    const [one, none] = [await ask(administratorOfC, { subject }), await ask(administratorOfC, { resource: NOBODY, subject })];
    expect([one.status, one.text]).toEqual([404, none.text]);
  });
});

describe('a refused clinician', () => {
  it('learns a reason class and what would change it, the same from a read, a search and the explanation', async () => {
    const physician = await world.person('physician-d');
    const { body } = await ask(physician);
    expect(Object.keys(body).sort()).toEqual(['allowed', 'reason', 'wouldChange']);
    expect(body).toMatchObject({ allowed: false, reason: 'no-basis' });
    expect(body.wouldChange).toEqual(expect.arrayContaining(['send a release request to the custodian']));
    const read = (await physician.get(`/fhir/${study()}`)).body.issue[0].diagnostics;
    const search = (await physician.get(`/fhir/ImagingStudy?patient=${world.patientOfD.id}`)).text;
    for (const change of body.wouldChange)
      expect([read, search]).toEqual([expect.stringContaining(change), expect.stringContaining(change)]);
  });
  it('is told of breaking the glass only where it would help, and only a physician', async () => {
    const named = async (client: Client, more: object = {}) =>
      (await ask(client, more)).body.wouldChange?.includes('break the glass');
    const physician = await world.person('physician-d');
    expect(await named(physician)).toBe(true);
    expect(await named(physician, { action: 'write' })).toBe(false);
    expect(await named(world.systems.d)).toBe(false);
    const restricted = await world.study('a', world.patientOfA, {
      meta: { security: [{ system: systems.confidentiality, code: 'R' }] },
    });
    expect(await named(physician, { resource: `ImagingStudy/${restricted.id}` })).toBe(false);
    expect(await named(physician, { subject: { purpose: 'HRESCH' } })).toBe(false);
  });
});

/** The answer, and how often the database was turned to for it. */
async function counted(work: () => Promise<Answer>): Promise<{ answer: Answer; connections: number }> {
  const { pool } = world.hub.db;
  let connections = 0;
  const onTake = () => {
    connections += 1;
  };
  pool.on('acquire', onTake);
  const answer = await work();
  pool.off('acquire', onTake);
  return { answer, connections };
}

describe('a stranger', () => {
  it('can’t tell a record that he may not know of from one that is none, by status, body, headers or what is looked up', async () => {
    for (const name of ['physician-c', 'administrator-c', 'patient-2', 'steward-c', 'officer']) {
      const client = await world.person(name);
      const seen = [];
      for (const resource of [study(), NOBODY]) {
        const answers = [];
        // the registry's word on the caller is looked up again every two seconds: the least of three is the question's own work
        for (let i = 0; i < 3; i += 1) answers.push(await counted(() => ask(client, { resource })));
        const [{ status, text, headers }] = answers.map((a) => a.answer) as [Answer];
        const { date: _date, 'content-length': length, ...rest } = headers;
        seen.push({
          status,
          text,
          length,
          headers: Object.keys(rest).sort(),
          connections: Math.min(...answers.map((a) => a.connections)),
        });
      }
      expect([name, seen[0]]).toEqual([name, seen[1]]);
      expect(seen[0]?.status).toBe(404);
    }
  });
});

describe('each question', () => {
  it('is on record, and the patient finds it', async () => {
    await ask(auditor, { subject: { organization: 'c' }, whatIf: { agreement: {}, without: [{ kind: 'consent', id: 'x' }] } });
    await ask(await world.person('physician-c'));
    const { body } = await herself.get('/fhir/AuditEvent?subtype=explain&_count=2');
    const events = body.entry.map((e: { resource: { outcome: string; outcomeDesc: string } }) => e.resource);
    expect(events.map((e: { outcome: string; outcomeDesc: string }) => [e.outcome, e.outcomeDesc])).toEqual([
      ['4', 'read'],
      ['0', 'read as physician of c for TREAT without consent x with an agreement'],
    ]);
  });
  it('is refused with the element that is wrong', async () => {
    for (const [more, at] of [
      [{ action: 'own' }, 'action'],
      [{ resource: '../x' }, 'resource'],
      [{ whatIf: { without: [{ kind: 'patient', id: 'x' }] } }, 'whatIf.without.0.kind'],
      [{ whatIf: { agreement: { custodian: 'a' } } }, 'whatIf.agreement'],
      [{ subject: { role: 'auditor', purpose: 'TREAT' } }, 'subject.purpose'],
      [{ subject: { organization: 'b', purpose: 'HCOMPL' } }, 'subject.purpose'],
    ] as const) {
      const { status, body } = await ask(auditor, more);
      expect([status, body.issue[0].expression]).toEqual([400, [at]]);
    }
  });
});
