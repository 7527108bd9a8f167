import { setTimeout as sleep } from 'node:timers/promises';
import type { Server } from '@hapi/hapi';
import { consentCodes, systems } from '../../fhir-profiles/codes.js';
import { bindAccount } from '../access/authentication/accounts.js';
import type { Caller } from '../access/caller.js';
import type { Hub } from '../compose.js';
import type { Config } from '../config.js';
import { submitBundle } from '../fhir/bundle-request.js';
import { withCheckDigit } from '../identity/national-identifier.js';
import { addSource } from '../ingest/hospital.js';
import type { FhirResource } from '../store/search-keys.js';
import { sql } from '../store/sql.js';
import { archiveFolder, writeArchives } from './archives.js';
import { demoIssuer, registerDemoIdentityProvider } from './identity-provider.js';
import { agreement, DEMO_PASSWORD, type DemoPatient, memberships, organizations, patients, people } from './region.js';
import { membershipId, practitionerId, registryBundle } from './registry-bundle.js';
import { signAgreement } from './sign-agreement.js';
import { signIn } from './sign-in.js';

type Progress = (line: string) => void;

export interface Demonstration {
  /** Mounts the demonstration's identity provider. */
  register(server: Server): Promise<void>;
  /** Fills an empty hub, waits until everything is indexed and scored, and says what to try. */
  present(hub: Hub): Promise<void>;
}

/** The demonstration region: its archives are written before the hub starts, its registry and patients through the hub's own FHIR face. */
export async function prepareDemonstration(config: Config, progress: Progress): Promise<Demonstration> {
  await writeArchives(config.dataDir, progress);
  return {
    register: async (server) => void (await registerDemoIdentityProvider(server, { config, people, password: DEMO_PASSWORD })),
    present: async (hub) => {
      if (await isEmpty(hub)) await fill(hub, config, progress);
      await settled(hub, progress);
      progress(introduction(config));
    },
  };
}

async function isEmpty({ db }: Hub): Promise<boolean> {
  const [row] = await db.query<{ count: number }>(sql`select count(*) as count from organization`);
  return row?.count === 0;
}

async function fill(hub: Hub, config: Config, progress: Progress): Promise<void> {
  progress('registry: 1 commission, 2 consortia, 4 hospitals and their people');
  await submit(hub, administrator, registryBundle());
  progress('patients: pushed by their hospitals');
  const hospitals = organizations.filter((o) => o.kind === 'hospital');
  for (const { id, assigner = '' } of hospitals) await submit(hub, systemOf(id), patientBundle(id, assigner));
  await submit(hub, systemOf('county-hospital'), await consentBundle(hub));
  await bindPeople(hub, config);
  progress('agreements: signed by the hospitals’ administrators');
  await signAgreements(config);
  for (const { id } of hospitals) {
    await addSource(hub.db, {
      id: `${id}.archive`,
      organizationId: id,
      kind: 'folder',
      settings: { root: archiveFolder(config.dataDir, id) },
      autoScore: ['pulmonary-nodule', 'cerebral-haemorrhage'],
      store: true,
    });
  }
}

const base = { kind: 'system', purposeOfUse: 'HOPERAT', scope: 'system/*.cruds', authenticatedAt: 0 } as const;
const administrator: Caller = {
  ...base,
  id: 'Account/demonstration',
  name: 'demonstration',
  // of no organization: none is registered yet
  organizationId: '',
  role: 'hub-administrator',
  clientId: 'demonstration',
};
const systemOf = (organizationId: string): Caller => ({
  ...base,
  id: `Client/${organizationId}`,
  name: organizationId,
  organizationId,
  role: 'hospital-system',
  clientId: organizationId,
});

async function submit(hub: Hub, caller: Caller, bundle: FhirResource): Promise<void> {
  const context = { requestId: 'demonstration', address: '127.0.0.1' };
  await submitBundle(hub.fhir, { method: 'POST', path: [], query: [], strict: true, body: bundle, caller, context });
}

function patientBundle(hospital: string, assigner: string): FhirResource {
  const entry = patients
    .filter((p) => p.numbers[hospital])
    .map((p) => ({
      resource: patientOf(p, hospital, assigner),
      request: { method: 'PUT', url: `Patient?identifier=${encodeURIComponent(`${assigner}|${p.numbers[hospital]}`)}` },
    }));
  return { resourceType: 'Bundle', type: 'transaction', entry };
}

function patientOf(p: DemoPatient, hospital: string, assigner: string): FhirResource {
  const national = p.sequence ? [{ system: systems.nationalIdentifier, value: nationalNumber(p) }] : [];
  return {
    resourceType: 'Patient',
    identifier: [{ system: assigner, value: p.numbers[hospital] }, ...national],
    name: [{ use: 'official', text: p.name.text, family: p.name.family, given: [p.name.given] }],
    gender: p.sex === 'M' ? 'male' : 'female',
    birthDate: p.birthDate,
  };
}

/** Region code 990101 is assigned to no place: the numbers are nobody's. */
const nationalNumber = (p: DemoPatient): string => withCheckDigit(`990101${p.birthDate.replaceAll('-', '')}${p.sequence}`);

