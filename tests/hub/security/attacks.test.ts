import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { systems } from '../../../fhir-profiles/codes.js';
import { bindAccount } from '../../../hub/access/authentication/accounts.js';
import { bindPatientByIdentifier } from '../../../hub/access/authentication/bind-patient.js';
import type { Role } from '../../../hub/access/caller.js';
import { ROUTE_SCOPES } from '../../../hub/api/route-scopes.js';
import { providerToken, signIn } from '../../../hub/demo/sign-in.js';
import { type Client, clientOf, NATIONAL, openWorld, organization, type World } from './world.js';

let world: World;
let auditor: Client;
beforeAll(async () => {
  world = await openWorld({ config: { rateLimit: 1, rateBurst: 400 } });
  await world.hub.enrol({ username: 'keeper', role: 'hub-administrator', organizationId: 'commission' });
  auditor = await world.person('auditor');
});
afterAll(() => world.hub.stop());

const nobody = 'nobody-of-this-id';

/** What an administrator finds in the audit of the last thing that his people tried. */
async function told(administrator: Client, subtype: string, count = 1): Promise<string[]> {
  const { body } = await administrator.get(`/fhir/AuditEvent?_count=${count}&subtype=${subtype}`);
  return body.entry.map(({ resource }: { resource: Record<string, unknown> }) => {
    const { id: _id, recorded: _recorded, ...rest } = resource;
    const entity = (rest.entity as { type: { code: string } }[]).filter((e) => e.type.code !== 'XrequestId');
    return JSON.stringify({ ...rest, entity });
  });
}

describe('the audit that an administrator reads does not tell what is not there from what his hospital may not know of', () => {
  const tries: [string, (by: Client, id: string) => Promise<unknown>, string][] = [
    ['an explanation', (by, id) => by.post({ resource: `ImagingStudy/${id}`, action: 'read' }, '/access/explain'), 'explain'],
    ['an update', (by, id) => by.put({ ...world.studyOfA, id }), 'update'],
    ['a read', (by, id) => by.get(`/fhir/ImagingStudy/${id}`), 'read'],
  ];
  it.each(tries)('by %s', async (_what, attempt, subtype) => {
    const administrator = await world.person('administrator-c');
    await attempt(administrator, world.studyOfA.id);
    const hidden = await told(administrator, subtype);
    await attempt(administrator, nobody);
    expect((await told(administrator, subtype))[0]).toBe(hidden[0]!.replaceAll(world.studyOfA.id, nobody));
  });

  it('by a break-glass that is refused; the patient finds it, and who tried', async () => {
    const administrator = await world.person('administrator-c');
    const physician = await world.person('physician-c');
    const breakGlass = (value: string) =>
      physician.post(
        { patient: { identifier: { system: systems.nationalIdentifier, value } }, reason: 'other', statement: 'A statement.' },
        '/access/break-glass',
      );
    expect((await breakGlass('11010519700102888X')).status).toBe(201);
    await world.hub.db.pool.query("update exceptional_access set review_due = now() - interval '1 hour'");
    const before = (await told(administrator, 'break-glass', 50)).length;
    expect((await breakGlass('11010519700102888X')).status).toBe(403);
    expect((await breakGlass(NATIONAL)).status).toBe(403);
    const found = await told(administrator, 'break-glass', 50);
    expect(found.length).toBe(before + 2);
    expect(found[0]).toBe(found[1]);
    const { body } = await (await world.person('patient-1')).get('/fhir/AuditEvent?subtype=break-glass');
    const outcomes = body.entry.map((e: { resource: { outcomeDesc: string } }) => e.resource.outcomeDesc);
    expect(outcomes).toContain('review-overdue: other (Organization/c)');
  });
});

