import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { extensions, systems } from '../../../fhir-profiles/codes.js';
import type { FhirResource } from '../../../hub/store/search-keys.js';
import { newUid } from '../../support/fhir-samples.js';
import { type Client, clientOf, made, openWorld, series, studyUidOf, type World } from '../security/world.js';

const CHEST = '816094009';
const HEAD = '69536005';

let world: World;
let admin: Client;
let reader: Client;
let auditor: Client;
/** CT of the chest, MR of the head, and a series that does not say what it shows. */
let mixed: FhirResource & { id: string };
/** A study of nothing but what the agreement covers. */
let whole: FhirResource & { id: string };
/** A study of nothing that the agreement covers. */
let foreign: FhirResource & { id: string };
const uids = { shown: newUid(), hidden: newUid(), silent: newUid() };

const coding = (code: string) => ({ system: systems.dicomTerminology, code });
const site = (code: string) => ({ system: systems.snomed, code });
const limit = (url: string, value: object) => ({ url, ...value });
const agreement = (id: string, ...more: object[]) => ({
  resourceType: 'OrganizationAffiliation',
  id,
  active: true,
  period: { start: '2026-01-01' },
  organization: { reference: 'Organization/a' },
  participatingOrganization: { reference: 'Organization/c' },
  code: [{ coding: [{ system: systems.affiliationKind, code: 'sharing-agreement' }] }],
  extension: [
    {
      url: extensions.sharingScope,
      extension: [limit('modality', { valueCoding: coding('CT') }), limit('bodySite', { valueCoding: site(CHEST) }), ...more],
    },
  ],
});
const bySeries = limit('granularity', { valueCode: 'series' });
const shownOf = (resource: FhirResource): string[] => (resource.series ?? []).map((s: { uid: string }) => s.uid);
/** Studies that are found, the reader's own hospital's aside. */
async function found(query: string, client = reader): Promise<string[]> {
  const { status, body } = await client.get(`/fhir/ImagingStudy${query}`);
  expect(status).toBe(200);
  return (body.entry ?? [])
    .filter((e: { search: { mode: string } }) => e.search.mode === 'match')
    .map((e: { resource: { id: string } }) => e.resource.id)
    .filter((id: string) => id !== world.studyOfC.id)
    .sort();
}

beforeAll(async () => {
  world = await openWorld();
  admin = clientOf(world.hub, await world.hub.system('commission', 'hub-administrator'));
  reader = await world.person('physician-c');
  auditor = await world.person('auditor');
  mixed = await world.study('a', world.patientOfA, {
    description: 'head and chest',
    note: [{ text: 'the head was done too' }],
    series: [
      series({ uid: uids.shown, bodySite: site(CHEST), description: 'shown' }),
      series({ uid: uids.hidden, modality: coding('MR'), bodySite: site(HEAD), description: 'hidden-description' }),
      series({ uid: uids.silent, description: 'silent-description' }),
    ],
  });
  whole = await world.study('a', world.otherOfA, { description: 'chest', series: [series({ bodySite: site(CHEST) })] });
  foreign = await world.study('a', world.patientOfA, { series: [series({ modality: coding('MR'), bodySite: site(HEAD) })] });
  expect((await admin.put(agreement('parts', bySeries) as FhirResource)).status).toBe(201);
  expect((await reader.get(`/fhir/ImagingStudy/${mixed.id}`)).status).toBe(404);
  await world.hub.sign('parts', 'a', 'c');
});
afterAll(() => world?.hub.stop());

