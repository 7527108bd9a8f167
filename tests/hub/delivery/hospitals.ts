import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import iconv from 'iconv-lite';
import { systems } from '../../../fhir-profiles/codes.js';
import { withCheckDigit } from '../../../hub/identity/national-identifier.js';
import { addSource } from '../../../hub/ingest/hospital.js';
import type { FhirResource } from '../../../hub/store/search-keys.js';
import { dataSet, element, part10 } from '../../connectors/support/data-sets.js';
import { type ArchiveProxy, startArchiveProxy } from '../../support/archive-proxy.js';
import { type Orthanc, startOrthanc } from '../../support/orthanc.js';
import { type RunningHub, startHub } from '../../support/running-hub.js';

export const A = { id: 'hospital-a', assigner: 'urn:oid:1.2.826.0.1.3680043.10.1451.31' };
export const B = { id: 'hospital-b', assigner: 'urn:oid:1.2.826.0.1.3680043.10.1451.32' };
export const C = { id: 'hospital-c', assigner: 'urn:oid:1.2.826.0.1.3680043.10.1451.33' };

/** UID of a synthetic study, and of its objects. */
export const studyUid = (study: number): string => `1.2.826.0.1.3680043.10.1451.88.${study}`;
export const objectUid = (study: number, object: number): string => `${studyUid(study)}.1.${1000 + object}`;

/** Files of a CT study of a patient: names in GB18030, two small series. */
export function ctStudy(study: number, patientId: string, objects: number, more: Parameters<typeof dataSet>[0] = {}): Buffer[] {
  return Array.from({ length: objects }, (_, i) =>
    part10(
      Buffer.concat([
        dataSet({
          '00080005': ['CS', 'GB18030'],
          '00080018': ['UI', objectUid(study, i)],
          '00080020': ['DA', '20260301'],
          '00080050': ['SH', `A-ACC-${study}`],
          '00081030': ['LO', even(iconv.encode('胸部平扫', 'gb18030'))],
          '00100010': ['PN', even(iconv.encode('Wang^XiaoDong=王^小东', 'gb18030'))],
          '00100020': ['LO', patientId],
          '00180015': ['CS', 'CHEST'],
          '0020000D': ['UI', studyUid(study)],
          '0020000E': ['UI', `${studyUid(study)}.${i % 3 === 0 ? 2 : 1}`],
          ...more,
        }),
        element('7FE00010', 'OW', Buffer.alloc(512, i)),
      ]),
    ),
  );
}

const even = (bytes: Buffer): Buffer => (bytes.length % 2 === 0 ? bytes : Buffer.concat([bytes, Buffer.from(' ')]));

export interface Hospitals {
  hub: RunningHub;
  /** The archive that gives, and the one that receives. */
  giving: Orthanc;
  receiving: Orthanc;
  proxy: ArchiveProxy;
  call(
    token: string,
    method: 'get' | 'post' | 'put',
    path: string,
    body?: object,
  ): Promise<{ status: number; body: FhirResource }>;
  /** Has hospital A's archive hold a study, and waits until it is indexed. Resolves with its ImagingStudy. */
  archive(files: Buffer[], study: string): Promise<FhirResource & { id: string }>;
  /** The Patients of one person at A and at B, by the same national identifier. */
  person(numberAtA: string, numberAtB: string, serial: number): Promise<{ a: FhirResource; b: FhirResource }>;
  /** A delivery request, as the physician of B places it. */
  request(study: FhirResource, patient: FhirResource, more?: object): FhirResource;
  /** The Task once it is in one of these states. */
  taskAs(token: string, id: string, ...states: string[]): Promise<FhirResource>;
  /** Objects of a study in the receiving archive. */
  received(study: string): Promise<string[]>;
  stop(): Promise<void>;
}

