/**
 * What happens between A and B that C, D, E and the patient of `otherOfA` may not know of, reaching for what they see. E reads B's records by an
 * agreement without limits, and A's CT studies by one that is limited to them: so what E sees is referred to by what it may not know of, and
 * refers to it. C is a stranger, D knows of A's records of one patient and reads none.
 */
import { extensions, systems } from '../../../fhir-profiles/codes.js';
import type { Database } from '../../../hub/store/database.js';
import { createResources } from '../../../hub/store/resources.js';
import { sql } from '../../../hub/store/sql.js';
import { newUid, samplePatient, sampleStudy } from '../../support/fhir-samples.js';
import type { RunningHub } from '../../support/running-hub.js';
import {
  assigner,
  businessStatus,
  type Client,
  clientOf,
  kindOfTask,
  made,
  organization,
  series,
  studyUidOf,
  type World,
} from './world.js';

type Made = ReturnType<typeof made>;

const coding = (code: string) => ({ system: systems.dicomTerminology, code });
const RESTRICTED = { security: [{ system: systems.confidentiality, code: 'R' }] };
const to = ({ resourceType, id }: Made) => ({ reference: `${resourceType}/${id}` });
const study = (of: Made, modality: string, more: object = {}) =>
  sampleStudy(of.id, { modality: [coding(modality)], series: [series({ modality: coding(modality) })], ...more });
const about = (subject: Made, more: object = {}) => ({ status: 'final', code: { text: 'x' }, subject: to(subject), ...more });
const order = (subject: Made, more: object = {}) => ({
  resourceType: 'ServiceRequest',
  ...about(subject, { status: 'active', intent: 'order', ...more }),
});
const consent = (of: Made, type: 'permit' | 'deny') => ({
  resourceType: 'Consent',
  status: 'active',
  scope: { coding: [{ system: systems.consentScope, code: 'patient-privacy' }] },
  category: [{ coding: [{ system: systems.loinc, code: '59284-0' }] }],
  patient: to(of),
  dateTime: '2024-03-01',
  organization: [organization('b')],
  policy: [{ uri: 'https://federation-hub.example/policies/opt-in' }],
  provision: { type },
});

/** Before the two worlds part: what E sees of A and B, and its own. */
export async function settle(world: World) {
  const { hub } = world;
  await hub.join([{ id: 'e', assigner: assigner('e') }]);
  const registry = clientOf(hub, await hub.system('commission', 'hub-administrator'));
  const agreement = (id: string, custodian: string, more: object) =>
    registry.put({
      resourceType: 'OrganizationAffiliation',
      id,
      active: true,
      period: { start: '2024-01-01' },
      organization: organization(custodian),
      participatingOrganization: organization('e'),
      code: [{ coding: [{ system: systems.affiliationKind, code: 'sharing-agreement' }] }],
      ...more,
    });
  const ct = { url: extensions.sharingScope, extension: [{ url: 'modality', valueCoding: coding('CT') }] };
  made(await agreement('a-to-e', 'a', { extension: [ct] }));
  made(await agreement('b-to-e', 'b', {}));
  await hub.sign('a-to-e', 'a', 'e');
  await hub.sign('b-to-e', 'b', 'e');
  const [a, b, e] = [world.systems.a, world.systems.b, clientOf(hub, await hub.system('e'))];
  const post = async (client: Client, body: object): Promise<Made> => made(await client.post(body));
  const person = (client: Client, hospital: string, number: string, text: string) =>
    post(client, samplePatient(assigner(hospital), number, { name: [{ text }], birthDate: `1990-01-${10 + text.length}` }));
  const ofA = await person(a, 'a', 'A5', '秦舞阳');
  const orderOfA = await post(a, order(ofA));
  const studyOfA = await post(a, study(ofA, 'CT', { basedOn: [to(orderOfA)] }));
  const ofB = await person(b, 'b', 'B5', '秦始');
  const studyOfB = await post(b, study(ofB, 'CT'));
  const observation = await post(b, { resourceType: 'Observation', ...about(ofB, { derivedFrom: [to(studyOfB)] }) });
  // what is seen refers to what is not: an order and a Patient of A, and this
  const restricted = await post(b, { resourceType: 'Observation', ...about(ofB, { meta: RESTRICTED }) });
  await post(b, { resourceType: 'Observation', ...about(ofB, { derivedFrom: [to(restricted)] }) });
  const report = await post(b, {
    resourceType: 'DiagnosticReport',
    ...about(ofB, { result: [to(observation), to(restricted)] }),
  });
  const withheld = await post(a, study(world.patientOfA, 'MR', { description: 'a secret' }));
  const ofE = await person(e, 'e', 'E1', '秦越人');
  const studyOfE = await post(e, study(ofE, 'MR'));
  return { ofA, orderOfA, studyOfA, ofB, studyOfB, observation, restricted, report, withheld, ofE, studyOfE };
}

export type Settled = Awaited<ReturnType<typeof settle>>;

/** Names of what only the busy world has. */
export interface Secrets {
  records: string[];
  uids: string[];
  patients: string[];
}

