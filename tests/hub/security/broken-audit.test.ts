import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pino from 'pino';
import { administer } from '../../support/global-setup.js';
import { bundleOf, post, samplePatient } from '../../support/fhir-samples.js';
import { assigner, clientOf, NAME, NATIONAL, openWorld, studyUidOf, type Client, type World } from './world.js';

let world: World;
const lines: string[] = [];

beforeAll(async () => {
  world = await openWorld({ log: pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) }) });
});
afterAll(() => world.hub.stop());

const statement = (text: string) => world.hub.db.pool.query(text);

/** Requests of every kind that show something, by the one who may see it. */
async function requests(): Promise<[string, (client: Client) => ReturnType<Client['get']>, Client][]> {
  const { studyOfA, patientOfA } = world;
  const own = world.systems.a;
  const [physician, steward, administrator, officer, auditor, patient] = (await Promise.all(
    ['physician-b', 'steward-a', 'administrator-a', 'officer', 'auditor', 'patient-1'].map((name) => world.person(name)),
  )) as [Client, Client, Client, Client, Client, Client];
  const gets: [string, Client][] = [
    [`/fhir/ImagingStudy/${studyOfA.id}`, physician],
    [`/fhir/ImagingStudy/${studyOfA.id}/_history`, physician],
    [`/fhir/ImagingStudy/${studyOfA.id}/_history/1`, physician],
    [`/fhir/ImagingStudy?patient=${patientOfA.id}`, physician],
    [`/fhir/ImagingStudy?patient=${patientOfA.id}&_summary=count`, physician],
    [`/fhir/Patient?name=${encodeURIComponent(NAME)}`, physician],
    ['/fhir/Patient/0190aaaa-0000-7000-8000-000000000000', physician],
    ['/fhir/Organization/a', physician],
    ['/fhir/AuditEvent', patient],
    ['/fhir/AuditEvent', auditor],
    ['/audit/tree-heads', auditor],
    ['/audit/tree-heads/latest', auditor],
    ['/audit/proof/inclusion?event=1-1', auditor],
    ['/audit/proof/consistency?from=1', auditor],
    ['/audit/export', auditor],
    ['/audit/export', physician],
    [`/dicomweb/studies/${studyUidOf(studyOfA)}`, physician],
    [`/dicomweb/studies/${studyUidOf(studyOfA)}/metadata`, physician],
    ['/quarantine', administrator],
    ['/identity/links', steward],
    ['/reports/exchange-volume', officer],
    ['/reports/exchange-volume', physician],
    ['/quarantine', physician],
  ];
  const about = { resource: `ImagingStudy/${studyOfA.id}`, action: 'read' };
  const entry = { request: { method: 'GET', url: `ImagingStudy/${studyOfA.id}` } };
  const conditional = { 'if-none-exist': `identifier=${encodeURIComponent(`${assigner('a')}|A1`)}` };
  return [
    ...gets.map(
      ([path, client]) =>
        [path, (c: Client) => c.get(path), client] as [string, (c: Client) => ReturnType<Client['get']>, Client],
    ),
    ['explain', (c) => c.post(about, '/access/explain'), physician],
    ['batch', (c) => c.post(bundleOf('batch', [entry]), '/fhir'), physician],
    ['create', (c) => c.post(samplePatient(assigner('a'), 'N1')), own],
    ['refused create', (c) => c.post(samplePatient(assigner('a'), 'N1')), physician],
    ['conditional create', (c) => c.post(samplePatient(assigner('a'), 'A1'), undefined, conditional), own],
    ['update', (c) => c.put(patientOfA), own],
    ['transaction', (c) => c.post(bundleOf('transaction', [post(samplePatient(assigner('a'), 'N2'))]), '/fhir'), own],
    [
      'conditional create in a transaction',
      (c) =>
        c.post(
          bundleOf('transaction', [post(samplePatient(assigner('a'), 'A1'), { ifNoneExist: conditional['if-none-exist'] })]),
          '/fhir',
        ),
      own,
    ],
  ];
}

