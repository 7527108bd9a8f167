import type { StudyDescription, UnreadableItem } from '../../connectors/connector.js';
import type { Audit } from '../audit/vocabulary.js';
import { ensureCustodianPatient } from '../identity/custodian-patient.js';
import { contradiction, demographicsOfDescription, demographicsOfRow } from '../identity/demographics.js';
import type { Queryable } from '../store/database.js';
import { searchedIdentifier } from '../store/patient-identifier.js';
import { findResource, newId, type ResourceRow } from '../store/resources.js';
import type { FhirResource } from '../store/search-keys.js';
import { keyed, sql } from '../store/sql.js';
import { askWhereUntold } from './follow/looks.js';
import { type Origin, quarantineItems, resolveItems, resolveStudyItems } from './quarantine.js';
import { recordSubmission } from './record-submission.js';
import { asItems, type Sorted, sortInstances } from './sort-instances.js';
import { addRows, type StoredStudy, storeStudy } from './store-study.js';
import { factsOfStudy, leastOf, type StudyAttributes, type StudyFacts } from './study-facts.js';
import { type Claim, claimStudies, locateInstances, lockClaim, updateClaim } from './study-rows.sql.js';

export interface IngestDeps {
  audit: Audit;
  /** Called in the transaction that stores a study which changed (scoring by rule). */
  scheduleAutomatic?: (tx: Queryable, study: { studyRow: ResourceRow }) => Promise<unknown>;
  /** Called in the transaction that takes a study away from where it was: jobs about it that wait are not done. */
  withdrawJobs?: (tx: Queryable, study: ResourceRow, because: string) => Promise<void>;
}

/** A study, or a part of one, as a custodian's source states it. */
export interface Submission extends Origin {
  study: StudyDescription;
  /** The source can be asked for the whole study: where it states otherwise what it stated before, that is done first. */
  isAskable?: boolean;
}

/** The source states otherwise what it stated before. Nothing was written: the whole study is to be looked at. */
export class StatedOtherwise extends Error {
  constructor() {
    super('the source states otherwise what it stated before');
    this.name = 'StatedOtherwise';
  }
}

export interface Submitted {
  /** Absent when nothing of the submission could be taken and the study is not known. */
  studyId?: string;
  patientId?: string;
  created: boolean;
  changed: boolean;
  /** Instances that were not taken, each with its reason. */
  quarantined: UnreadableItem[];
}

/**
 * Takes a study, or a part of it, into the index: claim, the hospital's own Patient, series and instances, the ImagingStudy, Provenance and
 * audit. Parts may come in any order, again and again, and in parallel; what contradicts the index goes into the quarantine, and the first
 * one stands. To be run in one transaction (`db.transaction`, which tries again after a deadlock); acknowledge after its commit.
 */
export async function submitStudy(tx: Queryable, deps: IngestDeps, submission: Submission): Promise<Submitted> {
  const facts = factsOfStudy(submission.study);
  const claim = await lockClaim(tx, submission.custodianId, facts.studyInstanceUid);
  const sorted = await sortInstances(tx, submission.custodianId, submission.connectorId ?? null, facts);
  if (submission.isAskable && sorted.restated.length > 0) throw new StatedOtherwise();
  if (isNothingNew(claim, facts, sorted)) return settle(tx, deps, submission, { facts, sorted, conflicts: [] });
  const patient = await patientOf(tx, submission, claim);
  if ('conflict' in patient) {
    if (submission.isAskable && claim && (await hasFrom(tx, submission))) throw new StatedOtherwise();
    return settle(tx, deps, submission, {
      facts,
      sorted: { ...sorted, fresh: [], located: [] },
      conflicts: asItems(sorted.fresh, facts.studyInstanceUid, 'patient-conflict', patient.conflict),
      claim,
    });
  }
  const merged = await claimFor(tx, submission.custodianId, claim, facts, patient.patientId);
  return takeIn(tx, deps, submission, { facts, sorted, claim: merged });
}

