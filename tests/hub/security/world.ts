/**
 * A small region behind its front door. A and B are one consortium. The person of `patientOfA` is also registered at B (`patientOfB`) and at
 * D (`patientOfD`, of no consortium: D may know of A's studies, and reads none). C is a stranger to all of them.
 */
import { systems } from '../../../fhir-profiles/codes.js';
import { withCheckDigit } from '../../../hub/identity/national-identifier.js';
import type { FhirResource } from '../../../hub/store/search-keys.js';
import { newUid, samplePatient, sampleStudy } from '../../support/fhir-samples.js';
import { type RunningHub, startHub } from '../../support/running-hub.js';

export const assigner = (hospital: string): string => `urn:oid:1.2.826.0.1.3680043.10.1451.${hospital.charCodeAt(0)}`;
export const NATIONAL = withCheckDigit('11010519700102101');
export const NAME = '李雷';

export interface Answer {
  status: number;
  // biome-ignore lint/suspicious/noExplicitAny: a FHIR resource, an outcome or a page
  body: any;
  text: string;
  headers: Record<string, string>;
}

export type Headers = Record<string, string>;

/** Somebody with a token. */
export interface Client {
  get(path: string, headers?: Headers): Promise<Answer>;
  /** Creates; `path` where it is not the type's own. */
  post(body: object, path?: string, headers?: Headers): Promise<Answer>;
  put(body: FhirResource, path?: string, headers?: Headers): Promise<Answer>;
  delete(path: string): Promise<Answer>;
}

export function clientOf(hub: RunningHub, token: string | undefined): Client {
  const authorization: Headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const send = async (
    method: 'get' | 'post' | 'put' | 'delete',
    path: string,
    body: object | undefined,
    more: Headers = {},
  ): Promise<Answer> => {
    const type = path.startsWith('/fhir') ? 'application/fhir+json' : 'application/json';
    const request = hub
      .http()
      [method](path)
      .set({ ...authorization, ...(body ? { 'content-type': type } : {}), ...more });
    const { status, text, headers } = await (body ? request.send(JSON.stringify(body)) : request);
    return {
      status,
      text: text ?? '',
      headers,
      body: /[/+]json/.test(headers['content-type'] ?? '') && text ? JSON.parse(text) : undefined,
    };
  };
  return {
    get: (path, headers) => send('get', path, undefined, headers),
    post: (body, path, headers) => send('post', path ?? `/fhir/${(body as FhirResource).resourceType}`, body, headers),
    put: (body, path, headers) => send('put', path ?? `/fhir/${body.resourceType}/${body.id}`, body, headers),
    delete: (path) => send('delete', path, undefined),
  };
}

export const made = (answer: Answer): FhirResource & { id: string } => {
  if (answer.status !== 201) throw new Error(`not created: ${answer.status} ${answer.text}`);
  return answer.body;
};

export const organization = (id: string) => ({ reference: `Organization/${id}` });
export const kindOfTask = (code: string) => ({ coding: [{ system: systems.taskKind, code }] });
export const businessStatus = (code: string) => ({ coding: [{ system: systems.businessStatus, code }] });

const nationalIdentifier = { system: systems.nationalIdentifier, value: NATIONAL };
const numbered = (hospital: string, number: string) => ({ system: assigner(hospital), value: number });

export const studyUidOf = (study: FhirResource): string =>
  study.identifier.find((i: { system: string }) => i.system === systems.dicomUid).value.replace('urn:oid:', '');

export async function openWorld(options: Parameters<typeof startHub>[0] = {}) {
  const hub = await startHub(options);
  await hub.join(
    ['a', 'b'].map((id) => ({ id, assigner: assigner(id) })),
    'union',
  );
  await hub.join(['c', 'd'].map((id) => ({ id, assigner: assigner(id) })));
  const system = async (id: string) => clientOf(hub, await hub.system(id));
  const systemsOf = { a: await system('a'), b: await system('b'), c: await system('c'), d: await system('d') };
  const patient = async (hospital: keyof typeof systemsOf, number: string, more: Record<string, unknown> = {}) =>
    made(await systemsOf[hospital].post(samplePatient(assigner(hospital), number, { name: [{ text: NAME }], ...more })));
  const linked = (hospital: keyof typeof systemsOf, number: string) =>
    patient(hospital, number, { identifier: [numbered(hospital, number), nationalIdentifier] });
  const patientOfA = await linked('a', 'A1');
  const otherOfA = await patient('a', 'A2', { name: [{ text: '韩梅梅' }], gender: 'female', birthDate: '1981-03-04' });
  const patientOfB = await linked('b', 'B1');
  const patientOfC = await patient('c', 'C1', { name: [{ text: '周吴郑' }], birthDate: '1990-09-09' });
  const patientOfD = await linked('d', 'D1');
  const study = async (hospital: keyof typeof systemsOf, of: FhirResource, more: Record<string, unknown> = {}) =>
    made(await systemsOf[hospital].post(sampleStudy(of.id!, { series: [series()], ...more })));
  const studyOfA = await study('a', patientOfA, { description: 'secret-description' });
  const otherStudyOfA = await study('a', otherOfA);
  const studyOfC = await study('c', patientOfC);
  await hub.enrol(
    ...['a', 'b', 'c', 'd'].flatMap((id) => [
      { username: `physician-${id}`, role: 'physician' as const, organizationId: id },
      { username: `administrator-${id}`, role: 'hospital-administrator' as const, organizationId: id },
      { username: `steward-${id}`, role: 'identity-steward' as const, organizationId: id },
    ]),
    { username: 'officer', role: 'commission-officer', organizationId: 'commission' },
    { username: 'auditor', role: 'auditor', organizationId: 'commission' },
    { username: 'patient-1', role: 'patient', patientId: patientOfA.id },
    { username: 'patient-2', role: 'patient', patientId: otherOfA.id },
  );
  return {
    hub,
    systems: systemsOf,
    person: async (username: string, purpose?: string) => clientOf(hub, await hub.person(username, purpose)),
    patient,
    study,
    patientOfA,
    otherOfA,
    patientOfB,
    patientOfC,
    patientOfD,
    studyOfA,
    otherStudyOfA,
    studyOfC,
  };
}

export type World = Awaited<ReturnType<typeof openWorld>>;

export function series(more: Record<string, unknown> = {}) {
  return {
    uid: newUid(),
    modality: { system: systems.dicomTerminology, code: 'CT' },
    instance: [{ uid: newUid(), sopClass: { system: 'urn:ietf:rfc:3986', code: 'urn:oid:1.2.840.10008.5.1.4.1.1.2' } }],
    ...more,
  };
}
