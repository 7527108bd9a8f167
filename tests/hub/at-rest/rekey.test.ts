import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import pino from 'pino';
import { systems } from '../../../fhir-profiles/codes.js';
import { withCheckDigit } from '../../../hub/identity/national-identifier.js';
import { openSettings, type StoredSettings } from '../../../hub/ingest/credentials.js';
import { addSource } from '../../../hub/ingest/hospital.js';
import { findScoreRecord, insertScoreRecord, type ScoreRecord } from '../../../hub/scoring/score-record.js';
import type { Verdict } from '../../../hub/scoring/verdict/verdict.js';
import { findVerdicts, insertVerdict } from '../../../hub/scoring/verdict/verdicts.sql.js';
import { type Database, openDatabase } from '../../../hub/store/database.js';
import { createProtection } from '../../../hub/store/protection.js';
import { reprotect } from '../../../hub/store/reprotect.js';
import { findResource } from '../../../hub/store/resources.js';
import { sql } from '../../../hub/store/sql.js';
import { samplePatient } from '../../support/fhir-samples.js';
import { type RunningHub, startHub } from '../../support/running-hub.js';
import { emptyDatabase } from '../../support/test-database.js';
import { hub as command } from '../commands/command-line.js';
import { type Client, clientOf, made } from '../security/world.js';
import { dump } from './dump.js';

const OLD = 'the secret of last year-long-enough';
const NEW = 'the secret of this year-long-enough';
const NATIONAL = withCheckDigit('11010519700102301');
const INSURANCE = 'YB-3300-5500-7781';
const assigner = (hospital: string): string => `urn:patients-of-${hospital}`;
const lei = (hospital: string, number: string, more: object = {}) =>
  samplePatient(assigner(hospital), number, {
    identifier: [
      { system: assigner(hospital), value: number },
      { system: systems.nationalIdentifier, value: NATIONAL },
      { system: systems.medicalInsurance, value: INSURANCE },
    ],
    telecom: [{ system: 'phone', value: '13957104826' }],
    ...more,
  });
const wanted = `identifier=${systems.nationalIdentifier}|${NATIONAL}`;

let empty: Awaited<ReturnType<typeof emptyDatabase>>;
const open: (() => Promise<unknown>)[] = [];
const lines: string[] = [];
beforeEach(async () => {
  empty = await emptyDatabase();
});
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
  await empty.drop();
});

async function databaseOf(secret: string, previousSecrets: string[] = []): Promise<Database> {
  const db = await openDatabase(empty.url, { protection: createProtection({ secret, previousSecrets }), poolSize: 4 });
  open.push(() => db.close());
  return db;
}

/** A hub of hospitals a and b under these secrets, on the one database. */
async function hubOf(secret: string, previousSecrets: string[] = []): Promise<{ hub: RunningHub; a: Client; b: Client }> {
  const db = await databaseOf(secret, previousSecrets);
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) });
  const hub = await startHub({
    database: { db, url: empty.url, close: async () => undefined },
    config: { secret, previousSecrets },
    log,
  });
  open.push(() => hub.stop());
  await hub.join(['a', 'b'].map((id) => ({ id, assigner: assigner(id) })));
  return { hub, a: clientOf(hub, await hub.system('a')), b: clientOf(hub, await hub.system('b')) };
}

const stop = async () => {
  for (const close of open.splice(0).reverse()) await close();
};
const find = async (by: Client, query: string): Promise<string[]> =>
  ((await by.get(`/fhir/Patient?${query}`)).body.entry ?? []).map((e: { resource: { id: string } }) => e.resource.id);
const rekey = (environment: Record<string, string>) => command(['rekey'], { DATABASE_URL: empty.url, ...environment });

describe('another secret', () => {
  it('does not start, and says what to do', async () => {
    await databaseOf(OLD);
    await stop();
    await expect(databaseOf(NEW)).rejects.toThrow(/encrypted under another secret .*HUB_PREVIOUS_SECRETS/);
    const ran = await command(['serve'], { DATABASE_URL: empty.url, HUB_SECRET: NEW, PORT: '0' });
    expect(ran).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^hub: values in the database are encrypted under another secret[^\n]*\n$/),
    });
  });

  it('does not start either when what the next one wrote would stay closed', async () => {
    await databaseOf(OLD);
    await databaseOf(NEW, [OLD]);
    await stop();
    await expect(databaseOf(OLD)).rejects.toThrow('another secret');
    await expect(databaseOf(OLD, [NEW])).resolves.toBeDefined();
  });
});