/** Whether the index holds anything of the study from this very source. */
async function hasFrom(tx: Queryable, { custodianId, connectorId, study }: Submission): Promise<boolean> {
  const held = await tx.query(sql`
    select 1 from imaging_instance where custodian_id = ${custodianId} and study_instance_uid = ${study.studyInstanceUid}
      and connector_id = ${connectorId ?? null} limit 1`);
  return held.length > 0;
}

/**
 * Stores what is new of a claimed study under its lock, and what follows from that.
 * @param baseOf the elements of the resource that images don't give, from the version before.
 */
export async function takeIn(
  tx: Queryable,
  deps: IngestDeps,
  submission: Submission,
  { facts, sorted, claim }: { facts: StudyFacts; sorted: Sorted; claim: Claim },
  { baseOf, act, detail }: { baseOf?: (before: FhirResource) => FhirResource; act?: string; detail?: string } = {},
): Promise<Submitted> {
  const late = await addRows(tx, submission.custodianId, submission.connectorId ?? null, facts, sorted.fresh);
  const resorted = late.length > 0 ? await resort(tx, submission, facts, sorted, late) : sorted;
  await locateInstances(tx, submission.custodianId, submission.connectorId ?? null, resorted.located);
  const stored = await storeStudy(tx, submission.custodianId, claim, baseOf);
  if (sorted.fresh.length > 0) await askWhereUntold(tx, submission.custodianId, facts.studyInstanceUid);
  return settle(tx, deps, submission, { facts, sorted: resorted, conflicts: [], claim, stored, act, detail });
}

/** Whether the submission repeats what is known: then nothing is written, and its patient is not judged again. */
function isNothingNew(claim: Claim | undefined, facts: StudyFacts, { fresh, located, conflicting }: Sorted): boolean {
  if (fresh.length + located.length > 0) return false;
  if (!claim) return facts.instances.length + conflicting.length > 0;
  return isSameAttributes(mergeAttributes(claim, facts.attributes), claim);
}

const ATTRIBUTES = [
  'claimed_instances',
  'started',
  'accession_number',
  'description',
  'study_number',
  'referring_physician',
] as const;

export const isSameAttributes = (a: StudyAttributes, b: StudyAttributes): boolean =>
  ATTRIBUTES.every((name) => a[name] === b[name]);

/** Of counts the largest stands, since sources grow; of everything else the least. */
export function mergeAttributes(claim: Claim, given: StudyAttributes): Claim {
  const { started, accession_number, description, study_number, referring_physician } = claim;
  const { claimed_instances: now, ...others } = given;
  const attributes = leastOf({ started, accession_number, description, study_number, referring_physician }, others);
  const before = claim.claimed_instances;
  return {
    ...claim,
    ...attributes,
    claimed_instances: before === null || now === null ? (before ?? now) : Math.max(before, now),
  };
}

/** The hospital's own Patient. A study keeps the Patient that it was claimed for; a part without a number belongs to that one. */
async function patientOf(
  tx: Queryable,
  { custodianId, study }: Submission,
  claim: Claim | undefined,
): Promise<{ patientId: string } | { conflict: string }> {
  const { patient, studyInstanceUid } = study;
  if (!claim) return ensureCustodianPatient(tx, { custodianId, patient, studyInstanceUid });
  const number = patient.patientId?.trim();
  if (number) {
    if (!(await holdsNumber(tx, custodianId, claim.patient_id, number)))
      return { conflict: 'The study is known with another patient number.' };
    return ensureCustodianPatient(tx, { custodianId, patient, studyInstanceUid });
  }
  const row = await findResource(tx, 'Patient', claim.patient_id);
  const against = row && contradiction(demographicsOfRow(row), demographicsOfDescription(patient));
  return against ? { conflict: `The study is known with another ${against}.` } : { patientId: claim.patient_id };
}

