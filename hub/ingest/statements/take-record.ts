import type { RecordStep } from '../../../connectors/statement.js';
import { refused } from '../../access/write-rules.js';
import { type ResourceRow, toResource } from '../../store/resources.js';
import type { FhirResource } from '../../store/search-keys.js';
import { awaitStudies } from './awaited-studies.js';
import { findRecord, isKnownGone, noteRecord } from './find-record.js';
import { resolveReferences } from './resolve-references.js';
import { takePatient } from './take-patient.js';
import type { Taking } from './taking.js';
import { withdrawResults } from './withdraw-results.js';
import { createRecord, isUnchanged, updateRecord } from './write-record.js';

/** Takes a record: a new one, the next version of one that is here, or nothing when it says what is known. @throws Refusal that names the element. */
export async function takeRecord(taking: Taking, step: RecordStep): Promise<void> {
  const stated = asStated(step);
  const { resourceType } = stated;
  if (!Object.hasOwn(taking.records.writers, resourceType) || !FED.has(resourceType))
    throw refused('The hub does not keep such records.', 'resourceType');
  if (resourceType === 'Patient') return takePatient(taking, step, stated);
  const awaited = await resolveReferences(taking, stated);
  const current = await findRecord(taking, stated, step.id);
  const row = current ? await change(taking, step, current, stated) : await createRecord(taking, stated);
  await noteRecord(taking, step.id, row);
  await awaitStudies(taking.tx, taking.origin.custodianId, row, awaited);
}

/** What a hospital's systems feed; the rest of the hub's records are people's acts. */
const FED: ReadonlySet<string> = new Set([
  'Patient',
  'ServiceRequest',
  'Appointment',
  'ImagingStudy',
  'Observation',
  'DiagnosticReport',
]);

async function change(
  taking: Taking,
  step: RecordStep,
  current: Parameters<typeof updateRecord>[1],
  stated: FhirResource,
): Promise<ResourceRow> {
  const before = toResource(current);
  const next = step.partial ? { ...before, ...stated, id: current.id } : { ...stated, id: current.id };
  for (const element of step.partial?.cleared ?? []) delete next[element as keyof typeof next];
  if (!current.deleted && isUnchanged(before, next)) return current;
  const comesBack = await isKnownGone(taking, step.id);
  const row = await updateRecord(taking, current, next, { comesBack });
  if (row.type === 'DiagnosticReport') await withdrawResults(taking, before, toResource(row));
  return row;
}

/** A copy of our own, without what its source says of its own copy. */
function asStated({ resource }: RecordStep): FhirResource {
  const { id: _id, meta, ...elements } = structuredClone(resource);
  const { security, tag, profile } = (meta ?? {}) as Record<string, unknown>;
  const kept = Object.fromEntries(Object.entries({ security, tag, profile }).filter(([, value]) => value !== undefined));
  return { ...elements, ...(Object.keys(kept).length > 0 ? { meta: kept } : {}) } as FhirResource;
}
