import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readPolicyTexts } from '../../../policies/policy-texts.js';
import { insertEpoch, lockPolicy, readEpoch } from '../../../hub/access/epochs/epochs.sql.js';
import { lackingOf } from '../../../hub/access/epochs/shipped-additions.js';
import { takeShippedPolicy } from '../../../hub/access/epochs/shipped-policy.js';
import { digestOf } from '../../../hub/access/epochs/sound-policy.js';
import { vocabulary } from '../../../hub/access/policy/vocabulary.js';
import { raw, sql } from '../../../hub/store/sql.js';
import { samplePatient, sampleStudy } from '../../support/fhir-samples.js';
import { type RunningHub, startHub } from '../../support/running-hub.js';
import { type TestDatabase, testDatabase } from '../../support/test-database.js';
import { type Client, clientOf, made } from '../security/world.js';
import { hub as command } from '../commands/command-line.js';
import { asProposal, ofEarlierVersion, withoutOperations } from './policies.js';

let database: TestDatabase;
let hubs: RunningHub[];
let keeper: Client;
let other: Client;
let auditor: Client;
/** The hospital's system, for operations, at each hub process. */
let operations: Client[];
let study: string;

beforeAll(async () => {
  database = await testDatabase();
  const first = await startHub({ database });
  const second = await startHub({ database, config: { publicUrl: first.url, oidcIssuer: `${first.url}/demo-idp` } });
  hubs = [first, second];
  await first.join([{ id: 'a', assigner: 'urn:oid:1.2.3.4' }]);
  await first.enrol(
    { username: 'keeper', role: 'hub-administrator', organizationId: 'commission' },
    { username: 'other', role: 'hub-administrator', organizationId: 'commission' },
    { username: 'auditor', role: 'auditor', organizationId: 'commission' },
    { username: 'administrator', role: 'hospital-administrator', organizationId: 'a' },
  );
  const person = async (name: string) => clientOf(first, await first.person(name));
  [keeper, other, auditor] = (await Promise.all(['keeper', 'other', 'auditor'].map(person))) as [Client, Client, Client];
  const own = clientOf(first, await first.system('a'));
  const patient = made(await own.post(samplePatient('urn:oid:1.2.3.4', '1')));
  study = `/fhir/ImagingStudy/${made(await own.post(sampleStudy(patient.id))).id}`;
  const token = await first.system('a', 'hospital-system', 'HOPERAT');
  operations = hubs.map((hub) => clientOf(hub, token));
});
afterAll(async () => {
  for (const hub of hubs) await hub.stop();
  await database.close();
});

const read = async (): Promise<number[]> => Promise.all(operations.map(async (client) => (await client.get(study)).status));
const propose = (body: object, by = keeper) => by.post(body, '/access/policy/proposals');
const step = (id: string, what: 'publish' | 'withdraw', by: Client) => by.post({}, `/access/policy/proposals/${id}/${what}`);
const inForce = async () => (await auditor.get('/access/policy')).body.epochs[0];
const entries = (subtype: string) =>
  database.db.query<{ agent: string; outcome: number; entity: string[]; detail: string; policy_epoch: number | null }>(
    sql`select agent, outcome, entity, detail, policy_epoch from audit_event where type = 'policy' and subtype = ${subtype} order by recorded, id`,
  );

/** Of an entry about the study: the newest, as AuditEvent. */
async function newestEvent(): Promise<string> {
  const id = study.replace('/fhir/', '');
  const { body } = await auditor.get(`/fhir/AuditEvent?entity=${id}&subtype=read&_count=1`);
  return body.entry[0].resource.id;
}

