import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readPolicyTexts } from '../../../policies/policy-texts.js';
import { openQuery } from '../../../hub/audit/sealed-query.js';
import { insertEpoch, lockPolicy } from '../../../hub/access/epochs/epochs.sql.js';
import { digestOf } from '../../../hub/access/epochs/sound-policy.js';
import { vocabulary } from '../../../hub/access/policy/vocabulary.js';
import { type Database, openDatabase } from '../../../hub/store/database.js';
import { type EmbeddedPostgres, removeEmbeddedPostgres, startEmbeddedPostgres } from '../../../hub/store/embedded.js';
import { raw, type Sql, sql } from '../../../hub/store/sql.js';
import { samplePatient, sampleStudy } from '../../support/fhir-samples.js';
import { joinHospital, startHubProcess, type TestHub } from '../../support/hub-process.js';
import { freePort } from '../../support/free-port.js';
import { testProtection } from '../../support/test-database.js';
import { Fire, type State, wrongAllows } from './fire.js';
import { withoutRule } from './policies.js';

/**
 * Two hub processes on a PostgreSQL of this test's own. B reads a study of A by an agreement; policy, agreement, grant and consent come and go,
 * the database and the audit break, while requests are under way. Counted is what was shown against the state of things.
 */
const DATA = `${process.env.TEST_DATA_DIR ?? '.data'}/under-fire-${process.pid}`;

let postgres: EmbeddedPostgres;
let port: number;
let hubs: TestHub[];
let db: Database;
let fire: Fire;
let owner: { put(path: string, body: object): Promise<number> };
let patientId: string;
const states: State[] = [];

beforeAll(async () => {
  port = await freePort();
  postgres = await startEmbeddedPostgres({ dataDir: DATA, port, durable: false });
  const first = await startHubProcess({ databaseUrl: postgres.url, environment: { HUB_LOG_LEVEL: 'silent' } });
  const second = await startHubProcess({
    databaseUrl: postgres.url,
    environment: { HUB_LOG_LEVEL: 'silent', HUB_PUBLIC_URL: first.url },
  });
  hubs = [first, second];
  db = await openDatabase(postgres.url, { protection: testProtection(), poolSize: 4 });
  const a = await joinHospital(first, { id: 'a', assigner: 'urn:oid:1.2.3.1' });
  const b = await joinHospital(first, { id: 'b', assigner: 'urn:oid:1.2.3.2' });
  const send = async (method: string, path: string, body: object) => {
    const headers = { authorization: `Bearer ${a.token}`, 'content-type': 'application/fhir+json' };
    return fetch(`${first.url}/fhir/${path}`, { method, headers, body: JSON.stringify(body) });
  };
  const made = async (body: { resourceType: string }) =>
    ((await (await send('POST', body.resourceType, body)).json()) as { id: string }).id;
  owner = { put: async (path, body) => (await send('PUT', path, body)).status };
  patientId = await made(samplePatient('urn:oid:1.2.3.1', '1') as never);
  const studyId = await made(sampleStudy(patientId) as never);
  consentId = await made(consent('permit') as never);
  await db.query(AGREEMENT);
  states.push({ began: Number.NEGATIVE_INFINITY, committed: performance.now(), allows: true });
  fire = new Fire({ origins: hubs.map((hub) => hub.url), token: b.token, studyId });
});

afterAll(async () => {
  await fire?.close();
  await db?.close();
  for (const hub of hubs ?? []) await hub.kill();
  await postgres?.stop();
  await removeEmbeddedPostgres(DATA);
});

const AGREEMENT = raw("insert into sharing_agreement (id, custodian_id, recipient_id) values ('s', 'a', 'b')");
const NO_AGREEMENT = raw('delete from sharing_agreement');

