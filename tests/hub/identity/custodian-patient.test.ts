import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { validateResource } from '../../../fhir-profiles/index.js';
import { ensureCustodianPatient } from '../../../hub/identity/custodian-patient.js';
import { sql } from '../../../hub/store/sql.js';
import { assigner, type Hospitals, openHospitals } from './hospitals.js';

let world: Hospitals;
beforeAll(async () => {
  world = await openHospitals();
});
afterAll(() => world.end());

const idOf = (result: { patientId: string } | { conflict: string }): string => {
  if (!('patientId' in result)) throw new Error(result.conflict);
  return result.patientId;
};

describe('The Patient of a study', () => {
  it('is made once, however many studies of her arrive at the same time', async () => {
    const patient = { patientId: 'P-1', name: 'Wang^XiaoDong=王^小东', sex: 'male' } as const;
    const ids = await Promise.all(Array.from({ length: 16 }, () => world.image('a', patient).then(idOf)));
    expect(new Set(ids).size).toBe(1);
    const rows = await world.db.query(sql`select 1 from resource where type = 'Patient' and custodian_id = 'a'`);
    expect(rows).toHaveLength(1);
    const made = await world.patient(ids[0]!);
    expect(made.identifier[0]).toMatchObject({ system: assigner('a'), value: 'P-1' });
    expect(validateResource(made).filter((i) => i.severity === 'error')).toEqual([]);
    expect(await world.registrations(ids[0]!)).toEqual(['a']);
  });

  it('is another one at another hospital with the same number', async () => {
    const [a, b] = [
      await world.image('a', { patientId: 'P-2', name: 'Li^Hong' }),
      await world.image('b', { patientId: 'P-2', name: 'Zhao^Min' }),
    ].map(idOf);
    expect(a).not.toBe(b);
    expect(await world.pair(a!, b!)).toBeUndefined();
  });

  it.each([
    ['name', { name: 'Li^Hong' }],
    ['birth date', { name: 'Zhou^Jie', birthDate: '1980-02-04' }],
    ['sex', { name: 'Zhou^Jie', sex: 'female' as const }],
  ])('is not given the study of somebody else by %s', async (what, other) => {
    const first = { patientId: `P-3 ${what}`, name: 'Zhou^Jie', birthDate: '1980-02-03', sex: 'male' as const };
    const id = idOf(await world.image('a', first));
    const before = await world.patient(id);
    const result = await world.image('a', { patientId: first.patientId, ...other });
    expect(result).toEqual({ conflict: `The patient number is held with another ${what}.` });
    expect(await world.patient(id)).toEqual(before);
  });

  it('learns what she did not say before, and keeps what she said', async () => {
    const id = idOf(await world.image('a', { patientId: 'P-4', name: 'Sun^Li' }));
    for (const more of [
      { birthDate: '1990-05-06' },
      { name: '孙^丽' },
      { sex: 'female' as const },
      { name: 'SUN^LI', birthDate: '1990-05-06' },
    ])
      expect(idOf(await world.image('a', { patientId: 'P-4', ...more }))).toBe(id);
    expect(await world.patient(id)).toMatchObject({
      birthDate: '1990-05-06',
      gender: 'female',
      name: [{ text: 'Sun Li' }, { text: '孙丽' }],
      meta: { versionId: '4' },
    });
  });

  it('who has no number is nobody else', async () => {
    const patient = { name: 'Wang^XiaoDong' };
    const [one, again, two] = [
      await world.image('a', patient, '1.2.9.1'),
      await world.image('a', patient, '1.2.9.1'),
      await world.image('a', { ...patient, patientId: '  ' }, '1.2.9.2'),
    ].map(idOf);
    expect(again).toBe(one);
    expect(two).not.toBe(one);
    expect((await world.patient(one!)).identifier).toEqual([expect.objectContaining({ value: 'urn:oid:1.2.9.1' })]);
  });

  it('whose hospital has named no assigner is still the hospital’s own', async () => {
    const id = idOf(
      await world.db.transaction((tx) =>
        ensureCustodianPatient(tx, { custodianId: 'unnamed', patient: { patientId: '7' }, studyInstanceUid: '1.2' }),
      ),
    );
    expect((await world.patient(id)).identifier[0].system).toContain('/unnamed');
  });

  it.each([
    ['of a megabyte', 'x'.repeat(1_000_000)],
    ['with a NUL', 'P\u00005'],
  ])('is refused a number %s', async (_, patientId) => {
    expect(await world.image('a', { patientId })).toEqual({ conflict: 'The Patient ID is no usable number.' });
  });

  it('is proposed as the same person where another hospital has the same number, sex and name', async () => {
    const stated = { patientId: 'A046441', name: 'Chen^Wei', sex: 'male' as const };
    const [a, c] = [idOf(await world.image('a', stated)), idOf(await world.image('c', { ...stated, name: '陈^伟' }))];
    expect(await world.pair(a, c)).toMatchObject({ state: 'proposed', basis: 'patient-number' });
    expect(await world.registrations(a)).toEqual(['a']);
    const b = idOf(await world.image('b', { ...stated, sex: undefined }));
    expect(await world.pair(a, b)).toBeUndefined();
  });
});
