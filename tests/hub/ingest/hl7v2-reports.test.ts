import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createResources, newId } from '../../../hub/store/resources.js';
import { moveStragglers } from '../../../hub/identity/move-records.js';
import { linkMissed } from '../../../hub/ingest/statements/awaited-studies.js';
import { submitStudy } from '../../../hub/ingest/submit-study.js';
import type { FhirResource } from '../../../hub/store/search-keys.js';
import { sql } from '../../../hub/store/sql.js';
import { hl7, pid, segment } from '../../support/mllp.js';
import { sampleStudy } from '../../support/fhir-samples.js';
import { made, series } from '../security/world.js';
import { type MergingRegion, mergingRegion } from '../identity/merging.js';
import { instance, series as ofSeries, study as described } from './studies.js';

let at: MergingRegion;
beforeAll(async () => {
  at = await mergingRegion();
});
afterAll(() => at?.stop());

const obr = (number: string, more: Record<number, string> = {}): string =>
  segment('OBR', { 2: `P${number}`, 3: `F${number}`, 4: 'CT^CT', 7: '20260801', 18: `A${number}`, 24: 'CT', 25: 'F', ...more });
const text = (words: string, code = 'R^Report'): string => segment('OBX', { 2: 'TX', 3: code, 5: words, 11: 'F' });
const report = (patient: string, number: string, ...obx: string[]): string => hl7('ORU^R01', [pid(patient), obr(number), ...obx]);
const only = async (query: string): Promise<FhirResource & { id: string }> => {
  const { body } = await at.a.get(`/fhir/${query}`);
  expect([query, body.entry?.length ?? 0]).toEqual([query, 1]);
  return body.entry[0].resource;
};
const image = (patient: string, uid: string, accessionNumber?: string) =>
  at.hub.db.transaction((tx) =>
    submitStudy(
      tx,
      { audit: at.hub.hub.audit },
      {
        custodianId: 'a',
        connectorId: 'a.pacs',
        requestId: 'test',
        study: described(uid, [ofSeries(`${uid}.1`, [instance(`${uid}.1.1`)])], {
          patient: { patientId: patient },
          accessionNumber,
        }),
      },
    ),
  );

