import type { StudyDescription, UnreadableItem } from '../../../connectors/connector.js';
import type { Queryable } from '../../store/database.js';
import type { FhirResource } from '../../store/search-keys.js';
import { quarantineItems } from '../quarantine.js';
import { asItems, type Sorted, sortInstances } from '../sort-instances.js';
import { storeStudy, withoutImages } from '../store-study.js';
import { factsOfStudy, type InstanceFacts, NOTHING_SAID, type StudyFacts } from '../study-facts.js';
import { addSeries, type Claim, lockClaim, ofStudy, updateClaim } from '../study-rows.sql.js';
import { type IngestDeps, isSameAttributes, mergeAttributes, settle, submitStudy, takeIn } from '../submit-study.js';
import { recordSubmission } from '../record-submission.js';
import { moveStudy } from './move-study.js';
import { type HeldInstance, heldInstances, removeInstances, removeSeries } from './removed-instances.sql.js';
import { mayRemove, settleHeld, unconfirmed } from './removal-guard.js';
import { removeStudy } from './remove-study.js';
import type { Replacement } from './replacement.js';
import { type PatientNow, patientNow } from './patient-now.js';

export interface Replaced {
  quarantined: readonly UnreadableItem[];
  /** Instances that left the index. */
  removed: number;
  /** The patient is described otherwise, as he would be if he was corrected: the other studies of this Patient tell. */
  patientInQuestion?: string;
}

/**
 * Brings the index to what the source has of a study now: what is gone leaves it, what was replaced is taken as it is, what is new is added; a study
 * that was filed under another patient moves there. Only what came from this source is touched. What contradicts the index without having
 * replaced anything goes into the quarantine, as ever. In one transaction.
 */
export async function replaceStudy(tx: Queryable, deps: IngestDeps, of: Replacement): Promise<Replaced> {
  const claim = await lockClaim(tx, of.custodianId, of.studyInstanceUid);
  await quarantineItems(tx, deps.audit, of, of.now.unreadable);
  if (!claim) return { quarantined: [...of.now.unreadable, ...(await submitAll(tx, deps, of))], removed: 0 };
  const held = await heldInstances(tx, of);
  const own = held.filter((one) => one.connector_id === of.connectorId && one.isOlder);
  const study = of.now.studies.length === 1 ? of.now.studies[0] : undefined;
  const stated = statedInstances(of.now.studies);
  const gone = own.filter((one) => !stated.has(one.sop_instance_uid) && !isListed(of.now.unreadable, one));
  const replaced = own.filter((one) => differs(stated.get(one.sop_instance_uid), one));
  const isRewritten = of.now.statesOnce
    ? own.length > gone.length
    : replaced.length > 0 && replaced.length + gone.length === own.length;
  const patient = study && (await patientNow(tx, of, claim, study.patient, { isRewritten, mayCorrect: of.mayCorrectPatient }));

  const isAllowed = gone.length === 0 || (await mayRemove(tx, of));
  const asked = isAllowed ? [] : await unconfirmed(tx, deps, of, gone.length, own.length);
  await settleHeld(tx, of, isAllowed);
  const removed = isAllowed ? gone : [];
  await removeInstances(tx, of, removed, 'gone');
  const isWhole = held.length === own.length;
  const agrees = study && patient && !('conflict' in patient);
  const refused = agrees
    ? await takeAsStated(tx, deps, of, { claim, study, patient, isWhole, replaced, removed })
    : await refuse(tx, deps, of, { claim, patient, removed, left: held.length - removed.length });
  const isQuestion = patient && 'conflict' in patient && patient.isQuestion;
  const quarantined = [...of.now.unreadable, ...asked, ...refused];
  return { quarantined, removed: removed.length, ...(isQuestion ? { patientInQuestion: claim.patient_id } : {}) };
}

/** A study that the index does not know is taken as any other. */
async function submitAll(tx: Queryable, deps: IngestDeps, of: Replacement): Promise<UnreadableItem[]> {
  const items: UnreadableItem[] = [];
  for (const study of of.now.studies) items.push(...(await submitStudy(tx, deps, { ...of, study })).quarantined);
  return items;
}

function statedInstances(studies: readonly StudyDescription[]): Map<string, InstanceFacts> {
  const instances = studies.flatMap((study) => factsOfStudy(study).instances);
  return new Map(instances.reverse().map((one) => [one.sop_instance_uid, one]));
}

function differs(stated: InstanceFacts | undefined, held: HeldInstance): boolean {
  if (!stated) return false;
  // Without a digest the source only told of the object: nothing is compared.
  const isAlike = stated.digest === null || held.digest === null || stated.digest === held.digest;
  const isSame = isAlike && stated.series_instance_uid === held.series_instance_uid;
  return !(isSame && stated.sop_class_uid === held.sop_class_uid);
}

