/** A small region on a real database: the FHIR face's own functions, the real policy, the real audit, and the writers under test. */
import { systems } from '../../../fhir-profiles/codes.js';
import { type Standing, type Standings, standings } from '../../../hub/access/authentication/standing.js';
import type { Caller, Purpose, Role } from '../../../hub/access/caller.js';
import { createAccess } from '../../../hub/access/create-access.js';
import { openAudit } from '../../../hub/audit/record.js';
import type { Config } from '../../../hub/config.js';
import type { FhirDeps, FhirRequest, FhirResponse } from '../../../hub/fhir/exchange.js';
import { read } from '../../../hub/fhir/read.js';
import { transaction } from '../../../hub/fhir/transaction.js';
import { create, update } from '../../../hub/fhir/write.js';
import { Refusal } from '../../../hub/outcomes.js';
import { clinicalWriter } from '../../../hub/referral/clinical-writer.js';
import { consultation } from '../../../hub/referral/consultation.js';
import { referralWriter } from '../../../hub/referral/referral-writer.js';
import { release } from '../../../hub/referral/release.js';
import { serviceRequestWriter } from '../../../hub/referral/service-request-writer.js';
import { createTaskWriter } from '../../../hub/referral/task-writer.js';
import { loadModels } from '../../../hub/scoring/models.js';
import { scorePermission } from '../../../hub/scoring/permission.js';
import { scoringTaskWriter } from '../../../hub/scoring/task-writer.js';
import { createResources, newId } from '../../../hub/store/resources.js';
import type { FhirResource } from '../../../hub/store/search-keys.js';
import { sql } from '../../../hub/store/sql.js';
import { testDatabase } from '../../support/test-database.js';

/** An answer: the resource or the OperationOutcome, and the status. */
export interface Answer {
  status: number;
  // biome-ignore lint/suspicious/noExplicitAny: a FHIR resource
  body: any;
}

export async function openRegion() {
  const test = await testDatabase();
  const { db } = test;
  const audit = await openAudit(db, test.url);
  const models = await loadModels();
  const deps: FhirDeps = {
    db,
    audit,
    access: await createAccess({ consentRequiredFor: ['HRESCH'] }),
    config: { publicUrl: 'http://hub', utcOffset: '+08:00' } as Config,
    cursors: { sign: () => '', open: () => ({ value: '', id: '' }) },
    writers: {
      Task: createTaskWriter({
        'consultation-request': referralWriter(consultation, audit),
        'release-request': referralWriter(release, audit),
        'scoring-request': scoringTaskWriter(models, audit),
      }),
      ServiceRequest: serviceRequestWriter,
      DiagnosticReport: clinicalWriter,
      Observation: clinicalWriter,
    },
  };
  for (const id of ['hospital-a', 'hospital-b', 'hospital-c'])
    await db.query(sql`insert into organization (id, kind, name) values (${id}, 'hospital', ${id})`);
  await createResources(
    db,
    ['hospital-a', 'hospital-b', 'hospital-c'].map((id) => ({
      resource: { resourceType: 'Organization', id, name: id },
      custodianId: '',
    })),
  );
  const standing: Standings = {
    ...standings(db),
    ofSubject: async (subject) => {
      const [role, organizationId] = subject.replace('Practitioner/', '').split('-of-');
      return { organizationId, roles: [role] } as unknown as Standing;
    },
  };
  return {
    ...test,
    audit,
    deps,
    models,
    /** A Patient of a hospital, registered there. */
    patient: async (hospital: string) => {
      const id = newId();
      await createResources(db, [
        { resource: { resourceType: 'Patient', id, name: [{ text: '王小东' }] }, custodianId: hospital },
      ]);
      await db.query(sql`insert into patient_registration values (${hospital}, ${id})`);
      return id;
    },
    /** Two Patients become one person: each hospital's registration reaches the other's record. */
    link: async (a: string, b: string, hospitalOfB: string) => {
      await db.query(sql`insert into cross_reference (patient_id, cluster_id) values (${a}, ${a}), (${b}, ${a})`);
      await db.query(sql`insert into patient_registration values (${hospitalOfB}, ${a})`);
    },
    study: async (hospital: string, patientId: string) => {
      const id = newId();
      const coding = { system: systems.dicomTerminology, code: 'CT' };
      const resource = {
        resourceType: 'ImagingStudy',
        id,
        status: 'available',
        identifier: [{ system: systems.dicomUid, value: `urn:oid:1.2.3.${Number.parseInt(id.slice(-8), 16)}` }],
        modality: [coding],
        subject: { reference: `Patient/${patientId}` },
        started: '2025-03-04T10:00:00+08:00',
        series: [{ uid: '1.2.3.4', modality: coding, bodySite: { system: systems.snomed, code: '51185008' } }],
      };
      await createResources(db, [{ resource, custodianId: hospital }]);
      return id;
    },
    as: (caller: Caller) => client(deps, caller),
    /** What workers ask of whoever requested a score; all callers of the tests are who they say. */
    permission: scorePermission({ db, access: deps.access, standings: standing }),
    /** A caller of a hub that writes some types otherwise. */
    with: (writers: FhirDeps['writers'], caller: Caller) => client({ ...deps, writers: { ...deps.writers, ...writers } }, caller),
  };
}

