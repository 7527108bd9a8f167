import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { extensions, validateResource } from '../../../fhir-profiles/index.js';
import type { Caller } from '../../../hub/access/caller.js';
import type { RequestAccess } from '../../../hub/access/decision.js';
import { imagingStudyWriter } from '../../../hub/ingest/imaging-study-writer.js';
import type { Queryable } from '../../../hub/store/database.js';
import { createResources, newId, type ResourceRow, toResource } from '../../../hub/store/resources.js';
import type { FhirResource } from '../../../hub/store/search-keys.js';
import { type Sql, sql } from '../../../hub/store/sql.js';
import { assigner, CT, count, instance, type Region, region, series, storedStudy, study, WANG } from './studies.js';

let at: Region;
let patientId = '';
beforeAll(async () => {
  at = await region();
  patientId = (await at.submit(study('2.25.5', [series('2.25.51', [instance('2.25.511')])]))).patientId ?? '';
});
afterAll(() => at?.close());

let next = 0;
const uid = (): string => `2.25.9${++next}`;

const caller = (organizationId: string): Caller => ({
  id: `Client/${organizationId}`,
  kind: 'system',
  name: organizationId,
  organizationId,
  role: 'hospital-system',
  purposeOfUse: 'TREAT',
  clientId: organizationId,
  scope: 'system/*.cruds',
  authenticatedAt: 0,
});

const request = (resource: FhirResource, organizationId = 'A') => ({
  caller: caller(organizationId),
  context: { requestId: 'test', address: '' },
  access: {} as RequestAccess,
  resource: { ...resource, id: resource.id ?? newId() },
});

const push = (resources: FhirResource[], organizationId?: string): Promise<ResourceRow[]> =>
  at.db.transaction((tx) =>
    imagingStudyWriter.create(
      tx,
      resources.map((r) => request(r, organizationId)),
    ),
  );

const put = (current: ResourceRow, resource: FhirResource): Promise<ResourceRow> =>
  at.db.transaction((tx) => imagingStudyWriter.update(tx, { ...request(resource), current }));

const pushed = (studyUid: string, more: Partial<FhirResource> = {}): FhirResource => ({
  resourceType: 'ImagingStudy',
  identifier: [{ system: 'urn:dicom:uid', value: `urn:oid:${studyUid}` }],
  status: 'available',
  subject: { reference: `Patient/${patientId}` },
  ...more,
});

const ofSeries = (seriesUid: string, uids: string[], more: object = {}) => ({
  uid: seriesUid,
  modality: { system: 'http://dicom.nema.org/resources/ontology/DCM', code: 'CT' },
  ...(uids.length > 0
    ? { instance: uids.map((u) => ({ uid: u, sopClass: { system: 'urn:ietf:rfc:3986', code: `urn:oid:${CT}` } })) }
    : {}),
  ...more,
});