describe('an agreement that looks at each series by itself', () => {
  it('shows the series that it covers, says that there is more, and counts what is shown', async () => {
    const { status, body, text } = await reader.get(`/fhir/ImagingStudy/${mixed.id}`);
    expect(status).toBe(200);
    expect(shownOf(body)).toEqual([uids.shown]);
    expect(body).toMatchObject({
      numberOfSeries: 1,
      numberOfInstances: 1,
      modality: [coding('CT')],
      status: mixed.status,
      started: mixed.started,
    });
    expect(body.extension).toContainEqual({ url: extensions.withheldParts, valueBoolean: true });
    expect(body.extension).toContainEqual({ url: extensions.custodian, valueReference: { reference: 'Organization/a' } });
    for (const secret of [uids.hidden, uids.silent, 'hidden-description', 'silent-description', 'head', 'MR', HEAD])
      expect(text).not.toContain(secret);
  });

  it('shows a study whole where it covers all of it, and not at all where it covers nothing', async () => {
    const all = (await reader.get(`/fhir/ImagingStudy/${whole.id}`)).body;
    expect(all.description).toBe('chest');
    expect(all.extension.map((e: { url: string }) => e.url)).not.toContain(extensions.withheldParts);
    expect((await reader.get(`/fhir/ImagingStudy/${foreign.id}`)).status).toBe(404);
    // the custodian and the patient see everything as before
    for (const client of [world.systems.a, await world.person('patient-1')])
      expect(shownOf((await client.get(`/fhir/ImagingStudy/${mixed.id}`)).body)).toHaveLength(3);
    // to nobody else it says anything
    for (const name of ['physician-d', 'physician-b'])
      expect((await (await world.person(name)).get(`/fhir/ImagingStudy/${mixed.id}`)).body.extension ?? []).not.toContainEqual({
        url: extensions.withheldParts,
        valueBoolean: true,
      });
  });

  it('is the same on every path: search, POST search, vread, history, batch, include', async () => {
    const expectPart = (resource: FhirResource) => {
      expect(shownOf(resource)).toEqual([uids.shown]);
      expect(JSON.stringify(resource)).not.toContain('hidden-description');
    };
    const entry = (body: { entry: { resource: FhirResource }[] }) =>
      body.entry.map((e) => e.resource).find((r) => r.id === mixed.id)!;
    expectPart(entry((await reader.get(`/fhir/ImagingStudy?_id=${mixed.id}`)).body));
    expectPart((await reader.get(`/fhir/ImagingStudy/${mixed.id}/_history/1`)).body);
    const history = (await reader.get(`/fhir/ImagingStudy/${mixed.id}/_history`)).body;
    expect(history.entry).toHaveLength(1);
    expectPart(history.entry[0].resource);
    const batch = {
      resourceType: 'Bundle',
      type: 'batch',
      entry: [{ request: { method: 'GET', url: `ImagingStudy/${mixed.id}` } }],
    };
    expectPart((await reader.post(batch, '/fhir')).body.entry[0].resource);
    const elements = entry(
      (await reader.get(`/fhir/ImagingStudy?_id=${mixed.id}&_elements=series,numberOfSeries,description,note`)).body,
    );
    expectPart(elements);
    expect(elements).toMatchObject({ numberOfSeries: 1 });
    expect(elements.description ?? elements.note).toBeUndefined();
    const summary = entry((await reader.get(`/fhir/ImagingStudy?_id=${mixed.id}&_summary=true`)).body);
    expect(summary.numberOfSeries).toBe(1);
    const { body: patched } = await world.systems.a.put({ ...mixed, description: 'changed' });
    expect(patched.meta.versionId).toBe('2');
    const versions = (await reader.get(`/fhir/ImagingStudy/${mixed.id}/_history`)).body.entry;
    expect(versions).toHaveLength(2);
    for (const version of versions) expectPart(version.resource);
    expectPart((await reader.get(`/fhir/ImagingStudy/${mixed.id}/_history/1`)).body);
  });

  it('is found by what is shown, and by nothing that is not', async () => {
    const both = [mixed.id, whole.id].sort();
    expect(await found('')).toEqual(both);
    expect(await found('?modality=CT')).toEqual(both);
    expect(await found(`?modality=${systems.dicomTerminology}|CT`)).toEqual(both);
    expect(await found(`?modality=${systems.dicomTerminology}|`)).toEqual(both);
    expect(await found('?modality=MR')).toEqual([]);
    expect(await found('?modality=MR,CT')).toEqual(both);
    expect(await found('?modality=|CT')).toEqual([]);
    expect(await found(`?modality=urn:x:y|CT`)).toEqual([]);
    expect(await found(`?bodysite=${CHEST}`)).toEqual(both);
    expect(await found(`?bodysite=${HEAD}`)).toEqual([]);
    expect(await found(`?modality=CT&bodysite=${HEAD}`)).toEqual([]);
    expect(await found(`?identifier=urn:dicom:uid|urn:oid:${studyUidOf(mixed)}`)).toEqual([mixed.id]);
    expect(await found(`?identifier=${uids.hidden}`)).toEqual([]);
    expect(await found(`?started=ge2000`)).toEqual(both);
    expect(await found(`?status=${mixed.status}`)).toEqual(both);
    // what can't be told of the part alone does not find it, whatever the other series are
    for (const query of [
      '?modality:not=US',
      '?bodysite:missing=false',
      '?_security=x',
      '?basedon=ServiceRequest/x',
      '?_has:Observation:derived-from:status=final',
    ])
      expect(await found(query)).not.toContain(mixed.id);
    for (const [query, total] of [
      ['?modality=CT', 3],
      ['?modality=MR', 0],
      [`?bodysite=${HEAD}`, 0],
      ['?', 3],
    ] as const) {
      expect((await reader.get(`/fhir/ImagingStudy${query}&_summary=count`)).body.total).toBe(total);
      expect((await reader.get(`/fhir/ImagingStudy${query}&_total=accurate`)).body.total).toBe(total);
    }
    expect(await found('?_sort=-started&_count=50')).toEqual(both);
  });

  it('is the same by QIDO-RS: its series, its counts, and by what it is found', async () => {
    const qido = async (path: string) => {
      const { status, text } = await reader.get(`/dicomweb/${path}`);
      expect([200, 204]).toContain(status);
      for (const secret of [uids.hidden, uids.silent, 'hidden-description', 'head']) expect(text).not.toContain(secret);
      const found: Record<string, { Value?: unknown[] }>[] = status === 204 ? [] : JSON.parse(text);
      return found.filter((one) => one['0020000D']?.Value?.[0] === studyUidOf(mixed));
    };
    const study = `StudyInstanceUID=${studyUidOf(mixed)}`;
    for (const query of [
      '',
      study,
      'ModalitiesInStudy=CT',
      'ModalitiesInStudy=C*',
      `StudyDate=20260506`,
      `SeriesInstanceUID=${uids.shown}`,
    ]) {
      const level = query.startsWith('Series') ? 'series' : 'studies';
      const [one, ...more] = await qido(`${level}?${query}&includefield=all`);
      expect([one?.['00080061']?.Value, one?.['00201206']?.Value, one?.['00201208']?.Value, more]).toEqual([
        ['CT'],
        [1],
        [1],
        [],
      ]);
      expect(one?.['00081030']).toEqual({ vr: 'LO' });
    }
    for (const query of [
      'ModalitiesInStudy=MR',
      'ModalitiesInStudy=M*',
      'StudyDescription=head*',
      'StudyID=?*',
      'ReferringPhysicianName=?*',
    ])
      expect(await qido(`studies?${query}`)).toEqual([]);
    for (const key of [`SeriesInstanceUID=${uids.hidden}`, 'Modality=MR', 'SeriesDescription=hidden*'])
      expect(await qido(`series?${key}`)).toEqual([]);
    expect(await qido(`studies/${studyUidOf(mixed)}/series`)).toMatchObject([{ '0020000E': { Value: [uids.shown] } }]);
    expect(await qido(`studies/${studyUidOf(mixed)}/instances`)).toHaveLength(1);
    expect(await qido(`studies/${studyUidOf(mixed)}/series/${uids.hidden}/instances`)).toEqual([]);
  });

  it('is not called withheld where the patient is registered with the reader', async () => {
    const more = { ...agreement('parts-d', bySeries), participatingOrganization: { reference: 'Organization/d' } };
    expect((await admin.put(more as FhirResource)).status).toBe(201);
    const registered = await world.person('physician-d');
    const ofPatient = async () => (await registered.get(`/fhir/ImagingStudy?patient=${world.patientOfD.id}`)).body.entry;
    const withheld = (entries: { resource: FhirResource }[]) =>
      JSON.stringify(entries.filter((e) => e.resource.resourceType === 'OperationOutcome'));
    expect(withheld(await ofPatient())).toContain(mixed.id);
    await world.hub.sign('parts-d', 'a', 'd');
    const entries = await ofPatient();
    expect(withheld(entries)).not.toContain(mixed.id);
    expect(withheld(entries)).toContain(foreign.id);
    expect(shownOf(entries.find((e: { resource: FhirResource }) => e.resource.id === mixed.id).resource)).toEqual([uids.shown]);
    expect((await admin.put({ ...more, active: false } as FhirResource)).status).toBe(200);
  });

  it('opens no more than to see: no scoring, no disclosure, no change', async () => {
    const ask = async (action: string) =>
      (await reader.post({ resource: `ImagingStudy/${mixed.id}`, action }, '/access/explain')).body;
    for (const action of ['score', 'write', 'disclose']) expect((await ask(action)).allowed).toBe(false);
    expect(await ask('read')).toMatchObject({
      allowed: true,
      part: true,
      basis: 'agreement-part',
      evidence: [{ kind: 'agreement', id: 'parts' }],
    });
    expect(await ask('retrieve')).toMatchObject({ allowed: true, part: true });
    const other = { subject: { organization: 'c', role: 'physician', purpose: 'TREAT' } };
    const seen = await auditor.post({ resource: `ImagingStudy/${mixed.id}`, action: 'read', ...other }, '/access/explain');
    expect(seen.body).toMatchObject({ allowed: true, part: true, signatures: [{ organization: 'a' }, { organization: 'c' }] });
    const wholeStudy = await reader.post({ resource: `ImagingStudy/${whole.id}`, action: 'read' }, '/access/explain');
    expect(wholeStudy.body).toMatchObject({ allowed: true, basis: 'agreement' });
    expect(wholeStudy.body.part).toBeUndefined();
    const { rows } = await world.hub.db.pool.query(
      "select distinct basis from audit_event where $1 = any(entity) and outcome = 0 and basis is not null and organization_id = 'c'",
      [`ImagingStudy/${mixed.id}`],
    );
    expect(rows).toEqual([{ basis: 'agreement-part' }]);
  });

  it('gives way to the patient’s consent, and to another granularity', async () => {
    const consent = made(
      await (await world.person('patient-1')).post({
        resourceType: 'Consent',
        status: 'active',
        scope: { coding: [{ system: systems.consentScope, code: 'patient-privacy' }] },
        category: [{ coding: [{ system: systems.loinc, code: '59284-0' }] }],
        patient: { reference: `Patient/${world.patientOfA.id}` },
        dateTime: '2026-03-08',
        policy: [{ uri: 'https://federation-hub.example/fhir/policy/imaging-sharing' }],
        provision: { type: 'deny' },
      }),
    );
    expect(await found('')).toEqual([whole.id]);
    expect((await reader.get(`/fhir/ImagingStudy/${mixed.id}`)).status).not.toBe(200);
    expect((await (await world.person('patient-1')).put({ ...consent, status: 'inactive' })).status).toBe(200);
    expect(await found('')).toHaveLength(2);
    expect((await admin.put(agreement('parts', limit('granularity', { valueCode: 'study' })) as FhirResource)).status).toBe(200);
    expect(await found('')).toEqual([]);
    await world.hub.sign('parts', 'a', 'c');
    expect(await found('')).toEqual([whole.id]);
    for (const wrong of [
      [limit('granularity', { valueCode: 'instance' })],
      [bySeries, limit('granularity', { valueCode: 'study' })],
    ])
      expect((await admin.put(agreement('parts', ...wrong) as FhirResource)).status).toBe(422);
  });
});
