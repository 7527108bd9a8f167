import { modifyingSystem } from '../../connectors/dicom/copy-mark.js';
import type { Assigner, Reconciliation } from '../../connectors/dicom/write/reconcile.js';
import { assignerSystem } from '../identity/identifiers.js';
import type { Queryable } from '../store/database.js';
import { dicomName } from './dicom-name.js';
import type { LocalPatient } from './local-patient.js';
import type { DeliveryJob } from './queue.sql.js';
import type { RecipientArchive } from './recipient-archive.sql.js';
import type { DeliveryInput } from './task-details.js';

/** Longest LO value (PS3.5 table 6.2-1). */
const LONGEST = 64;

/** What the objects of a delivery become: the recipient's number and name of the patient, its accession number, and who changed them. */
export async function reconciliationFor(
  tx: Queryable,
  job: Pick<DeliveryJob, 'recipient_id' | 'custodian_id' | 'created'>,
  { patient, number }: LocalPatient,
  { issuers }: RecipientArchive,
  { accession }: DeliveryInput,
): Promise<Reconciliation> {
  return {
    patientId: number,
    issuer: assignerOf(await assignerSystem(tx, job.recipient_id), issuers.patientId),
    patientName: dicomName(patient.name),
    ...(accession
      ? { accession: { number: accession.number, issuer: issuerOfAccession(accession.system, issuers.accessionNumber) } }
      : {}),
    originalIssuer: assignerOf(await assignerSystem(tx, job.custodian_id)),
    source: job.custodian_id,
    modifyingSystem,
    at: job.created,
  };
}

/** @param namespace as the hospital's own objects call it; by default the system itself. */
const assignerOf = (system: string, namespace?: string): Assigner => ({
  ...(namespace ? { namespace } : system.length <= LONGEST ? { namespace: system } : {}),
  universal: universalOf(system),
});

const issuerOfAccession = (system: string | undefined, namespace: string | undefined): Assigner => ({
  ...(namespace ? { namespace } : {}),
  ...(system ? { universal: universalOf(system) } : {}),
});

function universalOf(system: string): NonNullable<Assigner['universal']> {
  const [, scheme, id] = /^urn:(oid|uuid):(.+)$/.exec(system) ?? [];
  if (scheme === 'oid' && id) return { id, type: 'ISO' };
  return scheme === 'uuid' && id ? { id, type: 'UUID' } : { id: system, type: 'URI' };
}
