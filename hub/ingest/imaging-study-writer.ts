import type { ResourceWriter, WriteRequest } from '../access/write-request.js';
import { nowhere, refused } from '../access/write-rules.js';
import { conflict } from '../outcomes.js';
import type { Queryable } from '../store/database.js';
import { idOf } from '../store/fhir-elements.js';
import { joinedLabels } from '../store/sensitivity-labels.js';
import { createResources, newId, type ResourceRow, toResource } from '../store/resources.js';
import type { FhirResource } from '../store/search-keys.js';
import { isAccessionNumber, renderStudy } from './render-study.js';
import { awaitedAs, linkAwaiting } from './statements/awaited-studies.js';
import { sortInstances } from './sort-instances.js';
import { addRows, storeStudy } from './store-study.js';
import { factsOfResource, type StudyFacts, studyInstanceUidOf } from './study-facts.js';
import { type Claim, lockClaim, ofStudy, storeNewStudies, updateClaim } from './study-rows.sql.js';

/** A pushed study taken apart. */
interface Pushed {
  resource: FhirResource;
  custodianId: string;
  patientId: string;
  facts: StudyFacts;
  /** What its claim says when it is new. */
  claim: Claim;
}

/**
 * Writer for ImagingStudy: what a hospital's system pushes goes through the same tables and the same merge as what connectors find.
 * The caller's organization is the custodian. Elements that images don't give (reason, note, procedure, ...) stay as pushed.
 */
export const imagingStudyWriter: ResourceWriter = { create, update };

/** New studies take two statements, however many; a study that the custodian has already is merged into. */
async function create(tx: Queryable, requests: readonly WriteRequest[]): Promise<ResourceRow[]> {
  const all = requests.map(takeApart);
  const rows = new Map((await storeNew(tx, all)).map((row) => [row.id, row]));
  const results: ResourceRow[] = [];
  for (const pushed of all) results.push(rows.get(pushed.claim.study_id) ?? (await mergeIn(tx, pushed)));
  return results;
}

/** Replaces what was pushed; series and instances are added, and those that the index holds stay. */
async function update(tx: Queryable, request: WriteRequest & { current: ResourceRow }): Promise<ResourceRow> {
  const { current } = request;
  const pushed = takeApart(request);
  const before = toResource(current);
  if (pushed.facts.studyInstanceUid !== studyInstanceUidOf(before))
    throw refused('The Study Instance UID does not change.', 'ImagingStudy.identifier');
  if (pushed.patientId !== current.patient_id) throw refused('The patient of a study does not change.', 'ImagingStudy.subject');
  const claim = await lockClaim(tx, current.custodian_id, pushed.facts.studyInstanceUid);
  if (claim?.study_id !== current.id) throw refused('The study is not this organization’s.', 'ImagingStudy.identifier');
  const { accession_number, pushed: elements } = pushed.claim;
  const next = {
    ...withLargerCount(claim, pushed.claim),
    accession_number: accession_number ?? claim.accession_number,
    pushed: elements,
  };
  return merge(tx, pushed, next, () => pushed.resource);
}

function takeApart({ caller, resource }: WriteRequest): Pushed {
  const facts = factsOfResource(resource);
  const patientId = idOf(resource.subject, 'Patient');
  if (!patientId) throw refused('The subject is a Patient.', 'ImagingStudy.subject');
  if (facts.repeated.length > 0) throw conflict('An instance is listed twice.', 'ImagingStudy.series.instance');
  const claim: Claim = {
    ...facts.attributes,
    study_instance_uid: facts.studyInstanceUid,
    patient_id: patientId,
    study_id: resource.id ?? newId(),
    accession_number: ((resource.identifier ?? []) as FhirResource[]).find(isAccessionNumber)?.value ?? null,
    pushed: ['started', 'description', 'modality'].filter((name) => resource[name] !== undefined),
  };
  return { resource, custodianId: caller.organizationId, patientId, facts, claim };
}

/**
 * Stores those that the custodian has not claimed before, the first of each Study Instance UID. @throws Refusal 422 when a subject is not a
 * Patient of the custodian, 409 when an instance is known in another study; what was stored meanwhile goes with the transaction.
 */