/** Three hospitals: A gives, B receives in a PACS of its own, C has nothing to do with it. A and B are one consortium. */
export async function startHospitals(known: () => readonly string[], config: Record<string, unknown> = {}): Promise<Hospitals> {
  const [giving, receiving] = await Promise.all([startOrthanc(), startOrthanc()]);
  const proxy = await startArchiveProxy(receiving.orthancUrl, known);
  const hub = await startHub({ config: { copyCheckSeconds: 1, ...config } });
  await hub.join([A, B], 'east');
  await hub.join([C]);
  await addSource(hub.db, {
    id: 'a.pacs',
    organizationId: A.id,
    kind: 'dicomweb',
    settings: { baseUrl: giving.dicomwebUrl, orthancUrl: giving.orthancUrl },
  });
  await addSource(hub.db, {
    id: 'b.pacs',
    organizationId: B.id,
    kind: 'dicomweb',
    settings: { baseUrl: proxy.url, orthancUrl: receiving.orthancUrl },
    store: true,
  });
  const folder = await mkdtemp(join(tmpdir(), 'studies-'));
  const call: Hospitals['call'] = async (token, method, path, body) => {
    const request = hub.http()[method](path).set('authorization', `Bearer ${token}`);
    const answer = await (body ? request.set('content-type', 'application/fhir+json').send(JSON.stringify(body)) : request);
    return { status: answer.status, body: answer.text ? JSON.parse(answer.text) : undefined };
  };
  return {
    hub,
    giving,
    receiving,
    proxy,
    call,
    archive: async (files, study) => {
      const paths = await Promise.all(
        files.map(async (bytes, i) => {
          const path = join(folder, `${study}.${i}.dcm`);
          await writeFile(path, bytes);
          return path;
        }),
      );
      await giving.store(paths);
      const token = await hub.system(A.id);
      return until(async () => {
        const { body } = await call(token, 'get', `/fhir/ImagingStudy?identifier=urn:oid:${study}`);
        const found = body.entry?.[0]?.resource;
        return found?.numberOfInstances === files.length ? found : undefined;
      });
    },
    person: async (numberAtA, numberAtB, serial) => {
      const national = {
        system: systems.nationalIdentifier,
        value: withCheckDigit(`99010119010101${String(serial).padStart(3, '0')}`),
      };
      const put = async (hospital: typeof A, number: string, name: object[]) => {
        const patient = { resourceType: 'Patient', identifier: [{ system: hospital.assigner, value: number }, national], name };
        const { status, body } = await call(
          await hub.system(hospital.id),
          'put',
          `/fhir/Patient?identifier=${encodeURIComponent(`${hospital.assigner}|${number}`)}`,
          patient,
        );
        if (status > 201) throw new Error(`the Patient was not taken: ${JSON.stringify(body)}`);
        return body;
      };
      const name = [{ text: '王小东', family: '王', given: ['小东'] }];
      return {
        a: await put(A, numberAtA, name),
        b: await put(B, numberAtB, [...name, { use: 'official', text: 'Wang Xiaodong', family: 'Wang', given: ['Xiaodong'] }]),
      };
    },
    request: (study, patient, more = {}) => ({
      resourceType: 'Task',
      status: 'requested',
      intent: 'order',
      code: { coding: [{ system: systems.taskKind, code: 'delivery-request' }] },
      focus: { reference: `ImagingStudy/${study.id}` },
      for: { reference: `Patient/${patient.id}` },
      requester: { reference: `Organization/${B.id}` },
      ...more,
    }),
    taskAs: (token, id, ...states) =>
      until(async () => {
        const { body } = await call(token, 'get', `/fhir/Task/${id}`);
        return states.includes(body.status) ? body : undefined;
      }),
    received: async (study) => {
      const reply = await fetch(`${receiving.dicomwebUrl}/studies/${study}/instances?includefield=00100020`);
      const found = reply.status === 204 || !reply.ok ? [] : ((await reply.json()) as { '00080018': { Value: string[] } }[]);
      return found.flatMap((one) => one['00080018'].Value).sort();
    },
    stop: async () => {
      await hub.stop();
      await proxy.stop();
      await Promise.all([giving.stop(), receiving.stop(), rm(folder, { recursive: true, force: true })]);
    },
  };
}

/** Looks until there is something. */
export async function until<T>(look: () => Promise<T | undefined | false>): Promise<T> {
  for (let i = 0; i < 1200; i++) {
    const seen = await look();
    if (seen) return seen;
    await sleep(50);
  }
  throw new Error('it did not come about');
}

/** Numbers in Task.output. */
export const counts = (task: FhirResource) =>
  Object.fromEntries(
    (task.output ?? [])
      .filter((o: FhirResource) => o.valueInteger !== undefined)
      .map((o: FhirResource) => [o.type.coding[0].code, o.valueInteger]),
  );
export const outputOf = (task: FhirResource, code: string): FhirResource | undefined =>
  (task.output ?? []).find((o: FhirResource) => o.type.coding[0].code === code);