describe('the policy', () => {
  it('is that of the program on a database that had none', async () => {
    expect(await inForce()).toMatchObject({ number: 1, proposedBy: 'Device/hub', publishedBy: 'Device/hub' });
    const { body } = await keeper.get('/access/policy/epochs/1');
    expect(body.rules).toBe(readPolicyTexts().rules);
    expect(Object.keys(body.examples)).toHaveLength(readPolicyTexts().examples.length);
  });

  it('is nothing for others, whose tries are on record', async () => {
    const administrator = clientOf(hubs[0]!, await hubs[0]!.person('administrator'));
    const [own] = operations as [Client, Client];
    for (const client of [administrator, own]) {
      expect((await client.get('/access/policy')).status).toBe(403);
      expect((await client.get('/access/policy/epochs/1')).status).toBe(403);
      expect((await propose(asProposal(withoutOperations()), client)).status).toBe(403);
      expect((await client.post({ auditEvent: '1-1' }, '/access/policy/replay')).status).toBe(403);
    }
    expect((await propose(asProposal(withoutOperations()), auditor)).status).toBe(403);
    expect((await keeper.post({ auditEvent: '1-1' }, '/access/policy/replay')).status).toBe(403);
    expect((await entries('propose')).map(({ outcome }) => outcome)).toEqual([4, 4, 4]);
    expect((await entries('replay')).map(({ outcome }) => outcome)).toEqual([4, 4, 4]);
  });

  it('is refused with each fault and its line', async () => {
    const { rules, examples } = asProposal(readPolicyTexts());
    const lines = rules.split('\n');
    const at = lines.findIndex((line) => line.startsWith('p, own-care,'));
    lines[at] = 'p, own-care, surgeon, peek, chart, care, own, allow';
    const answer = await propose({ note: 'with faults', rules: lines.join('\n'), examples });
    expect(answer.status).toBe(422);
    expect(answer.body.issue.map((i: { diagnostics: string }) => i.diagnostics)).toEqual([
      `line ${at + 1}: rule 'own-care': role 'surgeon' is unknown`,
      `line ${at + 1}: rule 'own-care': action 'peek' is unknown`,
    ]);
  });

  it.each([
    ['nothing', {}, /note/],
    ['no reason', { ...asProposal(readPolicyTexts()), note: '' }, /note/],
    ['no examples', { note: 'without', rules: 'p, x' }, /examples/],
    ['examples that are none', { note: 'without', rules: 'p, x', examples: { 'permit/x.json': { a: 1 } } }, /permit\/x.json/],
    ['an example by another name', { note: 'without', rules: 'p, x', examples: { '../x': {} } }, /name/],
    ['an epoch that is not there', { note: 'what is it', restores: 99 }, /no epoch 99/],
    ['an epoch and rules', { note: 'what is it', restores: 1, rules: 'p, x' }, /brought back whole/],
    ['a model', { ...asProposal(readPolicyTexts()), model: 'm = true' }, /model/],
  ])('is not proposed by %s', async (_name, body, text) => {
    const answer = await propose(body);
    expect([400, 422]).toContain(answer.status);
    expect(answer.text).toMatch(text);
  });

  it('can’t deny what the program’s examples permit, unless it says which and why; and never permit what they deny', async () => {
    const narrower = asProposal(withoutOperations());
    const silent = await propose({ ...narrower, superseded: {} });
    expect([silent.status, silent.text]).toEqual([422, expect.stringContaining('system-reads-own-for-operations')]);
    const wider = asProposal(readPolicyTexts());
    const rules = `${wider.rules}\np, curious, auditor, see, clinical, HCOMPL, own, allow\n`;
    const examples = Object.fromEntries(
      Object.entries(wider.examples).filter(([name]) => name !== 'deny/auditor-reads-no-study.json'),
    );
    const widened = await propose({ ...wider, rules, examples });
    expect([widened.status, widened.text]).toEqual([422, expect.stringContaining('auditor-reads-no-study')]);
    const named = await propose({
      ...wider,
      rules,
      examples,
      superseded: { 'deny/auditor-reads-no-study.json': 'we trust them all' },
    });
    expect([named.status, named.text]).toEqual([422, expect.stringContaining('is a denial')]);
  });

  it('is published by another person than who proposed it, for every process at once, and brought back', async () => {
    expect(await read()).toEqual([200, 200]);
    const proposal = await propose(asProposal(withoutOperations()));
    expect(proposal).toMatchObject({ status: 201, body: { base: 1 } });
    expect(proposal.body.removed).toContainEqual(expect.stringContaining('p, own-operations,'));
    const { id } = proposal.body;
    expect((await step(id, 'publish', keeper)).status).toBe(403);
    const system = clientOf(hubs[0]!, await hubs[0]!.system('commission', 'hub-administrator'));
    expect((await step(id, 'publish', system)).status).toBe(403);
    expect((await step(id, 'publish', auditor)).status).toBe(403);
    expect(await read()).toEqual([200, 200]);
    const stale = (await propose(asProposal(withoutOperations(), 'the same again'))).body.id;
    expect(await step(id, 'publish', other)).toMatchObject({ status: 200, body: { number: 2 } });
    expect(await read()).toEqual([404, 404]);
    expect((await step(id, 'publish', other)).status).toBe(404);
    expect((await step(stale, 'publish', other)).status).toBe(409);
    expect((await step(stale, 'withdraw', other)).status).toBe(200);
    const { id: back } = (await propose({ note: 'it was needed after all', restores: 1 }, other)).body;
    expect(await step(back, 'publish', keeper)).toMatchObject({ status: 200, body: { number: 3, restores: 1 } });
    expect(await read()).toEqual([200, 200]);
    const { body } = await auditor.get('/access/policy');
    expect(body.epochs.map((e: { number: number }) => e.number)).toEqual([3, 2, 1]);
    expect(body.proposals).toEqual([]);
    expect(body.epochs[0].digest).toBe(body.epochs[2].digest);
    const published = await entries('publish');
    expect(published.filter(({ outcome }) => outcome === 0).map(({ entity }) => entity[0])).toEqual([
      'PolicyEpoch/2',
      'PolicyEpoch/3',
    ]);
    expect(published.filter(({ outcome }) => outcome === 4)).toHaveLength(5);
  });

  it('decides a past request again as it was recorded, and says what it would decide today', async () => {
    const again = async (auditEvent: string) => (await auditor.post({ auditEvent }, '/access/policy/replay')).body;
    await read();
    const granted = await newestEvent();
    expect(await again(granted)).toMatchObject({
      epoch: 3,
      recorded: { allowed: true, rule: 'own-operations' },
      same: true,
      questions: [
        { action: 'read', object: 'ImagingStudy', replayed: { allowed: true }, today: { allowed: true, rule: 'own-operations' } },
      ],
    });
    const { id } = (await propose(asProposal(withoutOperations()))).body;
    await step(id, 'publish', other);
    expect(await read()).toEqual([404, 404]);
    expect(await again(granted)).toMatchObject({
      epoch: 3,
      current: 4,
      same: true,
      questions: [{ today: { allowed: false, rule: '' } }],
    });
    const denied = await newestEvent();
    expect(await again(denied)).toMatchObject({
      epoch: 4,
      recorded: { allowed: false, rule: '' },
      same: true,
      // nobody looked then at the condition that would allow it, for no rule asked
      questions: [{ replayed: { allowed: false, rule: '' } }],
    });
    expect((await auditor.post({ auditEvent: '1-1' }, '/access/policy/replay')).status).toBe(404);
    const { id: back } = (await propose({ note: 'and back again', restores: 3 })).body;
    expect((await step(back, 'publish', other)).body).toMatchObject({ number: 5 });
    const found = await database.db.query<{ n: number }>(
      sql`select count(*)::int as n from audit_event where outcome = 0 and subtype = 'replay'`,
    );
    expect(found[0]?.n).toBe(3);
  });

  it('of every audited decision comes out the same when it is made again', async () => {
    const [own] = operations as [Client, Client];
    await own.get('/fhir/ImagingStudy?_include=ImagingStudy:subject');
    await own.get('/fhir/Patient');
    await own.put({ ...(await own.get(study)).body, description: 'changed' });
    const rows = await database.db.query<{ id: string }>(sql`
      select (extract(epoch from recorded) * 1000000)::bigint || '-' || id as id from audit_event where decided_on is not null`);
    expect(rows.length).toBeGreaterThan(15);
    for (const { id } of rows)
      expect([id, (await auditor.post({ auditEvent: id }, '/access/policy/replay')).body.same]).toEqual([id, true]);
  });

  it('that this program can’t enforce lets nobody in, loudly, until one is published that it can', async () => {
    const { texts } = (await readEpoch(database.db, 5))!;
    const rules = `${texts.rules}\np, newer, physician, teleport, chart, care, own, allow\n`;
    await database.db.query(sql`
      insert into policy_epoch (number, digest, model, rules, examples, superseded, vocabulary, note, proposed_by, published_by)
      select 6, ${digestOf({ ...texts, rules })}, model, ${rules}, examples, superseded, vocabulary, note, 'x', 'y'
      from policy_epoch where number = 5`);
    expect(await read()).toEqual([503, 503]);
    for (const client of [keeper, auditor]) expect((await client.get('/access/policy')).status).toBe(503);
    for (const hub of hubs) {
      const { status, body } = await clientOf(hub, undefined).get('/readyz');
      expect({ status, policy: body.checks.policy }).toEqual({ status: 503, policy: 'failed' });
    }
    const environment = { DATABASE_URL: database.url, HUB_SECRET: 'secret-of-the-tests-only' };
    expect(await command(['policy', 'check'], environment)).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('teleport'),
    });
    expect((await command(['policy', 'publish', '--note', 'the program’s own again'], environment)).stdout).toContain(
      'proposed as',
    );
    expect(await read()).toEqual([503, 503]);
    const done = await command(['policy', 'publish', '--at-once', '--note', 'the program’s own again'], environment);
    expect(done).toMatchObject({ status: 0, stdout: 'epoch 7 is in force\n' });
    expect(await read()).toEqual([200, 200]);
    expect((await command(['policy', 'diff'], environment)).stdout).toBe('no difference to epoch 7\n');
    expect((await command(['policy', 'history'], environment)).stdout).toMatch(/^7 .*command-line/m);
    expect((await command(['policy', 'rollback', '2', '--note', 'as it was once', '--at-once'], environment)).status).toBe(0);
    expect(await read()).toEqual([404, 404]);
    expect((await command(['policy', 'replay', await newestEvent()], environment)).status).toBe(0);
  });

  it('of an earlier version goes on after an upgrade, says what it lacks, and gets it by two people', async () => {
    const earlier = ofEarlierVersion(['own-verified', 'party-verified', 'agreement-score'], ['g3, verify, disclosing']);
    await database.db.transaction(async (tx) => {
      await lockPolicy(tx);
      const by = { proposedBy: 'x', publishedBy: 'y', note: 'of an earlier version' };
      await insertEpoch(tx, { texts: earlier, digest: digestOf(earlier), vocabulary, ...by });
    });
    expect(await read()).toEqual([200, 200]);
    expect((await clientOf(hubs[0]!, undefined).get('/readyz')).body.checks.policy).toBe('ok');
    expect((await takeShippedPolicy(database.db, async () => undefined)).lacks).toHaveLength(4);
    expect((await clientOf(hubs[0]!, undefined).get('/metrics')).text).toContain('hub_policy_rules_lacking 4');
    const environment = { DATABASE_URL: database.url, HUB_SECRET: 'secret-of-the-tests-only' };
    const status = await command(['policy', 'status'], environment);
    expect(status.status).toBe(1);
    expect(status.stdout.match(/^lacks {2}.*$/gm)).toEqual([
      'lacks  p, agreement-score, clinician, score, clinical, care, agreement-score, allow',
      'lacks  p, own-verified, physician, verify, DiagnosticReport, TREAT, own, allow',
      'lacks  p, party-verified, physician, verify, DiagnosticReport, TREAT, party, allow',
      'lacks  g3, verify, disclosing',
    ]);
    // what was in force may go on; what is published anew knows the program's examples
    expect((await propose(asProposal(earlier))).status).toBe(422);
    const { stdout } = await command(['policy', 'upgrade', '--note', 'the rights of the new version'], environment);
    const [, id = ''] = /^proposed as (\S+);/.exec(stdout) ?? [];
    expect((await step(id, 'publish', keeper)).status).toBe(200);
    expect(await command(['policy', 'status'], environment)).toMatchObject({
      status: 0,
      stdout: expect.stringContaining('it has every rule of the program'),
    });
  });

  it('lacks nothing that the region has given up by name', () => {
    expect(lackingOf(withoutOperations())).toEqual({ lines: [], examples: [] });
    const own = {
      ...readPolicyTexts(),
      rules: readPolicyTexts().rules.replace('p, own-care, clinician', 'p, own-care, physician'),
    };
    expect(lackingOf(own)).toEqual({ lines: [], examples: [] });
  });

  it('once published is never changed', async () => {
    for (const statement of ["update policy_epoch set rules = ''", 'delete from policy_epoch', 'truncate policy_epoch cascade'])
      await expect(database.db.query(raw(statement))).rejects.toThrow();
  });
});
