import { isDeepStrictEqual } from 'node:util';
import type { Caller } from '../access/caller.js';
import type { RequestAccess } from '../access/decision.js';
import { denied } from '../access/denial.js';
import { findRow } from '../access/find-row.js';
import type { ResourceWriter, WriteRequest } from '../access/write-request.js';
import { mapInTurn } from '../store/in-turn.js';
import { nowhere, refused } from '../access/write-rules.js';
import { forbidden } from '../outcomes.js';
import type { Queryable } from '../store/database.js';
import { idOf, type Reference } from '../store/fhir-elements.js';
import { isMachineMade } from '../store/machine-made.js';
import { createResources, findResource, type ResourceRow, toResource, updateResource, type Write } from '../store/resources.js';
import { labelsOfStudies, scopeOfStudies } from '../store/study-labels.sql.js';
import { extractKeys } from '../store/extract-keys.js';
import { type FhirResource, labelsOf, localReference } from '../store/search-keys.js';
import { findOpenConsultation } from './grants.js';

/**
 * Writer for DiagnosticReport and Observation. The organization that writes is the custodian. It writes about its own patients, and
 * about those that an accepted consultation gave it: then the hospital that asked is a party, and reads the opinion.
 */
export const clinicalWriter: ResourceWriter = {
  create: async (tx, requests) => createResources(tx, await mapInTurn(requests, (r) => authored(tx, r))),
  update: async (tx, request) => {
    const { caller, current, resource } = request;
    if (current.custodian_id !== caller.organizationId) throw forbidden('A record is changed by the organization that wrote it.');
    const before = toResource(current);
    assertRevision(before, resource);
    const patient = await findResource(tx, 'Patient', current.patient_id);
    if (patient?.custodian_id !== caller.organizationId) assertOwnName(resource, caller);
    const about = isDeepStrictEqual(studiesOf(before), studiesOf(resource)) ? asBefore(current) : await authored(tx, request);
    const tag = before.meta?.tag ?? resource.meta?.tag;
    const kept = { ...resource, id: current.id, meta: { ...resource.meta, ...(tag ? { tag } : {}) } };
    return updateResource(
      tx,
      { ...about, resource: kept, custodianId: current.custodian_id, parties: givenParties(current, before) },
      current.version,
    );
  },
};

/** Parties by the act that the record came from; those that it names itself are read from each version. */
function givenParties(current: ResourceRow, before: FhirResource): string[] {
  const named = extractKeys(before).parties;
  return current.parties.filter((party) => !named.includes(party));
}

/** What a record took over from the studies that it is about. */
const asBefore = (current: ResourceRow): Pick<Write, 'scope' | 'labels'> => ({
  scope: {
    modality: current.modality,
    bodySite: current.body_site,
    ...(current.date_from ? { started: current.date_from } : {}),
  },
  labels: current.labels.filter((label) => !labelsOf(toResource(current)).includes(label)),
});

/** A model's report stays as it is until a physician accepts, corrects or rejects it, which is an operation of its own (hub/scoring/review). */
function assertRevision(before: FhirResource, after: FhirResource): void {
  if (idOf(before.subject, 'Patient') !== idOf(after.subject, 'Patient'))
    throw refused('The patient does not change.', `${before.resourceType}.subject`);
  if (isMachineMade(after) && !isMachineMade(before)) throw onlyTheHubMarks(after);
  if (isMachineMade(before)) throw forbidden('A physician decides on what a model found: POST /scoring/reports/{id}/review.');
}

const onlyTheHubMarks = ({ resourceType }: FhirResource) =>
  refused('Only the hub marks what a model made.', `${resourceType}.meta.tag`);

async function authored(tx: Queryable, request: WriteRequest): Promise<Write> {
  const { access, caller, current, resource } = request;
  const at = `${resource.resourceType}.subject`;
  const patientId = idOf(resource.subject, 'Patient');
  if (!patientId) throw refused('The subject is a Patient.', at);
  const patient = await findResource(tx, 'Patient', patientId);
  if (!patient || patient.deleted) throw nowhere(at);
  if (isMachineMade(resource) && !current) throw onlyTheHubMarks(resource);
  const studies = studiesOf(resource);
  const scope = await scopeOf(tx, access, studies, resource.resourceType);
  if (patient.custodian_id === caller.organizationId) return { resource, custodianId: caller.organizationId, ...scope };
  assertOwnName(resource, caller);
  const consultation = await findOpenConsultation(tx, caller, patientId, studies);
  if (!consultation)
    throw forbidden('Another hospital’s patient is reported on within an accepted consultation, on its patient and its studies.');
  return { resource, custodianId: caller.organizationId, parties: [caller.organizationId, consultation.requester_id], ...scope };
}

/** Who performed reads along: on another hospital's patient nobody is named but those who were asked. */
function assertOwnName({ resourceType, performer = [] }: FhirResource, { organizationId }: Caller): void {
  const named = (performer as Reference[]).flatMap((p) => idOf(p, 'Organization') ?? []);
  if (named.some((id) => id !== organizationId))
    throw refused('An opinion within a consultation is the own organization’s.', `${resourceType}.performer`);
}

/** References of the studies that a record is about. */
function studiesOf(resource: FhirResource): string[] {
  const about: { reference?: string }[] = [...(resource.imagingStudy ?? []), ...(resource.derivedFrom ?? [])];
  return about.map((r) => localReference(r.reference ?? '')).filter((r) => r.startsWith('ImagingStudy/'));
}

/**
 * A record about a study has its scope and labels, so that limited sharing covers both or neither. The author must be one who may read the
 * study: what his record takes over from it would tell him of it.
 */
async function scopeOf(
  tx: Queryable,
  access: RequestAccess,
  studies: readonly string[],
  type: string,
): Promise<Pick<Write, 'scope' | 'labels'>> {
  const rows: ResourceRow[] = [];
  for (const study of new Set(studies)) {
    const row = await findRow(tx, access, 'ImagingStudy', study.slice('ImagingStudy/'.length));
    if (!row) throw nowhere(`${type}.${type === 'DiagnosticReport' ? 'imagingStudy' : 'derivedFrom'}`);
    const decision = access.decide('read', row);
    if (!decision.allowed) throw denied(row, decision);
    rows.push(row);
  }
  if (rows.length === 0) return {};
  return {
    ...scopeOfStudies(rows),
    labels: await labelsOfStudies(
      tx,
      rows.map((r) => r.id),
    ),
  };
}
