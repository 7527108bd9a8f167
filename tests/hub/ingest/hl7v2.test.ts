import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { addSource } from '../../../hub/ingest/hospital.js';
import { sql } from '../../../hub/store/sql.js';
import { codeOf, hl7, type MllpClient, mllpClient, pid } from '../../support/mllp.js';
import { freePort } from '../../support/free-port.js';
import { type RunningHub, startHub } from '../../support/running-hub.js';

const assigner = 'urn:oid:1.2.3.1';
let hub: RunningHub;
let port = 0;
let his: MllpClient;

beforeAll(async () => {
  hub = await startHub();
  await hub.join(
    [
      { id: 'east', assigner },
      { id: 'west', assigner: 'urn:oid:1.2.3.2' },
    ],
    'union',
  );
  port = await freePort();
  await addSource(hub.db, { id: 'east.his', organizationId: 'east', kind: 'hl7v2', settings: { port, peers: ['127.0.0.0/8'] } });
  await hub.hub.sources.idle();
  his = await mllpClient(port);
});
afterAll(async () => {
  his?.end();
  await hub?.stop();
});

const get = async (path: string) => {
  const answer = await hub
    .http()
    .get(path)
    .set('authorization', `Bearer ${await hub.system('east')}`);
  return answer.body;
};
const patientOf = async (number: string) => (await get(`/fhir/Patient?identifier=${assigner}|${number}`)).entry?.[0]?.resource;
const send = async (message: string): Promise<string> => codeOf((await his.send(message))[0] ?? []);
const admin = async () => {
  await hub.enrol({ username: 'east-admin', role: 'hospital-administrator', organizationId: 'east' });
  return hub.person('east-admin');
};
const held = () =>
  hub.db.query<{ id: string; reason: string; detail: string; locator: string; attempts: number; message: string }>(
    sql`select id, reason, detail, locator, attempts, message from quarantine where state = 'held' order by first_seen`,
  );

describe('a registration by HL7 v2', () => {
  it('is the hospital’s Patient once it is acknowledged', async () => {
    const message = hl7('ADT^A04^ADT_A01', [
      pid('E-1', { 5: '王^小东~Wang^XiaoDong^^^^^L^A', 13: '^PRN^CP^^^^^^^^^13957104826' }),
    ]);
    const [answer] = await his.send(message);
    expect(answer?.map((s) => s.slice(0, 3))).toEqual(['MSH', 'MSA']);
    expect(codeOf(answer ?? [])).toBe('AA');
    expect(await patientOf('E-1')).toMatchObject({
      identifier: [{ system: assigner, value: 'E-1' }],
      name: [{ text: '王小东', family: '王', given: ['小东'] }, { text: 'Wang XiaoDong' }],
      gender: 'male',
      birthDate: '1968-03-12',
      telecom: [{ system: 'phone', value: '13957104826', use: 'mobile' }],
    });
    expect(await hub.db.query(sql`select id from resource where type = 'Patient'`)).toHaveLength(1);
  });

  it('that is sent again has the same answer and no second effect, even if it was corrected meanwhile', async () => {
    const first = hl7('ADT^A08', [pid('E-2', { 11: 'East Street 1' })]);
    const second = hl7('ADT^A08', [pid('E-2', { 11: 'West Street 2' })]);
    for (const message of [first, second, first, second, first]) expect(await send(message)).toBe('AA');
    const patient = await patientOf('E-2');
    expect([patient.meta.versionId, patient.address]).toEqual(['2', [{ line: ['West Street 2'] }]]);
    const entries = await hub.db.query(sql`select from audit_event where patient_id = ${patient.id} and type = 'ingest'`);
    expect(entries).toHaveLength(2);
  });

  it('says only what it says: the rest stays, and what it deletes goes', async () => {
    await send(hl7('ADT^A04', [pid('E-3', { 11: 'East Street 1', 30: 'N' })]));
    await send(hl7('ADT^A08', [pid('E-3', { 7: '', 8: '', 11: '""', 29: '20260701' })]));
    const patient = await patientOf('E-3');
    expect(patient).toMatchObject({ birthDate: '1968-03-12', gender: 'male', deceasedDateTime: '2026-07-01' });
    expect([patient.address, patient.deceasedBoolean]).toEqual([undefined, undefined]);
  });

  it('takes the place of what images said of the number, and is matched across hospitals', async () => {
    const other = await hub
      .http()
      .post('/fhir/Patient')
      .set('authorization', `Bearer ${await hub.system('west')}`)
      .type('application/fhir+json')
      .send({
        resourceType: 'Patient',
        identifier: [
          { system: 'urn:oid:1.2.3.2', value: 'W-1' },
          { system: 'urn:oid:2.16.156.10011.1.3', value: '110105198002030019' },
        ],
        name: [{ text: '李雷' }],
        gender: 'male',
        birthDate: '1980-02-03',
      });
    expect(other.status).toBe(201);
    await send(hl7('ADT^A04', [pid('E-4~110105198002030019^^^^NNCHN', { 5: '李^雷', 7: '19800203' })]));
    const patient = await patientOf('E-4');
    const links = await hub.db.query(sql`select state from link_decision where ${patient.id} in (patient_a, patient_b)`);
    expect(links).toEqual([{ state: 'linked' }]);
  });
});