async function storeNew(tx: Queryable, all: readonly Pushed[]): Promise<ResourceRow[]> {
  const custodianId = all[0]?.custodianId ?? '';
  const first = [...new Map([...all].reverse().map((p) => [p.claim.study_instance_uid, p])).values()];
  const patients = new Set(all.map((p) => p.patientId));
  const stored = await storeNewStudies(tx, custodianId, {
    claims: first.map((p) => p.claim),
    series: first.flatMap(({ facts }) => ofStudy(facts.studyInstanceUid, facts.series)),
    instances: first.flatMap(({ facts }) => ofStudy(facts.studyInstanceUid, facts.instances)),
    patients: [...patients],
    awaited: first.flatMap(({ resource }) => awaitedAs(resource)),
  });
  if (stored.copied)
    throw conflict(
      'The study is another hospital’s, delivered to this one: it is indexed where it comes from.',
      'ImagingStudy.identifier',
    );
  if (custodianId === '' || stored.own_patients < patients.size) throw nowhere('ImagingStudy.subject');
  const made = new Set(stored.study_ids);
  const fresh = first.filter((p) => made.has(p.claim.study_id)).reverse();
  if (stored.instances < fresh.reduce((sum, { facts }) => sum + facts.instances.length, 0)) throw instanceConflict();
  const endpoints = stored.endpoints.map((id) => `Endpoint/${id}`);
  const resources = fresh.map(({ resource, claim, facts }) =>
    renderStudy(resource, { custodianId, claim, endpoints, series: facts.series, instances: facts.instances }),
  );
  const rows = await createResources(
    tx,
    resources.map((resource) => ({ resource, custodianId })),
  );
  if (stored.awaited) for (const row of rows) await linkAwaiting(tx, row);
  return rows;
}

const instanceConflict = () =>
  conflict('A SOP Instance UID is known in another study, series or class of this organization.', 'ImagingStudy.series.instance');

/** A study that the custodian has: the push adds to it. */
async function mergeIn(tx: Queryable, pushed: Pushed): Promise<ResourceRow> {
  const claim = await lockClaim(tx, pushed.custodianId, pushed.facts.studyInstanceUid);
  if (!claim) throw new Error('a study that is claimed has no claim');
  if (claim.patient_id !== pushed.patientId) throw conflict('The study is known with another patient.', 'ImagingStudy.subject');
  const accession = claim.accession_number ?? pushed.claim.accession_number;
  const elements = [...new Set([...claim.pushed, ...pushed.claim.pushed])].sort();
  const next = { ...withLargerCount(claim, pushed.claim), accession_number: accession, pushed: elements };
  return merge(tx, pushed, next, (before) => overlaid(before, pushed.resource));
}

async function merge(
  tx: Queryable,
  { custodianId, facts }: Pushed,
  next: Claim,
  baseOf: (before: FhirResource) => FhirResource,
): Promise<ResourceRow> {
  const { fresh, conflicting } = await sortInstances(tx, custodianId, null, facts);
  if (conflicting.length > 0) throw instanceConflict();
  const late = await addRows(tx, custodianId, null, facts, fresh);
  if (late.length > 0) throw instanceConflict();
  await updateClaim(tx, custodianId, next);
  return (await storeStudy(tx, custodianId, next, baseOf)).row;
}

const withLargerCount = (claim: Claim, { claimed_instances }: Claim): Claim =>
  claimed_instances === null ? claim : { ...claim, claimed_instances: Math.max(claim.claimed_instances ?? 0, claimed_instances) };

/** The version before, with what is pushed in its place; identifiers, labels and series are joined. */
function overlaid(before: FhirResource, pushed: FhirResource): FhirResource {
  const security = joinedLabels(before.meta?.security ?? [], pushed.meta?.security ?? []);
  return {
    ...before,
    ...pushed,
    meta: { ...before.meta, ...pushed.meta, ...(security.length > 0 ? { security } : {}) },
    extension: joined([...(pushed.extension ?? []), ...(before.extension ?? [])], (e) => e.url),
    identifier: joined([...(pushed.identifier ?? []), ...(before.identifier ?? [])], (i) => `${i.system ?? ''}|${i.value ?? ''}`),
    series: joined([...(pushed.series ?? []), ...(before.series ?? [])], (s) => s.uid),
  };
}

/** The first of each key. */
function joined(elements: readonly FhirResource[], key: (element: FhirResource) => string): FhirResource[] {
  return [...new Map([...elements].reverse().map((element) => [key(element), element])).values()].reverse();
}