/** 张丽 does not want her studies at the county hospital shown to others. */
async function consentBundle(hub: Hub): Promise<FhirResource> {
  const number = patients.find((p) => p.key === 'zhang')?.numbers['county-hospital'] ?? '';
  const [row] = await hub.db.query<{ patient_id: string }>(
    sql`select patient_id from patient_identifier where custodian_id = 'county-hospital' and value = ${number}`,
  );
  const resource = {
    resourceType: 'Consent',
    status: 'active',
    scope: { coding: [{ system: systems.consentScope, code: 'patient-privacy' }] },
    category: [{ coding: [{ system: systems.loinc, code: consentCodes.categoryConsentDocument }] }],
    patient: { reference: `Patient/${row?.patient_id}` },
    dateTime: '2026-03-08',
    organization: [{ reference: 'Organization/county-hospital' }],
    policy: [{ uri: 'https://federation-hub.example/fhir/policy/imaging-sharing' }],
    provision: { type: 'deny', period: { start: '2026-03-08' } },
  };
  return { resourceType: 'Bundle', type: 'transaction', entry: [{ resource, request: { method: 'POST', url: 'Consent' } }] };
}

async function bindPeople(hub: Hub, config: Config): Promise<void> {
  for (const person of people) {
    const patient = patients.find((p) => p.key === person.patient);
    const [hospital = '', number = ''] = Object.entries(patient?.numbers ?? {})[0] ?? [];
    const [row] = await hub.db.query<{ patient_id: string }>(
      sql`select patient_id from patient_identifier where custodian_id = ${hospital} and value = ${number}`,
    );
    await hub.db.transaction(async (tx) => {
      const account = await bindAccount(tx, {
        issuer: demoIssuer(config),
        subject: person.username,
        name: person.name,
        roles: person.roles,
        ...(person.organizationId
          ? { organizationId: person.organizationId, practitionerId: practitionerId(person.username) }
          : {}),
        ...(row ? { patientId: row.patient_id } : {}),
      });
      await hub.audit.append(tx, [
        {
          type: 'access',
          subtype: 'bind-account',
          action: 'C',
          outcome: 0,
          agent: administrator.id,
          patientId: row?.patient_id,
          entity: [`Account/${account.id}`],
          requestId: 'demonstration',
        },
      ]);
    });
  }
}

/** Each party signs through the front door: the memberships by their members, the agreement by both sides. */
async function signAgreements(config: Config): Promise<void> {
  const signed = [
    ...memberships.map(({ consortium, member }) => ({ id: membershipId(consortium, member), hospitals: [member] })),
    { id: agreement.id, hospitals: [agreement.custodian, agreement.recipient] },
  ];
  const tokens = new Map<string, string>();
  for (const { username, organizationId = '', roles } of people)
    if (roles.includes('hospital-administrator'))
      tokens.set(organizationId, await signIn({ baseUrl: config.publicUrl, username, password: DEMO_PASSWORD }));
  for (const { id, hospitals } of signed)
    for (const hospital of hospitals) await signAgreement(config.publicUrl, tokens.get(hospital) ?? '', id);
}

/** Waits until the sources are read and the queue of scoring jobs is empty, showing how far it is. */
async function settled(hub: Hub, progress: Progress): Promise<void> {
  await hub.sources.idle();
  let shown = '';
  for (;;) {
    const [row] = await hub.db.query<{ instances: number; waiting: number; done: number }>(sql`
      select (select count(*) from imaging_instance) as instances,
        (select count(*) from scoring_job where state in ('queued', 'running')) as waiting, (select count(*) from scoring_job where state = 'done') as done`);
    const line = `indexed ${row?.instances} instances; scored ${row?.done} studies, ${row?.waiting} waiting`;
    if (line !== shown) progress(line);
    shown = line;
    if (!row?.waiting) return;
    await sleep(500);
  }
}

function introduction(config: Config): string {
  const hub = 'node dist/hub/main.js';
  const url = config.publicUrl;
  const names = people.map(
    (p) => `  ${p.username.padEnd(15)} ${p.name}  ${p.roles.join(', ')}${p.organizationId ? ` @ ${p.organizationId}` : ''}`,
  );
  return `
The hub is ready: ${url}

Sign in as (password '${DEMO_PASSWORD}'):
${names.join('\n')}

Try:
  export TOKEN=$(${hub} token --as li.wei)
  1  curl -s -H "Authorization: Bearer $TOKEN" "${url}/fhir/Patient?name=wang"
  2  curl -s -H "Authorization: Bearer $TOKEN" "${url}/fhir/ImagingStudy?patient.identifier=100231&_include=ImagingStudy:patient"
  3  curl -s -H "Authorization: Bearer $TOKEN" "${url}/fhir/DiagnosticReport?status=preliminary"
  4  curl -s -H "Authorization: Bearer $(${hub} token --as wang.xiaodong)" "${url}/fhir/AuditEvent?_count=5"
  5  curl -s -H "Authorization: Bearer $(${hub} token --as he.ping)" "${url}/reports/exchange-volume?format=csv"
`;
}