let consentId: string;
const consent = (type: 'permit' | 'deny', id?: string) => ({
  resourceType: 'Consent',
  ...(id ? { id } : {}),
  status: 'active',
  scope: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/consentscope', code: 'patient-privacy' }] },
  category: [{ coding: [{ system: 'http://loinc.org', code: '59284-0' }] }],
  patient: { reference: `Patient/${patientId}` },
  dateTime: '2024-03-01',
  performer: [{ reference: `Patient/${patientId}` }],
  policy: [{ uri: 'https://federation-hub.example/policies/opt-in' }],
  provision: { type },
});

/** Makes a change, and notes when it may have taken force and when it had. */
async function change(allows: boolean, work: () => Promise<unknown>): Promise<void> {
  const began = performance.now();
  await work();
  states.push({ began, committed: performance.now(), allows });
}

const statement = (text: Sql) => () => db.query(text);

/** Puts a policy in force as a publisher's transaction does. */
const publish =
  (texts = readPolicyTexts(), restores?: number) =>
  () =>
    db.transaction(async (tx) => {
      await lockPolicy(tx);
      await insertEpoch(tx, {
        texts,
        digest: digestOf(texts),
        vocabulary,
        note: 'under fire',
        restores,
        proposedBy: 'x',
        publishedBy: 'y',
      });
    });

/** Half of the requests are under way when the change comes, half begin once it was acknowledged. */
async function changeUnderFire(allows: boolean, size: number, work: () => Promise<unknown>) {
  const before = fire.wave(size / 2);
  await change(allows, work);
  const after = await fire.wave(size / 2);
  await before;
  return after;
}