describe('what was asked and shown is on record in full', () => {
  const typed = async () => {
    const { body } = await auditor.get('/fhir/AuditEvent?subtype=search-type&_count=1&agent=physician-a');
    return body.entry[0].resource.entity.map((e: { description?: string }) => e.description).join('');
  };
  it('behind no heap of parameters', async () => {
    const physician = await world.person('physician-a');
    const junk = `junk=${'x'.repeat(1990)}`;
    await physician.get(`/fhir/ImagingStudy?${junk}&${junk}&${junk}&patient=${nobody}`);
    expect(await typed()).toContain(`patient=${nobody}`);
    const tooLong = await physician.get(`/fhir/ImagingStudy?${[junk, junk, junk, junk, junk].join('&')}&patient=${nobody}`);
    expect([tooLong.status, tooLong.body.issue[0].code]).toEqual([400, 'invalid']);
  });

  it('as it was asked and not as another search', async () => {
    await (await world.person('physician-a')).get('/fhir/Patient?name=x%26gender%3Dmale%25');
    expect(await typed()).toContain('name=x%26gender=male%25');
  });

  it('every record, where a search shows more than one entry names', async () => {
    const at = `Organization/${'x'.repeat(10)}`;
    const entity = Array.from({ length: 230 }, (_, i) => `${at}${i}`);
    const entry = { type: 'rest', subtype: 'many', action: 'R', outcome: 0, agent: 'Device/hub', requestId: 'many' } as const;
    await world.hub.hub.audit.commit([{ ...entry, entity }]);
    const { rows } = await world.hub.db.pool.query("select entity from audit_event where subtype = 'many' order by id");
    expect(rows.map((row) => row.entity.length)).toEqual([100, 100, 30]);
    expect(rows.flatMap((row) => row.entity)).toEqual(entity);
  });

  it('by a search of the audit that is bounded like any other', async () => {
    const token = await world.hub.person('patient-1');
    const flood = Array(2000).fill('date=ge2020').join('&');
    const answer = await world.hub
      .http()
      .post('/fhir/AuditEvent/_search')
      .set('authorization', `Bearer ${token}`)
      .type('form')
      .send(flood);
    expect(answer.status).toBe(400);
  });
});

describe('nobody is two', () => {
  it('who signs an agreement for both sides by two accounts', async () => {
    const admin = clientOf(world.hub, await world.hub.system('commission', 'hub-administrator'));
    const agreement = {
      resourceType: 'OrganizationAffiliation',
      id: 'of-one-person',
      active: true,
      period: { start: '2026-01-01' },
      organization: organization('a'),
      participatingOrganization: organization('c'),
      code: [{ coding: [{ system: systems.affiliationKind, code: 'sharing-agreement' }] }],
    };
    expect((await admin.put(agreement)).status).toBe(201);
    const signs = async (organizationId: string) => {
      const username = `one-person-at-${organizationId}`;
      const roles: Role[] = ['hospital-administrator'];
      await world.hub.enrol({ username, role: 'hospital-administrator', organizationId });
      await bindAccount(world.hub.db, {
        issuer: `${world.hub.url}/demo-idp`,
        subject: username,
        name: username,
        roles,
        organizationId,
        practitionerId: 'one-person',
      });
      const client = await world.person(username);
      const { digest } = (await client.get('/access/agreements/of-one-person')).body;
      return (await client.post({ digest }, '/access/agreements/of-one-person/signature')).status;
    };
    expect([await signs('a'), await signs('c')]).toEqual([200, 409]);
  });

  it('who proposes a policy by a system and publishes it in person', async () => {
    const system = clientOf(world.hub, await world.hub.system('commission', 'hub-administrator'));
    expect((await system.post({ note: 'by a system', restores: 1 }, '/access/policy/proposals')).status).toBe(403);
  });
});

it('a policy with what can not be stored is refused, not an error', async () => {
  const keeper = await world.person('keeper');
  for (const [element, body] of [
    ['note', { note: 'a note\u0000', restores: 1 }],
    ['rules', { note: 'a note', rules: '# \u0000', examples: {} }],
    ['examples', { note: 'a note', rules: '', examples: { a: { description: '\ud800' } } }],
  ] as const) {
    const answer = await keeper.post(body, '/access/policy/proposals');
    expect([answer.status, answer.body.issue[0].expression]).toEqual([400, [element]]);
  }
});