/** Whether a number of the hospital is this Patient's, or of one who was merged into him. */
export async function holdsNumber(tx: Queryable, custodianId: string, patientId: string, number: string): Promise<boolean> {
  const held = await tx.query(sql`
    select 1 from patient_identifier
    where custodian_id = ${custodianId} and kind = 'hospital'
      and patient_id in (select ${patientId} union all select retired_id from patient_merge where survivor_id = ${patientId})
      and value = any(${keyed((p) => searchedIdentifier(p, { value: number }))}::text[])`);
  return held.length > 0;
}

/** The claim with what the submission adds to it, under lock. Who loses the race for a new study goes on as if he had come later. */
async function claimFor(
  tx: Queryable,
  custodianId: string,
  claim: Claim | undefined,
  { studyInstanceUid, attributes }: StudyFacts,
  patientId: string,
): Promise<Claim> {
  if (!claim) {
    const wanted = { study_instance_uid: studyInstanceUid, patient_id: patientId, study_id: newId(), pushed: [], ...attributes };
    const [made] = await claimStudies(tx, custodianId, [wanted]);
    if (made) return made;
  }
  const locked = claim ?? (await lockClaim(tx, custodianId, studyInstanceUid));
  if (!locked || locked.patient_id !== patientId) throw lostRace();
  const merged = mergeAttributes(locked, attributes);
  if (!isSameAttributes(merged, locked)) await updateClaim(tx, custodianId, merged);
  return merged;
}

/** SQLSTATE 40001: `db.transaction` begins again, and then finds the claim. */
const lostRace = (): Error => Object.assign(new Error('the study was claimed for another patient meanwhile'), { code: '40001' });

/** Instances that another transaction stored meanwhile are compared with what it stored. */
async function resort(
  tx: Queryable,
  submission: Submission,
  facts: StudyFacts,
  sorted: Sorted,
  late: StudyFacts['instances'],
): Promise<Sorted> {
  const again = await sortInstances(tx, submission.custodianId, submission.connectorId ?? null, {
    ...facts,
    instances: late,
    repeated: [],
  });
  const isLate = new Set(late.map((i) => i.sop_instance_uid));
  return {
    fresh: sorted.fresh.filter((i) => !isLate.has(i.sop_instance_uid)),
    located: [...sorted.located, ...again.located],
    known: [...sorted.known, ...again.known],
    conflicting: [...sorted.conflicting, ...again.conflicting],
    restated: [],
  };
}

export interface Outcome {
  facts: StudyFacts;
  sorted: Sorted;
  conflicts: UnreadableItem[];
  claim?: Claim;
  stored?: StoredStudy;
  /** What was done, for the audit; a submission by default. */
  act?: string;
  detail?: string;
}

/** Quarantine, Provenance, audit, and what follows from a changed study. */
export async function settle(
  tx: Queryable,
  deps: IngestDeps,
  submission: Submission,
  { facts, sorted, conflicts, claim, stored, act, detail = `${sorted.fresh.length} instances` }: Outcome,
): Promise<Submitted> {
  const { studyInstanceUid } = facts;
  const quarantined = [
    ...conflicts,
    ...asItems(
      sorted.conflicting,
      studyInstanceUid,
      'sop-instance-conflict',
      'Another object with this SOP Instance UID was taken before.',
    ),
  ];
  await quarantineItems(tx, deps.audit, submission, quarantined);
  const refused = new Set(quarantined.map((item) => item.locator));
  const taken = [...sorted.fresh, ...sorted.located, ...sorted.known].flatMap((i) => i.locator ?? []);
  const settled = taken.filter((locator) => !refused.has(locator));
  await resolveItems(tx, submission, settled);
  await resolveStudyItems(tx, submission, studyInstanceUid, settled);
  // what was replaced under its UIDs may look the same in the resource
  if (stored && (stored.changed || act !== undefined)) {
    await recordSubmission(tx, deps.audit, submission, stored, { act, detail });
    await deps.scheduleAutomatic?.(tx, { studyRow: stored.row });
  }
  const known = claim ?? (await lockClaim(tx, submission.custodianId, studyInstanceUid));
  return {
    studyId: known?.study_id,
    patientId: known?.patient_id,
    created: stored?.created ?? false,
    changed: stored?.changed ?? false,
    quarantined,
  };
}
