import { OWN_NUMBERS } from '../../../connectors/statement.js';
import { identifierTypes, systems } from '../../../fhir-profiles/codes.js';
import { nowhere } from '../../access/write-rules.js';
import { survivorOf } from '../../identity/merges.sql.js';
import { conflict } from '../../outcomes.js';
import { idOf } from '../../store/fhir-elements.js';
import { identifierIs } from '../../store/patient-identifier.js';
import type { FhirResource } from '../../store/search-keys.js';
import { sql } from '../../store/sql.js';
import { type Awaited, awaitedOf, studiesAwaitedAs } from './awaited-studies.js';
import { findByIdentifier, type Identifier, recordOf, typeCode } from './find-record.js';
import type { Taking } from './taking.js';

interface Reference {
  reference?: string;
  type?: string;
  identifier?: Identifier;
  display?: string;
}

/** Elements that hold the patient whom a record is about, and those that may name several studies by one number. */
const SUBJECTS = ['subject', 'patient'] as const;
const STUDIES = ['imagingStudy', 'derivedFrom'] as const;

/**
 * Puts the hub's ids in the place of what the hospital refers by. The resource is the caller's own and is changed in place.
 * @returns the studies that it refers to and that are not here yet: those references stay as identifiers.
 * @throws Refusal 422 for a patient who is not known, 409 for a study of another patient.
 */
export async function resolveReferences(taking: Taking, resource: FhirResource): Promise<Awaited[]> {
  ownNumbers(resource, taking.assigner);
  for (const holder of referencesIn(resource)) {
    if (holder.reference !== undefined) await resolveLocal(taking, holder, holder.reference);
    else if (holder.identifier && holder.type === 'Patient') await resolvePatient(taking, holder, holder.identifier);
    else if (holder.identifier && holder.type === 'ServiceRequest') await resolveOrder(taking, holder, holder.identifier);
  }
  for (const element of SUBJECTS)
    if (resource[element] && !idOf(resource[element], 'Patient')) throw nowhere(`${resource.resourceType}.${element}`);
  const awaited = new Set<Awaited>();
  for (const element of STUDIES) if (resource[element]) await resolveStudies(taking, resource, element, awaited);
  return [...awaited];
}

/** Identifiers of the hospital's own get its assigner. */
function ownNumbers(node: unknown, assigner: string): void {
  if (typeof node !== 'object' || node === null) return;
  const holder = node as Identifier;
  if (holder.system === OWN_NUMBERS) holder.system = assigner;
  for (const child of Object.values(node)) ownNumbers(child, assigner);
}

function referencesIn(node: unknown): Reference[] {
  if (typeof node !== 'object' || node === null) return [];
  const holder = node as Reference;
  const isReference =
    typeof holder.reference === 'string' || (typeof holder.identifier === 'object' && typeof holder.type === 'string');
  return [...(isReference ? [holder] : []), ...Object.values(node).flatMap(referencesIn)];
}

/** `Type/id` at the source: what is here, else its address there, else what it is called. Other references stay. */
async function resolveLocal(taking: Taking, holder: Reference, reference: string): Promise<void> {
  const { base, taken } = taking;
  const relative = base && reference.startsWith(`${base}/`) ? reference.slice(base.length + 1) : reference;
  const [, sourceId] = /^([A-Z][A-Za-z]+\/[A-Za-z0-9\-.]{1,64})(?:\/_history\/[A-Za-z0-9\-.]{1,64})?$/.exec(relative) ?? [];
  if (!sourceId) return;
  const [type = ''] = sourceId.split('/');
  const id = idOf({ reference: taken.get(sourceId) }, type) ?? (await recordOf(taking, sourceId));
  if (id) holder.reference = `${type}/${type === 'Patient' ? await survivorOf(taking.tx, id) : id}`;
  else if (base) holder.reference = `${base}/${sourceId}`;
  else delete holder.reference;
}

async function resolvePatient({ tx, origin, assigner }: Taking, holder: Reference, { system, value }: Identifier): Promise<void> {
  if (system !== assigner || !value) return;
  const [row] = await tx.query<{ patient_id: string }>(sql`
    select i.patient_id from patient_identifier i
    where i.custodian_id = ${origin.custodianId} and i.kind = 'hospital' and ${identifierIs('i', { system, value })}`);
  if (!row) return;
  holder.reference = `Patient/${await survivorOf(tx, row.patient_id)}`;
  delete holder.identifier;
  delete holder.type;
}

async function resolveOrder(taking: Taking, holder: Reference, identifier: Identifier): Promise<void> {
  const [order, ...more] = await findByIdentifier(taking, 'ServiceRequest', identifier);
  if (order && more.length === 0) holder.reference = `ServiceRequest/${order.id}`;
}

/** By Study Instance UID or accession number; of one order there may be several studies. They are the subject's. */
async function resolveStudies(taking: Taking, resource: FhirResource, element: string, awaited: Set<Awaited>): Promise<void> {
  const resolved: Reference[] = [];
  for (const one of resource[element] as Reference[]) {
    const identifier = one.reference === undefined && one.type === 'ImagingStudy' ? one.identifier : undefined;
    const ids = identifier ? await studiesOf(taking, identifier) : [];
    if (identifier && ids.length === 0) awaited.add(awaitedOf(identifier));
    const display = one.display ? { display: one.display } : {};
    resolved.push(...(ids.length > 0 ? ids.map((id) => ({ reference: `ImagingStudy/${id}`, ...display })) : [one]));
  }
  const patientId = idOf(resource.subject, 'Patient') ?? '';
  const ids = resolved.flatMap((r) => idOf(r, 'ImagingStudy') ?? []);
  const strangers = await taking.tx.query(sql`
    select from resource r where r.type = 'ImagingStudy' and r.id = any(${ids}::text[]) and r.patient_id <> ${patientId}`);
  if (strangers.length > 0) throw conflict('The study is another patient’s.', `${resource.resourceType}.${element}`);
  resource[element] = [...new Map(resolved.map((r) => [r.reference ?? JSON.stringify(r.identifier), r])).values()];
}

/** By Study Instance UID, or by the accession number that the hospital gave them. */
async function studiesOf({ tx, origin }: Taking, identifier: Identifier): Promise<string[]> {
  const isNumber = identifier.system === systems.dicomUid || typeCode(identifier) === identifierTypes.accessionNumber;
  return isNumber ? (await studiesAwaitedAs(tx, origin.custodianId, awaitedOf(identifier))).map((row) => row.id) : [];
}
