/** Three hospitals on a real database, with the real policy and audit. */
import { systems } from '../../../fhir-profiles/codes.js';
import type { Caller } from '../../../hub/access/caller.js';
import { createAccess } from '../../../hub/access/create-access.js';
import { openAudit } from '../../../hub/audit/record.js';
import { ensureCustodianPatient } from '../../../hub/identity/custodian-patient.js';
import { withCheckDigit } from '../../../hub/identity/national-identifier.js';
import { patientWriter } from '../../../hub/identity/patient-writer.js';
import { createGrantReevaluation } from '../../../hub/referral/overdue.js';
import { findResource, type ResourceRow, toResource } from '../../../hub/store/resources.js';
import type { FhirResource } from '../../../hub/store/search-keys.js';
import { sql } from '../../../hub/store/sql.js';
import type { PatientDescription } from '../../../connectors/connector.js';
import { testDatabase } from '../../support/test-database.js';

export const HOSPITALS = ['a', 'b', 'c'] as const;
export type Hospital = (typeof HOSPITALS)[number];
export const assigner = (hospital: Hospital): string => `urn:patients-of-${hospital}`;

/** A man, born on 1980-02-03; another order number is another man. */
export const national = (order = 1, birthDate = '19800203'): string =>
  withCheckDigit(`110105${birthDate}${String(order * 2 + 1).padStart(3, '0')}`);

export const person = (hospital: Hospital, number: string | undefined, changes: object = {}, id?: string): FhirResource => ({
  resourceType: 'Patient',
  identifier: [
    ...(number === undefined ? [] : [{ system: assigner(hospital), value: number }]),
    ...(id === undefined ? [] : [{ system: systems.nationalIdentifier, value: id }]),
  ],
  name: [{ text: '王小东' }],
  gender: 'male',
  birthDate: '1980-02-03',
  ...changes,
});

export function caller(organizationId: string, role: Caller['role'] = 'hospital-system'): Caller {
  return {
    id: `Account/${role}-of-${organizationId}`,
    kind: 'person',
    name: role,
    organizationId,
    role,
    purposeOfUse: role === 'physician' ? 'TREAT' : 'HOPERAT',
    clientId: 'test',
    scope: 'user/*.cruds',
    authenticatedAt: 0,
  };
}

export async function openHospitals() {
  const test = await testDatabase();
  const { db } = test;
  const audit = await openAudit(db, test.url);
  const access = await createAccess({ consentRequiredFor: ['HRESCH'] });
  const writer = patientWriter({ audit, reevaluateGrants: createGrantReevaluation(audit) });
  for (const id of HOSPITALS)
    await db.query(
      sql`insert into organization (id, kind, name, assigner_system) values (${id}, 'hospital', ${id}, ${assigner(id)})`,
    );
  let study = 0;
  const context = { requestId: 'test', address: '127.0.0.1' };
  const requestOf = async (hospital: Hospital, resource: FhirResource) => ({
    caller: caller(hospital),
    context,
    access: await access.forCaller(db, caller(hospital)),
    resource,
  });
  const counted = { statements: 0 };
  return {
    ...test,
    audit,
    access,
    /** Statements that the registrations so far took. */
    counted,
    /** What a hospital's system writes in one transaction. */
    register: async (hospital: Hospital, ...resources: FhirResource[]): Promise<ResourceRow[]> => {
      const requests = await Promise.all(resources.map((r) => requestOf(hospital, r)));
      return db.transaction((tx) =>
        writer.create(
          {
            query: (statement) => {
              counted.statements++;
              return tx.query(statement);
            },
          },
          requests,
        ),
      );
    },
    update: async (hospital: Hospital, current: ResourceRow, resource: FhirResource): Promise<ResourceRow> => {
      const request = await requestOf(hospital, resource);
      return db.transaction((tx) => writer.update(tx, { ...request, current }));
    },
    /** What a study's images say of their patient. */
    image: (hospital: Hospital, patient: PatientDescription, studyInstanceUid = `1.2.3.${++study}`) =>
      db.transaction((tx) => ensureCustodianPatient(tx, { custodianId: hospital, patient, studyInstanceUid })),
    patient: async (id: string) => toResource((await findResource(db, 'Patient', id))!),
    pair: async (x: string, y: string) => {
      const [a, b] = [x, y].sort();
      const [row] = await db.query<{ id: string; state: string; basis: string }>(
        sql`select id, state, basis from link_decision where patient_a = ${a} and patient_b = ${b}`,
      );
      return row;
    },
    decisions: async (): Promise<number> => (await db.query(sql`select id from link_decision`)).length,
    registrations: async (patientId: string): Promise<string[]> =>
      (
        await db.query<{ organization_id: string }>(
          sql`select organization_id from patient_registration where patient_id = ${patientId} order by 1`,
        )
      ).map((r) => r.organization_id),
    end: async () => {
      await audit.close();
      await test.close();
    },
  };
}

export type Hospitals = Awaited<ReturnType<typeof openHospitals>>;
