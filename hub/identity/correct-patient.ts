import type { PatientDescription } from '../../connectors/connector.js';
import type { Queryable } from '../store/database.js';
import { type ResourceRow, toResource, updateResource } from '../store/resources.js';
import { demographicsOfDescription, demographicsOfRow } from './demographics.js';
import { lockForMatching, matchPatients } from './match-patients.js';
import { humanNames } from './person-name.js';

/**
 * A Patient whom the hub knows from images alone is described as the images do now: name, birth date and sex of them take the place of what they
 * said before. Stewards see whom he may be by that.
 */
export async function correctPatient(tx: Queryable, row: ResourceRow, patient: PatientDescription): Promise<ResourceRow> {
  await lockForMatching(tx, [], [demographicsOfRow(row), demographicsOfDescription(patient)]);
  const { name: _name, birthDate: _birthDate, gender: _gender, ...rest } = toResource(row);
  const name = humanNames((patient.name ?? '').replace(/\p{Cc}/gu, ''));
  const resource = {
    ...rest,
    ...(name.length > 0 ? { name } : {}),
    ...(patient.birthDate ? { birthDate: patient.birthDate } : {}),
    ...(patient.sex ? { gender: patient.sex } : {}),
  };
  const corrected = await updateResource(tx, { resource, custodianId: row.custodian_id }, row.version);
  await matchPatients(tx, [corrected]);
  return corrected;
}