const administrator = (text: string) => administer(process.env.TEST_DATABASE_SERVER!, text);
/** The setting holds for new connections, so the hub's are cut. */
const readOnly = async (on: boolean) => {
  const name = (await statement('select current_database() as name')).rows[0].name;
  await administrator(`alter database ${name} set default_transaction_read_only = ${on}`);
  await administrator(`select pg_terminate_backend(pid, 60000) from pg_stat_activity where datname = '${name}'`);
  await sleep(100); // the pools hear of it by the end of each connection
};
/** Ways to break it, each with the way back. */
const breakages: [string, () => Promise<unknown>, () => Promise<unknown>][] = [
  [
    'it refuses entries',
    () =>
      statement(`
      create or replace function not_permitted() returns trigger language plpgsql as $$
      begin raise insufficient_privilege; end $$;
      create trigger not_permitted before insert on audit_event for each row execute function not_permitted()`),
    () => statement('drop trigger not_permitted on audit_event'),
  ],
  [
    'it is gone',
    () => statement('alter table audit_event rename to elsewhere'),
    () => statement('alter table elsewhere rename to audit_event'),
  ],
  ['the database takes no writes', () => readOnly(true), () => readOnly(false)],
];

describe('while the audit can not be written', () => {
  it.each(breakages)('because %s, nothing is shown, changed or even refused', async (_, breakIt, mend) => {
    const all = await requests();
    await breakIt();
    try {
      for (const [name, ask, client] of all) {
        const { status, text, headers } = await ask(client);
        expect([name, status, text]).toEqual([name, 503, expect.stringContaining('The service is not available.')]);
        expect(headers['retry-after']).toBeDefined();
      }
    } finally {
      await mend();
    }
    const { rows } = await statement("select count(*)::int as n from patient_identifier where value in ('N1', 'N2')");
    expect(rows[0].n).toBe(0);
  });
  it('and all of it is answered once it can', async () => {
    for (const [name, ask, client] of await requests()) expect([name, (await ask(client)).status]).not.toEqual([name, 503]);
  });
  it('every one of these requests leaves an entry when it can', async () => {
    for (const [name, ask, client] of await requests()) {
      const count = async () =>
        (await statement("select count(*)::int as n from audit_event where type <> 'authentication'")).rows[0].n as number;
      const before = await count();
      await ask(client);
      expect([name, (await count()) > before]).toEqual([name, true]);
    }
  });
});

describe('the log', () => {
  it('holds no patient data and no token, also when the database quotes what it could not take', async () => {
    const token = await world.hub.system('a');
    const client = clientOf(world.hub, token);
    await statement("alter table resource add constraint no_more check (type <> 'Patient') not valid");
    await statement(
      "alter table audit_event add constraint no_names check (query is null or query not like 'Patient?%') not valid",
    );
    const national = { system: 'https://federation-hub.example/fhir/NamingSystem/x', value: NATIONAL };
    expect((await client.post(samplePatient(assigner('a'), 'L1', { identifier: [national] }))).status).toBe(500);
    expect((await client.get(`/fhir/Patient?name=${encodeURIComponent(NAME)}`)).status).toBe(503);
    await client.post({ resourceType: 'Patient', name: [{ text: `${NAME}\u0000` }] });
    await client.get('/fhir/Patient?birthdate=1970-13-99');
    await clientOf(world.hub, `${token}x`).get('/fhir/Patient');
    await statement('alter table resource drop constraint no_more');
    await statement('alter table audit_event drop constraint no_names');
    const log = lines.join('');
    expect(log).toContain('request failed');
    expect(log).toContain('audit not written');
    for (const word of [
      NAME,
      encodeURIComponent(NAME),
      '1970-01-02',
      '1970-13-99',
      NATIONAL,
      'L1',
      token.slice(0, 40),
      world.patientOfA.id,
      world.studyOfA.id,
      studyUidOf(world.studyOfA),
    ])
      expect([word, log.includes(word)]).toEqual([word, false]);
  });
});
