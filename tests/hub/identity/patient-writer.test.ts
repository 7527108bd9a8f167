import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { systems } from '../../../fhir-profiles/codes.js';
import { newId } from '../../../hub/store/resources.js';
import type { FhirResource } from '../../../hub/store/search-keys.js';
import { searchedIdentifier } from '../../../hub/store/patient-identifier.js';
import { keyed, sql } from '../../../hub/store/sql.js';
import { assigner, type Hospitals, national, openHospitals, person } from './hospitals.js';

let world: Hospitals;
beforeAll(async () => {
  world = await openHospitals();
});
afterAll(() => world.end());

describe('A hospital that registers a Patient', () => {
  it('is refused a national identifier whose check digit does not hold, and told where', async () => {
    const wrong = person('a', 'W-1', {}, `${national(40).slice(0, 17)}${national(40)[17] === '1' ? '2' : '1'}`);
    await expect(world.register('a', wrong)).rejects.toMatchObject({
      status: 422,
      issues: [{ expression: ['Patient.identifier[1].value'] }],
    });
  });

  it('is refused a number that another Patient of its own has, and keeps nothing of the transaction', async () => {
    await world.register('a', person('a', 'W-2'));
    const others = [person('a', 'W-3'), person('a', 'W-2')].map((p) => ({ ...p, id: newId() }));
    await expect(world.register('a', ...others)).rejects.toMatchObject({
      status: 409,
      issues: [{ expression: ['Patient.identifier'] }],
    });
    await expect(world.register('a', person('a', 'W-4'), person('a', 'W-4'))).rejects.toMatchObject({ status: 409 });
    await expect(
      world.register('a', person('a', 'W-5', {}, national(41)), person('a', 'W-6', {}, national(41))),
    ).rejects.toMatchObject({ status: 409 });
    expect(await world.db.query(sql`select 1 from patient_identifier where value in ('W-3', 'W-4', 'W-5', 'W-6')`)).toEqual([]);
  });

  it('may register one more under a number that another hospital uses', async () => {
    const [a] = await world.register('a', person('a', 'W-7', { name: [{ text: '李红' }] }));
    const [b] = await world.register('b', person('b', 'W-7', { name: [{ text: '赵敏' }] }));
    expect(await world.pair(a!.id, b!.id)).toBeUndefined();
  });

  it('takes over the Patient that its images made, once, with its studies’ id and what only the images said', async () => {
    const made = await world.image('a', { patientId: 'W-8', name: 'Wang^XiaoDong', sex: 'male' });
    const id = 'patientId' in made ? made.patientId : '';
    const given: FhirResource = { ...person('a', 'W-8', {}, national(1)), id: newId() };
    delete given.gender;
    const [row] = await world.register('a', given);
    expect(row).toMatchObject({ id, version: 2, custodian_id: 'a' });
    expect(await world.patient(id)).toMatchObject({ gender: 'male', birthDate: '1980-02-03', name: [{ text: '王小东' }] });
    expect((await world.patient(id)).meta?.source).toBeUndefined();
    const held = await world.db.query<{ patient_id: string }>(
      sql`select patient_id from patient_identifier where value = any(${keyed((p) => ['W-8', ...searchedIdentifier(p, { value: national(1) })])}::text[]) and custodian_id = 'a'`,
    );
    expect(held).toEqual([{ patient_id: id }, { patient_id: id }]);
    await expect(world.register('a', { ...given, id: newId() })).rejects.toMatchObject({ status: 409 });
    expect(await world.image('a', { patientId: 'W-8', name: '王^小东' })).toEqual({ patientId: id });
  });

  it('does not take over the images of somebody else', async () => {
    await world.image('a', { patientId: 'W-9', name: 'Li^Hong' });
    await expect(world.register('a', person('a', 'W-9'))).rejects.toMatchObject({ status: 409 });
  });

  it('can’t mark a Patient as made from images', async () => {
    const [row] = await world.register('a', person('a', 'W-10', { meta: { source: 'urn:dicom:patient-module' } }));
    expect((await world.patient(row!.id)).meta?.source).toBeUndefined();
  });

  it('registers 500 at once in a few statements', async () => {
    const many = Array.from({ length: 500 }, (_, i) => ({
      ...person('c', `M-${i}`, { name: [{ text: `无名${i}` }] }),
      id: newId(),
    }));
    const before = world.counted.statements;
    const rows = await world.register('c', ...many);
    expect(rows.map((r) => r.id)).toEqual(many.map((p) => p.id));
    expect(world.counted.statements - before).toBeLessThan(20);
  });
});