/** Makes one of the worlds a busy one. */
export async function happen(hub: RunningHub, db: Database, world: World, settled: Settled): Promise<Secrets> {
  const [a, b] = [clientOf(hub, await hub.system('a')), clientOf(hub, await hub.system('b'))];
  const secrets: Secrets = { records: [], uids: [], patients: [] };
  const keep = <T extends Made>(resource: T): T => {
    secrets.records.push(`${resource.resourceType}/${resource.id}`);
    if (resource.resourceType === 'Patient') secrets.patients.push(resource.id);
    if (resource.resourceType === 'ImagingStudy') secrets.uids.push(studyUidOf(resource));
    return resource;
  };
  const post = async (client: Client, body: object): Promise<Made> => keep(made(await client.post(body)));
  const put = async (client: Client, body: Made): Promise<Made> => {
    const { status, body: answer, text } = await client.put(body);
    if (status !== 200) throw new Error(`not updated: ${status} ${text}`);
    return answer;
  };
  for (let i = 0; i < 3; i += 1) {
    // a number that C uses too, a study under the Study Instance UID of one of C's
    const person = { name: [{ text: `秦时${i}` }], birthDate: `1960-01-0${i + 1}` };
    const patient = await post(a, samplePatient(assigner('a'), `C${i}`, person));
    const uid = i === 0 ? studyUidOf(world.studyOfC) : newUid();
    const identifier = [{ system: systems.dicomUid, value: `urn:oid:${uid}` }];
    const of = await post(a, study(patient, 'MR', { identifier, started: `202${i}-05-06` }));
    await post(a, { resourceType: 'Observation', ...about(patient, { derivedFrom: [to(of)] }) });
    await post(a, { resourceType: 'DiagnosticReport', ...about(patient) });
  }
  // what is seen refers to these, and they change
  const active = settled.orderOfA;
  const noted = await put(a, { ...active, note: [{ text: 'x' }] });
  const number = { system: 'urn:oid:1.2.3', value: '1' };
  await put(a, {
    ...noted,
    status: 'completed',
    priority: 'stat',
    authoredOn: '2026-05-07',
    identifier: [number],
    requester: organization('a'),
  });
  const renamed = { ...settled.ofA, name: [{ text: '秦时明' }], gender: 'female', birthDate: '1960-06-06', active: true };
  await put(a, { ...renamed, managingOrganization: organization('a') });
  await put(b, {
    ...settled.restricted,
    status: 'amended',
    category: [{ text: 'x', coding: [coding('x')] }],
    effectiveDateTime: '2026-05-07',
  });
  secrets.records.push(...[active, settled.restricted].map((r) => `${r.resourceType}/${r.id}`));
  // this refers to what is seen
  const { ofA, ofB, studyOfB, observation } = settled;
  await post(a, study(ofA, 'MR'));
  await post(a, { resourceType: 'Observation', ...about(ofA, { basedOn: [to(active)], effectiveDateTime: '2026-05-07' }) });
  const labelled = { meta: RESTRICTED, effectiveDateTime: '2026-05-07' };
  await post(b, study(ofB, 'MR', { meta: RESTRICTED }));
  const measured = await post(b, { resourceType: 'Observation', ...about(ofB, { ...labelled, derivedFrom: [to(studyOfB)] }) });
  await put(b, { ...measured, status: 'amended' });
  await post(b, { resourceType: 'DiagnosticReport', ...about(ofB, { ...labelled, result: [to(observation), to(measured)] }) });
  const asked = await post(b, order(ofB, { performer: [organization('a')] }));
  const task = await post(b, {
    resourceType: 'Task',
    status: 'requested',
    intent: 'order',
    code: kindOfTask('consultation-request'),
    focus: to(asked),
    for: to(ofB),
    requester: organization('b'),
    owner: organization('a'),
    input: [{ type: { text: 'study' }, valueReference: to(studyOfB) }],
  });
  await put(a, { ...task, businessStatus: businessStatus('accepted'), status: 'accepted' });
  await post(b, consent(ofB, 'permit'));
  // a patient of B who forbids it, of whom E would read everything
  const silent = await post(b, samplePatient(assigner('b'), 'B6', { name: [{ text: '秦无言' }], birthDate: '1991-02-03' }));
  await post(b, consent(silent, 'deny'));
  await post(b, { resourceType: 'Observation', ...about(silent, { derivedFrom: [to(await post(b, study(silent, 'CT')))] }) });
  // A and B may have one person twice
  const twice = { name: [{ text: '秦双双' }], birthDate: '1971-07-07' };
  await post(a, samplePatient(assigner('a'), 'A7', twice));
  await post(b, consent(await post(b, samplePatient(assigner('b'), 'B7', twice)), 'deny'));
  // what is withheld from D says something else
  await put(a, { ...settled.withheld, description: 'another secret' });
  const [provenance] = await createResources(db, [
    { resource: { resourceType: 'Provenance', target: [to(studyOfB)], recorded: '2026-05-07T00:00:00Z' }, custodianId: 'b' },
  ]);
  secrets.records.push(`Provenance/${provenance?.id}`);
  for (const custodian of ['a', 'b'])
    await db.query(sql`
      insert into quarantine (id, custodian_id, locator, reason, detail, study_instance_uid)
      values (${newUid()}, ${custodian}, 'x', 'digest-conflict', 'x', ${studyUidOf(studyOfB)})`);
  return secrets;
}
