import { mergeFound } from '../../identity/merge-patients.js';
import type { SaidBy } from '../../identity/identity-record.js';
import { nowhere } from '../../access/write-rules.js';
import { idOf } from '../../store/fhir-elements.js';
import { findResource } from '../../store/resources.js';
import { recordOf } from './find-record.js';
import type { Taking } from './taking.js';

/**
 * One Patient of the source stands for another one (Patient.link): they are merged as two numbers are (HL7 v2 A40). Where the one that is given up was never
 * here there is nothing to merge.
 * @throws Refusal 422 where the survivor is not here, 409 where he was merged otherwise before.
 */
export async function replacePatient(taking: Taking, stated: SaidBy & { survivor: string; retired: string }): Promise<void> {
  const { tx, audit, records } = taking;
  const retiredId = await ownPatient(taking, stated.retired);
  if (retiredId === undefined) return;
  const survivorId = await ownPatient(taking, stated.survivor);
  if (survivorId === undefined) throw nowhere('Patient.link');
  if (retiredId === survivorId) return;
  await mergeFound(
    tx,
    { audit, reevaluateGrants: records.reevaluateGrants },
    { ...stated, named: survivorId, retired: retiredId },
  );
}

/** The hub's id of a Patient of the source, who is its custodian's. */
async function ownPatient(taking: Taking, sourceId: string): Promise<string | undefined> {
  const id = idOf({ reference: taking.taken.get(sourceId) }, 'Patient') ?? (await recordOf(taking, sourceId));
  const row = id && (await findResource(taking.tx, 'Patient', id));
  return row && row.custodian_id === taking.origin.custodianId ? row.id : undefined;
}