describe('what can not be taken', () => {
  it('waits in the quarantine with its reason, sealed, and is taken after it was mended', async () => {
    await send(hl7('ADT^A04', [pid('E-10', { 5: '赵^敏', 7: '19700101', 8: 'F' })]));
    const wrong = hl7('ADT^A04', [pid('E-10', { 5: '钱^多', 7: '19800101', 8: 'F' })], { 10: 'conflicting' });
    const [answer = []] = await his.send(wrong);
    expect([codeOf(answer), answer[2]]).toEqual(['AR', expect.stringMatching(/^ERR\|\|PID\^1\^3\|207/)]);
    expect(await send(wrong)).toBe('AR');
    const [item, ...more] = await held();
    expect(more).toEqual([]);
    expect(item).toMatchObject({ reason: 'patient-conflict', locator: 'mllp/HIS/EAST/conflicting', attempts: 2 });
    expect(JSON.stringify([item?.detail, answer])).not.toMatch(/E-10|钱|赵/);
    expect(Buffer.from(item?.message ?? '', 'base64url').toString()).not.toContain('E-10');
    const token = await admin();
    const retry = () => hub.http().post(`/quarantine/${item?.id}/retry`).set('authorization', `Bearer ${token}`);
    expect((await retry()).body).toMatchObject({ state: 'held', reason: 'patient-conflict' });
    // the registration before was the wrong one
    expect(await send(hl7('ADT^A08', [pid('E-10', { 5: '钱^多', 7: '19700101', 8: 'F' })]))).toBe('AA');
    expect(await send(hl7('ADT^A08', [pid('E-10', { 5: '钱^多', 7: '19800101', 8: 'F' })]))).toBe('AA');
    expect((await retry()).body).toMatchObject({ state: 'resolved' });
    const [kept] = await hub.db.query<{ message: string | null }>(sql`select message from quarantine where id = ${item?.id}`);
    expect(kept?.message).toBeNull();
    expect(await send(wrong)).toBe('AA');
    expect((await patientOf('E-10')).name[0].text).toBe('钱多');
  });

  it('another name, birth date and sex at once are somebody else, whatever the event', async () => {
    await send(hl7('ADT^A04', [pid('E-11')]));
    expect(await send(hl7('ADT^A08', [pid('E-11', { 5: '孙^悦' })]))).toBe('AA');
    expect(await send(hl7('ADT^A08', [pid('E-11', { 5: '周^杰', 7: '19900101' })]))).toBe('AR');
    expect((await patientOf('E-11')).name[0].text).toBe('孙悦');
  });

  it('is refused by what the profiles say, naming the field', async () => {
    const [answer = []] = await his.send(hl7('ADT^A04', [pid('E-12~110105198002030018^^^^NNCHN')]));
    expect([codeOf(answer), answer[2]?.split('|')[2]]).toEqual(['AR', 'PID^1^3']);
  });
});

describe('the operator', () => {
  it('sees what became of messages', async () => {
    const { text } = await hub.http().get('/metrics').expect(200);
    const count = (result: string): number =>
      Number(
        new RegExp(
          `hub_connector_steps_total{hospital="east",connector="east.his",kind="statement",result="${result}"} (\\d+)`,
        ).exec(text)?.[1],
      );
    expect([count('taken') > 10, count('held') > 2]).toEqual([true, true]);
  });
});