describe('a pushed study', () => {
  it('is stored with what the hub computes and with everything else as pushed', async () => {
    const s = uid();
    const given = pushed(s, {
      identifier: [
        { system: 'urn:dicom:uid', value: `urn:oid:${s}` },
        { type: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v2-0203', code: 'ACSN' }] }, value: 'ACC-9' },
        { system: 'urn:oid:2.25.77', value: 'order-1' },
      ],
      description: 'Thorax',
      started: '2024-03',
      reasonCode: [{ text: 'cough' }],
      note: [{ text: 'urgent' }],
      extension: [{ url: extensions.custodian, valueReference: { reference: 'Organization/B' } }],
      series: [
        ofSeries(`${s}.1`, [uid(), uid()], { performer: [{ actor: { display: 'Dr. Li' } }] }),
        ofSeries(`${s}.2`, [], { numberOfInstances: 40 }),
      ],
      numberOfInstances: 42,
    });
    const [row] = await push([given]);
    const stored = toResource(row!);
    expect(validateResource(stored)).toEqual([]);
    expect(stored).toMatchObject({
      description: 'Thorax',
      started: '2024-03',
      reasonCode: given.reasonCode,
      note: given.note,
      numberOfSeries: 2,
      numberOfInstances: 2,
      modality: [{ code: 'CT' }],
      series: [
        { uid: `${s}.1`, numberOfInstances: 2, performer: [{ actor: { display: 'Dr. Li' } }] },
        { uid: `${s}.2`, numberOfInstances: 40 },
      ],
    });
    expect(stored.identifier).toEqual([
      { system: 'urn:dicom:uid', value: `urn:oid:${s}` },
      expect.objectContaining({ value: 'ACC-9', assigner: { reference: 'Organization/A' } }),
      { system: 'urn:oid:2.25.77', value: 'order-1' },
    ]);
    expect(stored.extension).toEqual([
      { url: extensions.custodian, valueReference: { reference: 'Organization/A' } },
      { url: extensions.completeness, valueCode: 'partial' },
    ]);
    expect(row?.custodian_id).toBe('A');
  });

  it('names the endpoints of its custodian, and of nobody else', async () => {
    const endpoint = (id: string, organization: string, status = 'active') => ({
      resource: { resourceType: 'Endpoint', id, status, managingOrganization: { reference: `Organization/${organization}` } },
      custodianId: '',
    });
    await createResources(at.db, [endpoint('of-a', 'A'), endpoint('old', 'A', 'off'), endpoint('of-b', 'B')]);
    const [row] = await push([pushed(uid())]);
    const submitted = await at.submit(study(uid(), [series(uid(), [instance(uid())])]));
    expect([toResource(row!), await storedStudy(at, submitted)].map((s) => s.endpoint)).toEqual([
      [{ reference: 'Endpoint/of-a' }],
      [{ reference: 'Endpoint/of-a' }],
    ]);
  });

  it('that lists no instances keeps the counts that it states', async () => {
    const [row] = await push([
      pushed(uid(), {
        numberOfSeries: 3,
        numberOfInstances: 120,
        modality: [{ system: 'http://dicom.nema.org/resources/ontology/DCM', code: 'MR' }],
      }),
    ]);
    expect(toResource(row!)).toMatchObject({ numberOfSeries: 3, numberOfInstances: 120, modality: [{ code: 'MR' }] });
  });

  it('lands with a hundred others in a handful of statements, in the order of the requests', async () => {
    const uids = Array.from({ length: 100 }, () => uid());
    const { rows, statements } = await counted((tx) =>
      imagingStudyWriter.create(
        tx,
        uids.map((u) => request(pushed(u, { series: [ofSeries(`${u}.1`, [`${u}.1.1`])] }))),
      ),
    );
    expect(rows.map((r) => toResource(r).identifier[0].value)).toEqual(uids.map((u) => `urn:oid:${u}`));
    expect(statements).toBeLessThanOrEqual(6);
  });

  it('of somebody else’s patient is refused like one of nobody, and nothing of the transaction lands', async () => {
    const before = await count(at, 'study_claim');
    for (const subject of [patientId, 'nobody']) {
      const bundle = [pushed(uid()), pushed(uid(), { subject: { reference: `Patient/${subject}` } })];
      await expect(push(bundle, 'B')).rejects.toMatchObject({ status: 422, issues: [{ code: 'not-found' }] });
    }
    expect(await count(at, 'study_claim')).toBe(before);
  });

  it('with an instance of another study is refused', async () => {
    await expect(push([pushed(uid(), { series: [ofSeries(uid(), ['2.25.511'])] })])).rejects.toMatchObject({ status: 409 });
    const twice = uid();
    await expect(
      push([pushed(uid(), { series: [ofSeries(uid(), [twice])] }), pushed(uid(), { series: [ofSeries(uid(), [twice])] })]),
    ).rejects.toMatchObject({ status: 409 });
  });
});

describe('a study that is pushed again', () => {
  it('by its custodian is merged: another time, in parts, in one transaction, in parallel', async () => {
    const s = uid();
    const part = (...uids: string[]) => pushed(s, { series: [ofSeries(`${s}.1`, uids)] });
    const [a, b, c, d] = [uid(), uid(), uid(), uid()] as const;
    const [first, second] = await push([part(a), part(a, b)]);
    const rows = await Promise.all([push([part(c)]), push([part(d)]), push([part(c, d)])]);
    expect(new Set([first, second, ...rows.flat()].map((r) => r?.id)).size).toBe(1);
    expect(await storedStudy(at, { studyId: first?.id })).toMatchObject({ numberOfSeries: 1, numberOfInstances: 4 });
  });

  it('keeps what the later push does not say', async () => {
    const s = uid();
    await push([pushed(s, { note: [{ text: 'first' }], series: [ofSeries(`${s}.1`, [], { description: 'one' })] })]);
    const [row] = await push([pushed(s, { description: 'later', series: [ofSeries(`${s}.2`, [])] })]);
    expect(toResource(row!)).toMatchObject({
      note: [{ text: 'first' }],
      description: 'later',
      series: [{ uid: `${s}.1`, description: 'one' }, { uid: `${s}.2` }],
    });
    expect(row?.version).toBe(2);
  });

  it('with another patient is refused', async () => {
    const s = uid();
    await push([pushed(s)]);
    const other = newId();
    await createResources(at.db, [
      { resource: { resourceType: 'Patient', id: other, identifier: [{ system: assigner('A'), value: '2' }] }, custodianId: 'A' },
    ]);
    await expect(push([pushed(s, { subject: { reference: `Patient/${other}` } })])).rejects.toMatchObject({ status: 409 });
  });

  it('by another hospital is another record', async () => {
    const s = uid();
    const ofB = newId();
    await createResources(at.db, [{ resource: { resourceType: 'Patient', id: ofB }, custodianId: 'B' }]);
    const [a] = await push([pushed(s)]);
    const [b] = await push([pushed(s, { subject: { reference: `Patient/${ofB}` } })], 'B');
    expect(b?.id).not.toBe(a?.id);
  });

  it('and found in the archive is one study: what was pushed stays, instances are found where they are', async () => {
    const [s, a, b] = [uid(), uid(), uid()];
    const [row] = await push([
      pushed(s, { description: 'by the system', note: [{ text: 'kept' }], series: [ofSeries(`${s}.1`, [a])] }),
    ]);
    const found = study(s, [series(`${s}.1`, [instance(a), instance(b)], { number: 7 })], {
      patient: WANG,
      description: 'by the scanner',
    });
    const submitted = await at.submit(found);
    expect(submitted).toMatchObject({ studyId: row?.id, created: false, quarantined: [] });
    const both = await storedStudy(at, submitted);
    expect(both).toMatchObject({
      description: 'by the system',
      started: found.started,
      note: [{ text: 'kept' }],
      numberOfInstances: 2,
      series: [{ number: 7 }],
    });
    expect((await at.submit(found)).changed).toBe(false);
    expect(
      (await at.submit(study(s, [series(`${s}.1`, [instance(a, { digest: '0'.repeat(64), locator: 'x' })])]))).quarantined,
    ).toHaveLength(1);
  });
});

describe('an update of a study', () => {
  it('replaces what was pushed; indexed instances stay', async () => {
    const [s, a, b] = [uid(), uid(), uid()];
    const [row] = await push([pushed(s, { note: [{ text: 'old' }], description: 'old', series: [ofSeries(`${s}.1`, [a])] })]);
    const updated = toResource(
      await put(row!, pushed(s, { id: row?.id, description: 'new', series: [ofSeries(`${s}.1`, [b])] })),
    );
    expect(updated).toMatchObject({ description: 'new', numberOfInstances: 2 });
    expect(updated.note).toBeUndefined();
  });

  it('that says nothing new makes no version', async () => {
    const submitted = await at.submit(study(uid(), [series(uid(), [instance(uid())])]));
    const stored = await storedStudy(at, submitted);
    const [row] = await at.db.query<ResourceRow & Record<string, unknown>>(
      sql`select * from resource where type = 'ImagingStudy' and id = ${stored.id}`,
    );
    expect((await put(row!, stored)).version).toBe(1);
  });

  it('changes neither the Study Instance UID nor the patient', async () => {
    const s = uid();
    const [row] = await push([pushed(s)]);
    await expect(put(row!, pushed(uid(), { id: row?.id }))).rejects.toMatchObject({ status: 422 });
    const other = newId();
    await createResources(at.db, [{ resource: { resourceType: 'Patient', id: other }, custodianId: 'A' }]);
    await expect(put(row!, pushed(s, { id: row?.id, subject: { reference: `Patient/${other}` } }))).rejects.toMatchObject({
      status: 422,
    });
  });
});

async function counted(work: (tx: Queryable) => Promise<ResourceRow[]>): Promise<{ rows: ResourceRow[]; statements: number }> {
  let statements = 0;
  const rows = await at.db.transaction((tx) =>
    work({
      query: (statement: Sql) => {
        statements++;
        return tx.query(statement);
      },
    }),
  );
  return { rows, statements };
}