export type Region = Awaited<ReturnType<typeof openRegion>>;
export type Client = ReturnType<typeof client>;

export function caller(organizationId: string, role: Role = 'physician', person = `${role}-of-${organizationId}`): Caller {
  const purposeOfUse: Purpose = role === 'hospital-administrator' ? 'HOPERAT' : 'TREAT';
  return {
    id: `Practitioner/${person}`,
    kind: 'person',
    name: person,
    organizationId,
    role,
    purposeOfUse,
    ...(role === 'physician' ? { practitionerId: person } : {}),
    clientId: 'test',
    scope: 'user/*.cruds',
    authenticatedAt: 0,
  };
}

function client(deps: FhirDeps, who: Caller) {
  const context = { requestId: 'test', address: '127.0.0.1' };
  const exchange = (method: FhirRequest['method'], path: string, body?: unknown, ifMatch?: string): FhirRequest => ({
    method,
    path: path.split('/'),
    query: [],
    strict: true,
    caller: who,
    context,
    ...(body ? { body: structuredClone(body) } : {}),
    ...(ifMatch ? { ifMatch } : {}),
  });
  return {
    post: (resource: FhirResource) => answered(create(deps, exchange('POST', resource.resourceType, resource))),
    put: (resource: FhirResource, ifMatch?: string) =>
      answered(update(deps, exchange('PUT', `${resource.resourceType}/${resource.id}`, resource, ifMatch))),
    read: (reference: string) => answered(read(deps, exchange('GET', reference))),
    /** POSTs of a transaction; each resource is referred to by its `urn:uuid:`. */
    transaction: (entries: { fullUrl: string; resource: FhirResource }[]) =>
      answered(
        transaction(
          deps,
          exchange('POST', ''),
          entries.map(({ fullUrl, resource }, i) => ({
            at: `Bundle.entry[${i}]`,
            fullUrl,
            request: exchange('POST', resource.resourceType, resource),
          })),
        ),
      ),
  };
}

async function answered(response: Promise<FhirResponse>): Promise<Answer> {
  try {
    const { status, body } = await response;
    return { status, body: JSON.parse(body ?? '{}') };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { status: error.status, body: { resourceType: 'OperationOutcome', issue: error.issues } };
  }
}

export const organization = (id: string) => ({ reference: `Organization/${id}` });
export const businessStatus = (code: string) => ({ coding: [{ system: systems.businessStatus, code }] });
export const kind = (code: string) => ({ coding: [{ system: systems.taskKind, code }] });
export const inDays = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString();