describe('One person at two hospitals', () => {
  it('is linked by the national identifier that both registered, and found in either direction', async () => {
    const [a] = await world.register('a', person('a', 'L-1', {}, national(2)));
    const [b] = await world.register('b', person('b', 'L-2', { birthDate: undefined }, national(2)));
    expect(await world.pair(a!.id, b!.id)).toMatchObject({ state: 'linked', basis: 'national-identifier' });
    expect(await world.registrations(a!.id)).toEqual(['a', 'b']);
    expect(await world.registrations(b!.id)).toEqual(['a', 'b']);
    const entries = await world.db.query(
      sql`select patient_id from audit_event where type = 'identity' and subtype = 'link' and patient_id in (${a!.id}, ${b!.id})`,
    );
    expect(entries).toHaveLength(2);
  });

  it('is linked when both register at the same time', async () => {
    for (let order = 100; order < 110; order++) {
      const [[a], [b]] = await Promise.all([
        world.register('a', person('a', `S-${order}`, {}, national(order))),
        world.register('b', person('b', `T-${order}`, {}, national(order))),
      ]);
      expect(await world.pair(a!.id, b!.id)).toMatchObject({ state: 'linked' });
    }
  });

  it('that was proposed is linked by the identifier', async () => {
    const image = { patientId: 'L-3', name: 'Wang^XiaoDong=王^小东', sex: 'male' } as const;
    const [a, c] = [await world.image('a', image), await world.image('c', image)].map((r) =>
      'patientId' in r ? r.patientId : '',
    );
    expect(await world.pair(a!, c!)).toMatchObject({ state: 'proposed' });
    await world.register('a', person('a', 'L-3', {}, national(3)));
    expect(await world.pair(a!, c!)).toMatchObject({ state: 'proposed' });
    await world.register('c', person('c', 'L-3', {}, national(3)));
    expect(await world.pair(a!, c!)).toMatchObject({ state: 'linked', basis: 'national-identifier' });
  });

  it.each([
    ['birth date', { birthDate: '1980-02-04' }],
    ['sex', { gender: 'female' }],
    ['name', { name: [{ text: '李红' }] }],
  ])('is only proposed when the %s contradicts', async (what, changes) => {
    const id = national(10 + what.length);
    const [a] = await world.register('a', person('a', `C-${what}`, {}, id));
    const [b] = await world.register('b', person('b', `D-${what}`, changes, id));
    expect(await world.pair(a!.id, b!.id)).toMatchObject({ state: 'proposed', basis: 'national-identifier' });
    expect(await world.registrations(a!.id)).toEqual(['a']);
  });

  it('of equal name, sex and birth date is proposed, in characters or in pinyin; without a birth date not', async () => {
    const born = { birthDate: '1971-07-08' };
    const [a] = await world.register('a', person('a', 'E-1', { ...born, name: [{ text: '孙丽' }] }));
    const [b] = await world.register('b', person('b', 'E-2', { ...born, name: [{ family: 'Sun', given: ['Li'] }] }));
    const [c] = await world.register('c', person('c', 'E-3', { birthDate: undefined, name: [{ text: '孙丽' }] }));
    expect(await world.pair(a!.id, b!.id)).toMatchObject({ state: 'proposed', basis: 'demographics' });
    expect(await world.pair(a!.id, c!.id)).toBeUndefined();
  });

  it('is not proposed within one hospital, nor twice', async () => {
    const same = { birthDate: '1972-07-08' };
    const rows = await world.register('a', person('a', 'F-1', same), person('a', 'F-2', same));
    expect(await world.pair(rows[0]!.id, rows[1]!.id)).toBeUndefined();
    const [b] = await world.register('b', person('b', 'F-3', same));
    const first = await world.pair(rows[0]!.id, b!.id);
    await world.update('b', b!, { ...person('b', 'F-3', same), telecom: [{ system: 'phone', value: '1' }] });
    expect(await world.pair(rows[0]!.id, b!.id)).toEqual(first);
  });

  it('is parted again when the identifier turns out to be another’s; the registrations follow', async () => {
    const [a] = await world.register('a', person('a', 'G-1', {}, national(5)));
    const [b] = await world.register('b', person('b', 'G-2', {}, national(5)));
    await world.update('b', b!, person('b', 'G-2', {}, national(6)));
    expect(await world.pair(a!.id, b!.id)).toMatchObject({ state: 'proposed' });
    expect(await world.registrations(a!.id)).toEqual(['a']);
    const [back] = await world.db.query<{ version: number }>(
      sql`select version from resource where type = 'Patient' and id = ${b!.id}`,
    );
    await world.update('b', { ...b!, version: back!.version }, person('b', 'G-2', {}, national(5)));
    expect(await world.pair(a!.id, b!.id)).toMatchObject({ state: 'linked' });
  });

  it('is not linked by a steward’s rejected pair, nor by way of a third hospital', async () => {
    const [a] = await world.register('a', person('a', 'H-1', {}, national(7)));
    const [b] = await world.register('b', person('b', 'H-2', {}, national(8)));
    const pair = await world.pair(a!.id, b!.id);
    await world.db.query(sql`update link_decision set state = 'rejected' where id = ${pair!.id}`);
    const [c] = await world.register('c', {
      ...person('c', 'H-3', {}, national(7)),
      identifier: [national(7), national(8)].map((value) => ({ system: systems.nationalIdentifier, value })),
    });
    const states = [await world.pair(a!.id, c!.id), await world.pair(b!.id, c!.id)].map((p) => p!.state).sort();
    expect(states).toEqual(['linked', 'proposed']);
    expect(await world.pair(a!.id, b!.id)).toMatchObject({ state: 'rejected' });
  });

  it('may change its number; an old one is free again', async () => {
    const [row] = await world.register('a', person('a', 'N-1'));
    await world.update('a', row!, {
      ...person('a', 'N-2'),
      identifier: [
        { use: 'old', system: assigner('a'), value: 'N-1' },
        { system: assigner('a'), value: 'N-2' },
      ],
    });
    await world.register('a', person('a', 'N-1', { name: [{ text: '李红' }] }));
    await expect(world.register('a', person('a', 'N-2'))).rejects.toMatchObject({ status: 409 });
  });
});
