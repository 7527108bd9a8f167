import { createHash } from 'node:crypto';
import type {
  InstanceDescription,
  PatientDescription,
  SeriesDescription,
  StudyDescription,
} from '../../../connectors/connector.js';
import { type AuditWriter, openAudit } from '../../../hub/audit/record.js';
import { submitStudy, type Submitted } from '../../../hub/ingest/submit-study.js';
import { createResources, findResource, toResource } from '../../../hub/store/resources.js';
import { sql } from '../../../hub/store/sql.js';
import { type TestDatabase, testDatabase } from '../../support/test-database.js';

export const CT = '1.2.840.10008.5.1.4.1.1.2';

/** A database of its own with an audit; hospitals `A` and `B` with their patient numbers. */
export interface Region extends TestDatabase {
  audit: AuditWriter;
  submit(study: StudyDescription, from?: { custodianId?: string; connectorId?: string }): Promise<Submitted>;
}

export async function region(): Promise<Region> {
  const test = await testDatabase();
  const audit = await openAudit(test.db, test.url);
  for (const id of ['A', 'B']) {
    await test.db.query(
      sql`insert into organization (id, kind, name, assigner_system) values (${id}, 'hospital', ${`Hospital ${id}`}, ${assigner(id)})`,
    );
    await createResources(test.db, [{ resource: { resourceType: 'Organization', id, name: `Hospital ${id}` }, custodianId: '' }]);
  }
  return {
    ...test,
    audit,
    submit: (study, { custodianId = 'A', connectorId } = {}) =>
      test.db.transaction((tx) => submitStudy(tx, { audit }, { custodianId, connectorId, study, requestId: 'test' })),
    close: async () => {
      await audit.close();
      await test.close();
    },
  };
}

export const assigner = (hospital: string): string => `urn:oid:2.25.1.${hospital.charCodeAt(0)}`;

export const WANG: PatientDescription = {
  patientId: '1001',
  name: 'Wang^XiaoDong=王^小东',
  sex: 'male',
  birthDate: '1968-03-12',
};

export function instance(uid: string, more: Partial<InstanceDescription> = {}): InstanceDescription {
  const digest = createHash('sha256')
    .update(`${uid} ${more.title ?? ''}`)
    .digest('hex');
  return { sopInstanceUid: uid, sopClassUid: CT, digest, locator: `files/${uid}`, ...more };
}

export function series(uid: string, instances: InstanceDescription[], more: Partial<SeriesDescription> = {}): SeriesDescription {
  return { seriesInstanceUid: uid, modality: 'CT', instances, ...more };
}

export function study(uid: string, allSeries: SeriesDescription[], more: Partial<StudyDescription> = {}): StudyDescription {
  return { studyInstanceUid: uid, patient: WANG, started: '2024-02-29T09:30:00+08:00', series: allSeries, ...more };
}

/** The stored ImagingStudy, without what differs from one run to the next. */
export async function storedStudy(region: Region, submitted: { studyId?: string }) {
  const row = await findResource(region.db, 'ImagingStudy', submitted.studyId ?? '');
  if (!row) throw new Error('the study is not stored');
  return toResource(row);
}

export async function count(
  region: Region,
  table: 'study_claim' | 'imaging_series' | 'imaging_instance' | 'quarantine' | 'patients' | 'provenances',
): Promise<number> {
  const type = { patients: 'Patient', provenances: 'Provenance' }[table as string];
  const [row] = await region.db.pool
    .query(type ? `select count(*)::int as n from resource where type = '${type}'` : `select count(*)::int as n from ${table}`)
    .then((r) => r.rows as { n: number }[]);
  return row?.n ?? -1;
}
