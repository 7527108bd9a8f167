/** Hospitals A (whose system sends HL7 v2) and B in a consortium, and D in none, behind the front door. */
import { systems } from '../../../fhir-profiles/codes.js';
import { addSource } from '../../../hub/ingest/hospital.js';
import { submitStudy } from '../../../hub/ingest/submit-study.js';
import type { FhirResource } from '../../../hub/store/search-keys.js';
import { samplePatient, sampleStudy } from '../../support/fhir-samples.js';
import { codeOf, hl7, mllpClient, pid } from '../../support/mllp.js';
import { freePort } from '../../support/free-port.js';
import { startHub } from '../../support/running-hub.js';
import { type Client, clientOf, made, series } from '../security/world.js';
import { instance, series as ofSeries, study as described } from '../ingest/studies.js';

export const assigner = (hospital: string): string => `urn:oid:1.2.826.0.1.3680043.10.1451.${hospital.charCodeAt(0)}`;

type Resource = FhirResource & { id: string };

export async function mergingRegion() {
  const hub = await startHub();
  await hub.join(
    ['a', 'b'].map((id) => ({ id, assigner: assigner(id) })),
    'union',
  );
  await hub.join([{ id: 'd', assigner: assigner('d') }]);
  const port = await freePort();
  await addSource(hub.db, { id: 'a.his', organizationId: 'a', kind: 'hl7v2', settings: { port, peers: ['127.0.0.1'] } });
  await hub.hub.sources.idle();
  const his = await mllpClient(port);
  const system = async (id: string): Promise<Client> => clientOf(hub, await hub.system(id));
  const [a, b, d] = [await system('a'), await system('b'), await system('d')];
  await hub.enrol(
    ...['a', 'b', 'd'].flatMap((id) => [
      { username: `physician-${id}`, role: 'physician' as const, organizationId: id },
      { username: `administrator-${id}`, role: 'hospital-administrator' as const, organizationId: id },
      { username: `steward-${id}`, role: 'identity-steward' as const, organizationId: id },
    ]),
  );
  const person = async (username: string, purpose?: string): Promise<Client> =>
    clientOf(hub, await hub.person(username, purpose));
  let images = 0;
  const at = {
    hub,
    a,
    b,
    d,
    person,
    send: async (message: string): Promise<string> => codeOf((await his.send(message))[0] ?? []),
    /** Sends and fails unless it was taken. */
    say: async (message: string): Promise<void> => {
      const [answer = []] = await his.send(message);
      if (codeOf(answer) !== 'AA') throw new Error(answer.join('\n'));
    },
    register: (number: string, fields: Record<number, string> = {}) => at.say(hl7('ADT^A04', [pid(number, fields)])),
    merge: (survivor: string, retired: string, fields: Record<number, string> = {}) =>
      at.send(hl7('ADT^A40^ADT_A39', [pid(survivor, fields), `MRG|${retired}`])),
    move: (number: string, to: string) => at.send(hl7('ADT^A43^ADT_A43', [`PID|||${to}`, `MRG|${number}`])),
    /** A's Patients by a number, active and not. */
    patientsOf: async (number: string, by: Client = a): Promise<Resource[]> =>
      ((await by.get(`/fhir/Patient?identifier=${assigner('a')}|${number}`)).body.entry ?? []).map(
        (e: { resource: Resource }) => e.resource,
      ),
    patientOf: async (number: string): Promise<Resource> => {
      const [patient] = await at.patientsOf(number);
      if (!patient) throw new Error(`nobody has the number ${number}`);
      return patient;
    },
    /** A study that A's system pushes. */
    study: async (number: string, more: Record<string, unknown> = {}): Promise<Resource> =>
      made(await a.post(sampleStudy((await at.patientOf(number)).id, { series: [series()], ...more }))),
    /** A study that A's archive is found to hold, whose images say this of the patient. */
    image: (number: string, patient: object = {}): Promise<{ studyId?: string; patientId?: string; quarantined: object[] }> => {
      images += 1;
      const uid = `2.25.77.${images}`;
      const given = described(uid, [ofSeries(`${uid}.1`, [instance(`${uid}.1.1`)])], {
        patient: { patientId: number, ...patient },
      });
      return hub.db.transaction((tx) =>
        submitStudy(tx, { audit: hub.hub.audit }, { custodianId: 'a', connectorId: 'a.pacs', requestId: 'test', study: given }),
      );
    },
    found: async (by: Client, query: string): Promise<string[]> =>
      ((await by.get(`/fhir/${query}`)).body.entry ?? [])
        .filter((e: { search: { mode: string } }) => e.search.mode === 'match')
        .map((e: { resource: Resource }) => e.resource.id)
        .sort(),
    studiesByNumber: (number: string, by: Client = a) =>
      at.found(by, `ImagingStudy?patient.identifier=${assigner('a')}|${number}`),
    patientAt: async (hospital: 'b' | 'd', number: string, more: Record<string, unknown> = {}): Promise<Resource> =>
      made(await { b, d }[hospital].post(samplePatient(assigner(hospital), number, more))),
    consent: (patientId: string, changes: object = {}): FhirResource => ({
      resourceType: 'Consent',
      status: 'active',
      scope: { coding: [{ system: systems.consentScope, code: 'patient-privacy' }] },
      category: [{ coding: [{ system: systems.loinc, code: '59284-0' }] }],
      patient: { reference: `Patient/${patientId}` },
      dateTime: '2026-01-01',
      policyRule: { coding: [{ system: systems.actCode, code: 'OPTOUT' }] },
      ...changes,
    }),
    stop: async () => {
      his.end();
      await hub.stop();
    },
  };
  return at;
}

export type MergingRegion = Awaited<ReturnType<typeof mergingRegion>>;
