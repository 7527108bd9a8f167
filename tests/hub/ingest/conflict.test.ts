import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { PatientDescription } from '../../../connectors/connector.js';
import { quarantineItems, resolveItems, setQuarantineState } from '../../../hub/ingest/quarantine.js';
import { sql } from '../../../hub/store/sql.js';
import { instance, type Region, region, series, storedStudy, study, WANG } from './studies.js';

let at: Region;
beforeAll(async () => {
  at = await region();
});
afterAll(() => at?.close());

let next = 0;
const uid = (): string => `2.25.8${++next}`;
const held = () =>
  at.db.query<{ locator: string; reason: string; state: string; attempts: number }>(
    sql`select locator, reason, state, attempts from quarantine order by first_seen, id`,
  );
const one = (s: string, i = instance(uid()), patient: PatientDescription = WANG) =>
  study(s, [series(`${s}.1`, [i])], { patient });

describe('the same SOP Instance UID with other bytes', () => {
  it('is quarantined once, however often it is seen; the first one stands', async () => {
    const [s, i] = [uid(), uid()];
    const first = await at.submit(one(s, instance(i)));
    const other = instance(i, { digest: 'f'.repeat(64), locator: 'files/other' });
    const refused = await at.submit(one(s, other));
    await at.submit(one(s, other));
    expect(refused).toMatchObject({
      studyId: first.studyId,
      changed: false,
      quarantined: [{ reason: 'sop-instance-conflict', locator: 'files/other' }],
    });
    expect((await held()).filter((q) => q.locator === 'files/other')).toEqual([
      { locator: 'files/other', reason: 'sop-instance-conflict', state: 'held', attempts: 2 },
    ]);
    expect((await storedStudy(at, first)).numberOfInstances).toBe(1);
  });

  it('is quarantined also within one submission and in another study, but not at another hospital', async () => {
    const [s, other, i] = [uid(), uid(), uid()];
    const twice = study(s, [series(`${s}.1`, [instance(i), instance(i, { digest: 'e'.repeat(64), locator: `${s}/b` })])]);
    const first = await at.submit(twice);
    expect(first.quarantined.map((q) => q.locator)).toEqual([`${s}/b`]);
    const elsewhere = await at.submit(one(other, instance(i, { locator: `${other}/a` })));
    expect(elsewhere).toMatchObject({ created: false, quarantined: [{ reason: 'sop-instance-conflict' }] });
    expect(elsewhere.studyId).toBeUndefined();
    expect((await at.submit(one(other, instance(i)), { custodianId: 'B' })).quarantined).toEqual([]);
  });

  it('is no conflict when the same file was moved: it is found in its new place', async () => {
    const [s, i] = [uid(), uid()];
    const first = await at.submit(one(s, instance(i, { locator: 'old' })));
    const moved = await at.submit(one(s, instance(i, { locator: 'new' })));
    expect(moved).toMatchObject({ changed: false, quarantined: [] });
    const [row] = await at.db.query<{ locator: string }>(sql`select locator from imaging_instance where sop_instance_uid = ${i}`);
    expect(row?.locator).toBe('new');
    expect((await storedStudy(at, first)).meta?.versionId).toBe('1');
  });
});