/** What is listed and can't be read is there; an item without UIDs stands for all that it may hold. */
const isListed = (unreadable: readonly UnreadableItem[], one: HeldInstance): boolean =>
  unreadable.some((item) =>
    item.sopInstanceUid === undefined
      ? (item.seriesInstanceUid ?? one.series_instance_uid) === one.series_instance_uid
      : item.sopInstanceUid === one.sop_instance_uid,
  );

interface AsStated {
  claim: Claim;
  study: StudyDescription;
  patient: Extract<PatientNow, { patientId: string }>;
  /** Nothing of the study is from anywhere else: all that images say of it is said here. */
  isWhole: boolean;
  replaced: readonly HeldInstance[];
  removed: readonly HeldInstance[];
}

async function takeAsStated(
  tx: Queryable,
  deps: IngestDeps,
  of: Replacement,
  { claim, study, patient, isWhole, replaced, removed }: AsStated,
): Promise<readonly UnreadableItem[]> {
  const facts = factsOfStudy(study);
  await removeInstances(tx, of, replaced, 'replaced');
  const filed = patient.isMoved ? await moveStudy(tx, deps, of, claim, patient.patientId) : claim;
  if (isWhole) await removeSeries(tx, of);
  const sorted = await sortInstances(tx, of.custodianId, of.connectorId, facts);
  await addSeries(tx, of.custodianId, ofStudy(of.studyInstanceUid, takenSeries(facts, sorted)));
  const merged = mergeAttributes(isWhole ? { ...filed, ...NOTHING_SAID } : filed, facts.attributes);
  if (!isSameAttributes(merged, claim)) await updateClaim(tx, of.custodianId, merged);
  const baseOf = isWhole && claim.pushed.length === 0 ? withoutStatements : undefined;
  const act = patient.isMoved
    ? 'study-moved'
    : replaced.length > 0
      ? 'study-corrected'
      : removed.length > 0
        ? 'study-removed'
        : undefined;
  const detail = `${sorted.fresh.length} instances taken, ${replaced.length} replaced, ${removed.length} gone`;
  const how = { baseOf, ...(act ? { act, detail } : {}) };
  return (await takeIn(tx, deps, { ...of, study }, { facts, sorted, claim: merged }, how)).quarantined;
}

/** Without what images said before, which they may no longer say. */
const withoutStatements = (before: FhirResource): FhirResource => {
  const { started: _started, description: _description, ...rest } = withoutImages(before);
  return rest;
};

/** Series of which an instance is in the index, or comes into it. */
const takenSeries = ({ series }: StudyFacts, { fresh, located, known }: Sorted) => {
  const taken = new Set([...fresh, ...located, ...known].map((i) => i.series_instance_uid));
  return series.filter((s) => taken.has(s.series_instance_uid));
};

interface Refused {
  claim: Claim;
  patient: PatientNow | undefined;
  removed: readonly HeldInstance[];
  /** Instances of the study that are left. */
  left: number;
}

/** What contradicts the index and replaced nothing, or is stated of two patients, is held. What is left of the study is shown, or it is deleted. */
async function refuse(
  tx: Queryable,
  deps: IngestDeps,
  of: Replacement,
  { claim, patient, removed, left }: Refused,
): Promise<readonly UnreadableItem[]> {
  const why = patient && 'conflict' in patient ? patient.conflict : 'The source states this study of several patients.';
  const items: UnreadableItem[] = [];
  for (const study of of.now.studies) {
    const facts = factsOfStudy(study);
    const sorted = await sortInstances(tx, of.custodianId, of.connectorId, facts);
    const conflicts = asItems([...sorted.fresh, ...sorted.restated], of.studyInstanceUid, 'patient-conflict', why);
    const others = sorted.conflicting.filter((one) => !sorted.restated.includes(one));
    const rest = { ...sorted, fresh: [], located: [], conflicting: others };
    items.push(...(await settle(tx, deps, { ...of, study }, { facts, sorted: rest, conflicts, claim })).quarantined);
  }
  if (removed.length > 0 && left === 0) await removeStudy(tx, deps, of, claim, removed.length);
  else if (removed.length > 0) await showWhatIsLeft(tx, deps, of, claim, removed.length);
  return items;
}

async function showWhatIsLeft(tx: Queryable, deps: IngestDeps, of: Replacement, claim: Claim, removed: number): Promise<void> {
  const stored = await storeStudy(tx, of.custodianId, claim);
  if (stored.changed)
    await recordSubmission(tx, deps.audit, of, stored, { act: 'study-removed', detail: `${removed} instances gone` });
}