describe('an app with a narrow scope', () => {
  const narrow = async (username: string, scope: string) =>
    clientOf(world.hub, await signIn({ baseUrl: world.hub.url, username, password: 'test-password', scope }));

  it.each([
    ['auditor', 'get', '/access/exceptional'],
    ['auditor', 'post', '/access/exceptional/x/review'],
    ['auditor', 'post', '/access/policy/replay'],
    ['patient-1', 'get', '/access/exceptional'],
    ['officer', 'get', '/reports/deidentified-studies'],
    ['officer', 'post', '/access/oversight-cases'],
    ['steward-a', 'get', '/identity/links'],
    ['steward-a', 'post', '/identity/links/x/accept'],
    ['administrator-a', 'get', '/quarantine'],
    ['administrator-a', 'post', '/access/exceptional/x/flag'],
    ['keeper', 'get', '/access/policy'],
    ['keeper', 'post', '/access/policy/proposals/x/publish'],
    ['physician-d', 'post', '/access/break-glass'],
  ] as const)('of %s does not %s %s, and the try is on record', async (username, method, path) => {
    const context = username.startsWith('patient') ? 'patient' : 'user';
    const client = await narrow(username, `${context}/Device.r`);
    const answer = method === 'get' ? await client.get(path) : await client.post({}, path);
    expect([answer.status, answer.text]).toEqual([403, expect.stringContaining('scope')]);
    const { rows } = await world.hub.db.pool.query(
      'select subtype, outcome, query from audit_event order by recorded desc, id desc limit 1',
    );
    expect(rows).toEqual([{ subtype: 'scope', outcome: 4, query: `${method} ${path}` }]);
  });

  it('finds no route outside FHIR that forgot to say what it needs', () => {
    const routes = world.hub.hub.server
      .table()
      .filter((route) => (route.settings.auth as unknown) !== false && !/^\/(fhir|dicomweb|demo-idp)\b/.test(route.path))
      .map((route) => `${route.method} ${route.path}`);
    expect(routes.filter((route) => !Object.hasOwn(ROUTE_SCOPES, route))).toEqual([]);
    expect(Object.keys(ROUTE_SCOPES).filter((route) => !routes.includes(route))).toEqual([]);
  });
});

it("a hospital's word lifts no label of another's record; the patient's own does", async () => {
  const label = { system: systems.confidentiality, code: 'R' };
  const study = await world.study('a', world.patientOfA, { meta: { security: [label] } });
  const read = async () => (await (await world.person('physician-b')).get(`/fhir/ImagingStudy/${study.id}`)).status;
  const permit = (patient: string) => ({
    resourceType: 'Consent',
    status: 'active',
    scope: { coding: [{ system: systems.consentScope, code: 'patient-privacy' }] },
    category: [{ coding: [{ system: systems.loinc, code: '59284-0' }] }],
    patient: { reference: `Patient/${patient}` },
    dateTime: '2026-01-01',
    policy: [{ uri: 'https://federation-hub.example/policies/x' }],
    provision: { type: 'permit', securityLabel: [label] },
  });
  expect(await read()).toBe(403);
  expect((await world.systems.b.post(permit(world.patientOfB.id))).status).toBe(201);
  expect(await read()).toBe(403);
  // said of the Patient of the hospital that asks, by herself
  await world.hub.enrol({ username: 'patient-at-b', role: 'patient', patientId: world.patientOfB.id });
  const herself = await world.person('patient-at-b');
  expect((await herself.post(permit(world.patientOfB.id))).status).toBe(201);
  expect(await read()).toBe(200);
});

it('a login is bound whatever its issuer calls her', async () => {
  const identity = { issuer: 'https://issuer.example', subject: 's', nationalIdentifier: NATIONAL };
  const name = `\u0000Dr.\n\u202eWang ${'x'.repeat(9000)}`;
  const id = await world.hub.db.transaction((tx) => bindPatientByIdentifier(tx, { ...identity, name }));
  const { rows } = await world.hub.db.pool.query('select name from account where id = $1', [id]);
  expect(rows[0].name).toMatch(/^Dr\. Wang x{191}$/);
});

it('tokens are exchanged within the budget of who signed in', async () => {
  const subject = await providerToken(world.hub.url, 'physician-b', 'test-password');
  const exchange = () =>
    world.hub.http().post('/token').type('form').send({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: subject,
      subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    });
  const statuses: number[] = [];
  for (let i = 0; i < 100; i += 1) statuses.push((await exchange()).status);
  expect(new Set(statuses)).toEqual(new Set([200, 429]));
});