describe('an order, its study and its report', () => {
  const steps: Record<string, (n: string) => Promise<unknown>> = {
    order: (n) => at.say(hl7('ORM^O01', [pid(`Q${n}`), segment('ORC', { 1: 'NW', 2: `P${n}` }), obr(n)])),
    study: (n) => image(`Q${n}`, `2.25.55.${n}`, `A${n}`),
    report: (n) => at.say(report(`Q${n}`, n, text('nodule'))),
  };
  it.each([
    ['1', ['order', 'study', 'report']],
    ['2', ['report', 'study', 'order']],
    ['3', ['study', 'report', 'order']],
    ['4', ['report', 'order', 'study']],
  ])('%s: are tied together, in whatever order they come: %j', async (n, order) => {
    for (const step of order) await steps[step]?.(n);
    const found = await only(`DiagnosticReport?identifier=F${n}`);
    const study = await only(`ImagingStudy?identifier=A${n}`);
    expect(found.imagingStudy).toEqual([{ reference: `ImagingStudy/${study.id}` }]);
    const observation = await only(`Observation?derived-from=ImagingStudy/${study.id}`);
    expect(found.result).toEqual([{ reference: `Observation/${observation.id}` }]);
    expect(await at.found(at.a, `ServiceRequest?identifier=P${n}`)).toHaveLength(1);
    // who may see the study by its modality may see the report
    const [row] = await at.hub.db.query<{ modality: string[] }>(
      sql`select modality from resource where type = 'DiagnosticReport' and id = ${found.id}`,
    );
    expect(row?.modality).toEqual(['CT']);
    expect(await at.hub.db.query(sql`select from awaited_study`)).toEqual([]);
  });

  it('by Study Instance UID, and by a study that the hospital pushes', async () => {
    await at.say(report('Q5', '5', text('x'), segment('OBX', { 2: 'ST', 3: '113014^Study^DCM', 5: '2.25.55.5', 11: 'F' })));
    const patient = await at.patientOf('Q5');
    const identifier = [{ system: 'urn:dicom:uid', value: 'urn:oid:2.25.55.5' }];
    const study = made(await at.a.post(sampleStudy(patient.id, { identifier, series: [series()] })));
    expect((await only('DiagnosticReport?identifier=F5')).imagingStudy).toEqual([{ reference: `ImagingStudy/${study.id}` }]);
  });

  it('that were stored at the same moment are tied a little later', async () => {
    await image('Q6', '2.25.55.6', 'A6');
    await at.say(report('Q6', '6', text('x')));
    // as if neither had seen the other
    const { id, meta: _meta, ...rest } = await only('DiagnosticReport?identifier=F6');
    await at.hub.db.query(sql`
      update resource set content = ${JSON.stringify({ ...rest, resourceType: undefined, imagingStudy: [{ type: 'ImagingStudy', identifier: { system: 'urn:dicom:uid', value: 'urn:oid:2.25.55.6' } }] })}
      where type = 'DiagnosticReport' and id = ${id}`);
    await at.hub.db.query(
      sql`insert into awaited_study (custodian_id, awaited, type, id) values ('a', 'uid:2.25.55.6', 'DiagnosticReport', ${id})`,
    );
    expect(await linkMissed(at.hub.db)).toBe(1);
    expect((await only('DiagnosticReport?identifier=F6')).imagingStudy[0].reference).toMatch(/^ImagingStudy\//);
    expect(await linkMissed(at.hub.db)).toBe(0);
  });
});

describe('a report', () => {
  it('that is corrected is the next version, and results that it has no longer were entered in error', async () => {
    await at.say(report('Q10', '10', text('nodule of 6 mm', 'S^Size'), text('effusion', 'E^Effusion')));
    const first = await only('DiagnosticReport?identifier=F10');
    await at.say(hl7('ORU^R01', [pid('Q10'), obr('10', { 25: 'C' }), text('nodule of 9 mm', 'S^Size')]));
    const second = await only('DiagnosticReport?identifier=F10');
    expect([second.id, second.status, second.meta?.versionId]).toEqual([first.id, 'corrected', '2']);
    const results = await Promise.all(
      first.result.map(async ({ reference }: { reference: string }) => (await at.a.get(`/fhir/${reference}`)).body),
    );
    expect(results.map((o) => [o.status, o.valueString])).toEqual([
      ['final', 'nodule of 9 mm'],
      ['entered-in-error', 'effusion'],
    ]);
    expect(second.result).toEqual([first.result[0]]);
  });

  it('of a number that was merged is filed under the survivor', async () => {
    await at.merge('S11', 'R11');
    await at.say(report('R11', '11', text('x')));
    expect((await only('DiagnosticReport?identifier=F11')).subject.reference).toBe(`Patient/${(await at.patientOf('S11')).id}`);
  });

  it('about a study of another patient, or of another person under the number, is held', async () => {
    await image('Q12', '2.25.55.12', 'A12');
    expect(await at.send(report('Q99', '12', text('x')))).toBe('AR');
    await at.register('Q13', { 5: '陈^静', 8: 'F' });
    expect(await at.send(report('Q13', '13', text('x')))).toBe('AR');
    expect(await at.found(at.a, 'DiagnosticReport?identifier=F12,F13')).toEqual([]);
    // the mistake was in the registration of the study
    await at.move('Q12', 'Q99');
    const [item] = await at.hub.db.query<{ id: string }>(
      sql`select id from quarantine where state = 'held' and detail like '%study%'`,
    );
    const administrator = await at.person('administrator-a');
    expect((await administrator.post({}, `/quarantine/${item?.id}/retry`)).body).toMatchObject({ state: 'resolved' });
    expect((await only('DiagnosticReport?identifier=F12')).imagingStudy).toHaveLength(1);
  });

  it('does not change the patient that it is about', async () => {
    await at.register('Q14', { 11: 'street' });
    await at.say(hl7('ORU^R01', [pid('Q14', { 11: 'other street' }), obr('14'), text('x')]));
    expect((await at.patientOf('Q14')).address).toEqual([{ line: ['street'] }]);
  });
});

it('what was written for a Patient while he was given up follows him', async () => {
  await at.register('S20');
  await at.register('R20');
  await at.merge('S20', 'R20');
  const [survivor, retired] = [await at.patientOf('S20'), await at.patientOf('R20')];
  const late = {
    resourceType: 'ServiceRequest',
    id: newId(),
    status: 'active',
    intent: 'order',
    subject: { reference: `Patient/${retired.id}` },
  };
  await createResources(at.hub.db, [{ resource: late, custodianId: 'a' }]);
  expect(await moveStragglers(at.hub.db, at.hub.hub.audit)).toBe(1);
  expect((await at.a.get(`/fhir/ServiceRequest/${late.id}`)).body.subject.reference).toBe(`Patient/${survivor.id}`);
  expect(await moveStragglers(at.hub.db, at.hub.hub.audit)).toBe(0);
});