describe('under fire', () => {
  it.each([
    ['the policy is published and rolled back', 1000, publish(withoutRule('agreement-care')), publish(undefined, 1)],
    ['an agreement is ended and made again', 200, statement(NO_AGREEMENT), statement(AGREEMENT)],
    [
      'a grant is given beside a policy without agreements, and ended',
      300,
      statement(raw('update access_grant set ended_at = now()')),
      () =>
        db.query(sql`
          insert into access_grant (id, task_id, custodian_id, recipient_id, patient_id, resources, valid_from, granted_by)
          select gen_random_uuid(), 't', 'a', 'b', patient_id, array['ImagingStudy/' || id], now(), 'x' from resource where type = 'ImagingStudy'`),
    ],
    [
      'the patient’s consent is withdrawn and given',
      300,
      async () => expect(await owner.put(`Consent/${consentId}`, consent('deny', consentId))).toBe(200),
      async () => expect(await owner.put(`Consent/${consentId}`, consent('permit', consentId))).toBe(200),
    ],
  ])('nothing is shown against the state of things while %s', async (name, size, deny, allow) => {
    if (name.startsWith('a grant')) await change(false, statement(NO_AGREEMENT));
    for (let round = 0; round < (size > 500 ? 1 : 2); round++) {
      if (name.startsWith('a grant')) await changeUnderFire(true, size, allow);
      const denied = await changeUnderFire(false, size, deny);
      expect(denied.filter((shot) => shot.shown)).toEqual([]);
      expect(denied.filter((shot) => ![200, 403, 404].includes(shot.status))).toEqual([]);
      if (name.startsWith('a grant')) continue;
      const allowed = await changeUnderFire(true, size, allow);
      expect(allowed.filter((shot) => !shot.shown)).toEqual([]);
    }
    if (name.startsWith('a grant')) await change(true, statement(AGREEMENT));
    expect(wrongAllows(fire.shots, states)).toEqual([]);
  });

  it('nothing is shown against the state of things while the policy changes ten times a second', async () => {
    const until = performance.now() + 2000;
    const lanes = Array.from({ length: 16 }, async () => {
      while (performance.now() < until) await fire.wave(2);
    });
    for (let i = 0; performance.now() < until; i++) {
      await change(i % 2 === 1, i % 2 === 1 ? publish(undefined, 1) : publish(withoutRule('agreement-care')));
      await sleep(100);
    }
    await change(true, publish(undefined, 1));
    await Promise.all(lanes);
    expect(wrongAllows(fire.shots, states)).toEqual([]);
  });

  it('nothing is shown while connections to the database are lost, whatever was allowed before', async () => {
    const cut = raw(
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name in ('hub', 'hub-audit', 'hub-policy')",
    );
    const other = await openDatabase(postgres.url, { protection: testProtection(), poolSize: 1 });
    const before = fire.wave(300);
    await change(false, statement(NO_AGREEMENT));
    for (let i = 0; i < 3; i++) {
      const wave = fire.wave(200);
      await other.query(cut).catch(() => undefined);
      expect((await wave).filter((shot) => shot.shown)).toEqual([]);
    }
    await before;
    await other.close().catch(() => undefined);
    await change(true, statement(AGREEMENT));
    expect(wrongAllows(fire.shots, states)).toEqual([]);
  });

  it('nothing is shown while the database is down, and all is as before when it is back', async () => {
    const before = fire.wave(200);
    await change(false, () => postgres.stop());
    const down = await fire.wave(200);
    await before;
    expect(down.filter((shot) => ![0, 503].includes(shot.status))).toEqual([]);
    const began = performance.now();
    postgres = await startEmbeddedPostgres({ dataDir: DATA, port, durable: false });
    states.push({ began, committed: performance.now(), allows: true });
    await expect(back()).resolves.toBe(true);
    expect(wrongAllows(fire.shots, states)).toEqual([]);
  });

  it('nothing is shown while the audit can’t be written', async () => {
    await db.query(raw("create function refused() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$"));
    const broken = await changeUnderFire(
      false,
      400,
      statement(raw('create trigger refused before insert on audit_event for each row execute function refused()')),
    );
    expect(broken.filter((shot) => shot.status !== 503)).toEqual([]);
    await changeUnderFire(true, 100, statement(raw('drop trigger refused on audit_event')));
    expect(wrongAllows(fire.shots, states)).toEqual([]);
  });

  it('each answer that showed the study stands in the audit, with the epoch that decided it', async () => {
    const rows = await db.query<{
      subtype: string;
      request_id: string;
      agent: string;
      query: string | null;
      policy_epoch: number | null;
    }>(sql`
      select subtype, request_id, agent, query, policy_epoch from audit_event
      where outcome = 0 and agent = 'Client/b.system' and subtype in ('read', 'search-type') and basis is not null`);
    const nonceOf = (row: (typeof rows)[number]) => /nonce=(n\d+)/.exec(openQuery(db.protection, row) ?? '')?.[1];
    const searches = new Set(rows.filter((row) => row.subtype === 'search-type').map(nonceOf));
    const shown = fire.shots.filter((shot) => shot.shown);
    expect(shown.filter((shot) => shot.kind === 'search' && !searches.has(shot.nonce))).toEqual([]);
    const reads = shown.filter((shot) => shot.kind === 'read').length;
    expect(rows.filter((row) => row.subtype === 'read').length).toBeGreaterThanOrEqual(reads);
    expect(rows.filter((row) => row.policy_epoch === null)).toEqual([]);
    expect(shown.length).toBeGreaterThan(1000);
    expect(fire.shots.length - shown.length).toBeGreaterThan(1000);
    console.log(
      `under fire: ${fire.shots.length} requests, ${shown.length} showed the study, ${wrongAllows(fire.shots, states).length} wrong allows`,
    );
  });

  it('is counted by a rule that finds a wrong allow', () => {
    const shot = { nonce: 'n', kind: 'read', began: 5, ended: 6, status: 200, shown: true } as const;
    const then = (committed: number): State[] => [
      { began: 0, committed: 1, allows: true },
      { began: 3, committed, allows: false },
    ];
    expect(wrongAllows([shot], then(4))).toEqual([shot]);
    expect(wrongAllows([shot], then(5.5))).toEqual([]);
  });
});

/** The study is shown again by both hubs. */
async function back(): Promise<boolean> {
  for (let i = 0; i < 600; i++) {
    const shots = await fire.wave(4);
    if (shots.every((shot) => shot.shown)) return true;
    await sleep(100);
  }
  return false;
}
