import { conflict } from '../outcomes.js';
import type { Queryable } from '../store/database.js';
import { findResource, type ResourceRow } from '../store/resources.js';
import { ensureNumber } from './custodian-patient.js';

/** The id of the Patient that a hospital's own number stands for; one is made where there is none. @throws 409 where the number contradicts what is kept. */
export async function holder(tx: Queryable, custodianId: string, number: string): Promise<string> {
  const found = await ensureNumber(tx, custodianId, number);
  if ('conflict' in found) throw conflict(found.conflict, 'Patient.identifier');
  return found.patientId;
}

/** The Patient of a number, by the id that `holder` gave. */
export async function patient(tx: Queryable, id: string): Promise<ResourceRow> {
  const row = await findResource(tx, 'Patient', id);
  if (!row) throw new Error('a number of no Patient');
  return row;
}