describe('a change of the secret', () => {
  it('keeps everything readable, found, unique and linked before, while and after everything is encrypted again; then the old one opens nothing', async () => {
    const before = await hubOf(OLD);
    const patient = made(await before.a.post(lei('a', 'A-1')));
    const second = await before.a.put({ ...patient, active: true });
    expect(second.status).toBe(200);
    const settings = {
      baseUrl: 'https://pacs.invalid/dicom-web',
      auth: { kind: 'basic', username: 'hub', password: 'pass-word' },
    };
    await addSource(before.hub.db, { id: 'a.pacs', organizationId: 'a', kind: 'dicomweb', settings }, OLD);
    expect(await find(before.a, wanted)).toEqual([patient.id]);
    const record = { reportId: 'r', focus: 'ImagingStudy/s', custodianId: 'a' } as ScoreRecord;
    await insertScoreRecord(before.hub.db, { record, provenanceId: 'p', taskId: 't' });
    // more than are brought over at once
    const words = Array.from({ length: 101 }, (_, i) => ({ reportVersion: i + 2, text: `word ${i}` }) as Verdict);
    for (const word of words) await insertVerdict(before.hub.db, 'r', word);
    await stop();

    const during = await hubOf(NEW, [OLD]);
    expect(await find(during.a, wanted)).toEqual([patient.id]);
    expect(await find(during.a, `phone=13957104826`)).toEqual([patient.id]);
    expect((await during.a.post(lei('a', 'A-2'))).status).toBe(409); // the number is held, under the old key
    const other = made(await during.b.post(lei('b', 'B-1')));
    const linked = async (db: Database) =>
      (await db.query<{ state: string }>(sql`select state from link_decision`)).map((r) => r.state);
    expect(await linked(during.hub.db)).toEqual(['linked']);
    const unchanged = await during.b.put({ ...other, active: true });
    expect(unchanged.status).toBe(200);
    expect(await linked(during.hub.db)).toEqual(['linked']);

    // two at once, beside the hub
    const both = await Promise.all([
      rekey({ HUB_SECRET: NEW, HUB_PREVIOUS_SECRETS: OLD }),
      rekey({ HUB_SECRET: NEW, HUB_PREVIOUS_SECRETS: OLD }),
    ]);
    for (const ran of both)
      expect(ran).toMatchObject({ status: 0, stderr: '', stdout: expect.stringContaining('everything lies under') });
    expect(await find(during.a, wanted)).toEqual([patient.id]);
    await stop();

    const after = await hubOf(NEW);
    expect(await find(after.a, wanted)).toEqual([patient.id]);
    expect(await find(after.a, `identifier=${INSURANCE}`)).toEqual([patient.id]);
    const [source] = await after.hub.db.query<StoredSettings & { id: string }>(sql`select id, settings, secrets from connector`);
    expect(openSettings([NEW], 'a.pacs', source!)).toMatchObject(settings);
    const { db } = after.hub;
    expect([await findScoreRecord(db, db, 'r'), await findVerdicts(db, db, 'r')]).toEqual([record, words]);
    const { body: history } = await after.a.get(`/fhir/Patient/${patient.id}/_history`);
    expect(history.entry.map((e: { resource: object }) => e.resource)).toMatchObject([lei('a', 'A-1'), lei('a', 'A-1')]);
    expect((await after.a.post(lei('a', 'A-2'))).status).toBe(409);
    const withdrawn = await after.b.put({ ...other, identifier: [{ system: assigner('b'), value: 'B-1' }] });
    expect(withdrawn.status).toBe(200);
    expect(await linked(after.hub.db)).toEqual(['proposed']);
    await after.hub.enrol({ username: 'auditor', role: 'auditor', organizationId: 'commission' });
    const auditor = clientOf(after.hub, await after.hub.person('auditor'));
    const { text } = await auditor.get('/fhir/AuditEvent?_count=200');
    expect(text).toContain(Buffer.from(`Patient?${wanted}`).toString('base64')); // typed under the old secret
    const under = createProtection({ secret: OLD }).keys.current;
    const everything = await dump(after.hub.db, empty.url);
    const left = everything.split('\n').filter((line) => line.includes(`${under}.`) && !line.includes('audit_event'));
    expect(left).toEqual([]);
    await stop();
    await expect(databaseOf(OLD)).rejects.toThrow('another secret');
  });
});