describe('the same patient number', () => {
  const withNumber = (patientId: string, more: PatientDescription) => ({ patientId, ...more });

  it.each([
    ['case and padding', { name: 'WANG^XIAODONG ' }],
    ['component groups in another script', { name: '王^小东' }],
    ['what is not said', {}],
    ['no birth date and an unknown sex', { name: 'Wang^XiaoDong', sex: 'unknown' as const }],
  ])('with the same person but for %s is one Patient', async (_, more) => {
    const number = `n-${uid()}`;
    const first = await at.submit(one(uid(), undefined, withNumber(number, { ...WANG, patientId: number })));
    const second = await at.submit(one(uid(), undefined, withNumber(number, more)));
    expect(second).toMatchObject({ patientId: first.patientId, created: true, quarantined: [] });
  });

  it.each([
    ['name', { name: 'Li^Na=李^娜' }],
    ['birth date', { name: 'Wang^XiaoDong', birthDate: '1968-03-13' }],
    ['sex', { name: 'Wang^XiaoDong', sex: 'female' as const }],
  ])('with another %s is quarantined, and the Patient is not overwritten', async (_, more) => {
    const number = `n-${uid()}`;
    const first = await at.submit(one(uid(), undefined, { ...WANG, patientId: number }));
    const refused = await at.submit(one(uid(), undefined, withNumber(number, more)));
    expect(refused).toMatchObject({ created: false, quarantined: [{ reason: 'patient-conflict' }] });
    expect(refused.studyId).toBeUndefined();
    const [patient] = await at.db.query<{ version: number }>(
      sql`select version from resource where type = 'Patient' and id = ${first.patientId}`,
    );
    expect(patient?.version).toBe(1);
  });

  it('of another patient in a known study is quarantined, and makes no Patient', async () => {
    const s = uid();
    await at.submit(one(s));
    const refused = await at.submit(one(s, instance(uid()), { ...WANG, patientId: 'never-seen' }));
    expect(refused.quarantined).toMatchObject([{ reason: 'patient-conflict' }]);
    expect(await at.db.query(sql`select from patient_identifier where value = 'never-seen'`)).toEqual([]);
  });

  it('whose name the hospital corrected does not put known files into quarantine again', async () => {
    const [s, i] = [uid(), instance(uid())];
    const number = `n-${s}`;
    const first = await at.submit(one(s, i, { ...WANG, patientId: number }));
    await at.db.query(
      sql`update resource set content = '{"name":[{"text":"李娜"}]}' where type = 'Patient' and id = ${first.patientId}`,
    );
    expect((await at.submit(one(s, i, { ...WANG, patientId: number }))).quarantined).toEqual([]);
    expect((await at.submit(one(s, instance(uid()), { ...WANG, patientId: number }))).quarantined).toHaveLength(1);
  });
});

describe('the quarantine', () => {
  const origin = { custodianId: 'B', requestId: 'test' };
  const state = async (locator: string) => (await held()).filter((q) => q.locator === locator).map((q) => q.state);

  it('gives a file up when it is taken at last', async () => {
    const [s, i] = [uid(), uid()];
    await at.db.transaction((tx) =>
      quarantineItems(tx, at.audit, origin, [{ locator: `files/${i}`, reason: 'truncated', detail: 'It ends.' }]),
    );
    expect(await state(`files/${i}`)).toEqual(['held']);
    await at.submit(one(s, instance(i)), { custodianId: 'B' });
    expect(await state(`files/${i}`)).toEqual(['resolved']);
  });

  it('keeps a discarded item away until its bytes change, and holds a resolved one again', async () => {
    const item = { locator: uid(), reason: 'malformed' as const, detail: 'x', digest: 'a' };
    const put = (digest = 'a') => at.db.transaction((tx) => quarantineItems(tx, at.audit, origin, [{ ...item, digest }]));
    const [first] = await put();
    await setQuarantineState(at.db, 'B', first?.id ?? '', 'discarded');
    expect(await put()).toEqual([]);
    expect(await state(item.locator)).toEqual(['discarded']);
    await put('b');
    expect(await state(item.locator)).toEqual(['held']);
    await resolveItems(at.db, origin, [item.locator]);
    await put('b');
    expect(await state(item.locator)).toEqual(['held']);
  });

  it('is audited once for an item, without patient data', async () => {
    const item = { locator: uid(), reason: 'not-dicom' as const, detail: 'x' };
    const put = () => at.db.transaction((tx) => quarantineItems(tx, at.audit, origin, [item]));
    const [row] = await put();
    await put();
    const entries = await at.db.query(
      sql`select outcome, detail, custodian_id from audit_event where entity @> ${[`Quarantine/${row?.id}`]}::text[]`,
    );
    expect(entries).toEqual([{ outcome: 4, detail: 'not-dicom', custodian_id: 'B' }]);
  });
});