describe('what an older version stored in clear', () => {
  it('is encrypted at the next start, superseded versions and indexes too, by however many processes, wherever one was interrupted', async () => {
    const { hub, a } = await hubOf(OLD);
    const patient = made(await a.post(lei('a', 'A-1')));
    await a.put({ ...patient, active: true });
    const { db } = hub;
    const row = (await findResource(db, 'Patient', patient.id))!;
    await db.query(
      sql`update resource set content = ${row.content}, tokens = ${[`identifier=${NATIONAL}`]} where type = 'Patient' and id = ${patient.id}`,
    );
    await db.query(sql`update resource_history set content = ${row.content} where id = ${patient.id}`);
    await db.query(sql`update patient_identifier set value = ${NATIONAL} where kind = 'national'`);
    await db.query(sql`update patient_identifier set value = ${INSURANCE} where kind = 'other'`);
    await db.query(sql`
      insert into resource (type, patient_id, id, custodian_id, version, last_updated, modality, body_site, labels, parties, tokens, content)
      select 'Patient', 'old-' || n, 'old-' || n, 'a', 1, now(), '{}', '{}', '{}', '{}', '{}',
        ('{"telecom":[{"system":"phone","value":"1395710' || lpad(n::text, 4, '0') || '"}]}')::json from generate_series(1, 1300) n`);
    const marks = [NATIONAL, INSURANCE, '13957104826', '13957100777'];
    await db.query(sql`analyze`);
    expect(await dump(db, empty.url)).toContain(NATIONAL);
    await db.query(sql`delete from hub_secret where name = 'at-rest/seal'`);
    let steps = 0;
    const interrupted = reprotect(db, 'seal', () => {
      if (++steps === 2) throw new Error('killed');
    });
    await expect(interrupted).rejects.toThrow('killed');
    const others = await Promise.all([reprotect(db, 'seal'), reprotect(await databaseOf(OLD), 'seal')]);
    expect(others).toContain(true);
    expect(await reprotect(db, 'seal')).toBe(false);
    const all = await dump(db, empty.url);
    for (const mark of marks) expect([mark, all.includes(mark)]).toEqual([mark, false]);
    expect(await find(a, wanted)).toEqual([patient.id]);
    expect(await find(a, 'phone=13957100777')).toEqual(['old-777']);
    expect((await a.get(`/fhir/Patient/${patient.id}/_history/1`)).body.identifier).toEqual(patient.identifier);
    expect((await a.post(lei('a', 'A-2'))).status).toBe(409);
  });
});

describe('a value that was changed in the database', () => {
  it('is not shown, nor is anything with it: 503, an alarm, and an entry of the audit', async () => {
    const { hub, a } = await hubOf(OLD);
    const one = made(await a.post(lei('a', 'A-1')));
    const two = made(await a.post(samplePatient(assigner('a'), 'A-2', { telecom: [{ system: 'phone', value: '13957100002' }] })));
    const [{ sealed } = { sealed: '' }] = await hub.db.query<{ sealed: string }>(
      sql`select content -> 'telecom' -> 0 ->> 'value' as sealed from resource where id = ${one.id}`,
    );
    await hub.db.query(
      sql`update resource set content = jsonb_set(content::jsonb, '{telecom,0,value}', to_jsonb(${sealed}::text))::json where id = ${two.id}`,
    );
    for (const path of [`/fhir/Patient/${two.id}`, '/fhir/Patient', `/fhir/Patient?_id=${two.id}`]) {
      const answer = await a.get(path);
      expect([path, answer.status]).toEqual([path, 503]);
      expect(answer.text).not.toMatch(/sealed|A-1|李雷/);
    }
    expect((await a.get(`/fhir/Patient/${one.id}`)).status).toBe(200);
    const entries = await hub.db.query<{ outcome: number; entity: string[] }>(
      sql`select outcome, entity from audit_event where detail = 'a stored value can not be opened'`,
    );
    expect(entries.length).toBe(3);
    expect(entries[0]).toMatchObject({ outcome: 8, entity: [`Patient/${two.id}`] });
    expect(lines.filter((line) => line.includes('"level":60')).length).toBeGreaterThanOrEqual(3);
  });
});
