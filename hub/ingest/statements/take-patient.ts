import type { RecordStep } from '../../../connectors/statement.js';
import { FROM_STUDY } from '../../identity/custodian-patient.js';
import { contradictions, demographicsOf, demographicsOfRow } from '../../identity/demographics.js';
import { lockForMatching } from '../../identity/match-patients.js';
import { retiredAmong } from '../../identity/merges.sql.js';
import type { RowWithEvidence } from '../../access/decision.js';
import { conflict } from '../../outcomes.js';
import { searchedIdentifier } from '../../store/patient-identifier.js';
import { columns, findResource, type ResourceRow, toResource } from '../../store/resources.js';
import type { FhirResource } from '../../store/search-keys.js';
import { keyed, sql } from '../../store/sql.js';
import { type Identifier, noteRecord, recordOf } from './find-record.js';
import { sourceAgent, type Taking } from './taking.js';
import { resolveReferences } from './resolve-references.js';
import { createRecord, isUnchanged, updateRecord } from './write-record.js';

/**
 * Takes a registration. The number says who it is; a number that was merged into another one says nothing any more, and its late registration changes nobody.
 * @throws Refusal 409 when the number is held by somebody else by name, birth date or sex.
 */
export async function takePatient(taking: Taking, step: RecordStep, stated: FhirResource): Promise<void> {
  await resolveReferences(taking, stated);
  const numbers = numbersOf(stated, taking.assigner);
  await lockForMatching(taking.tx, numbers, [demographicsOf(stated)]);
  const current = await findPatient(taking, numbers, step.id);
  if (!current) return noteRecord(taking, step.id, await createRecord(taking, stated));
  const retired = (await retiredAmong(taking.tx, [current.id])).get(current.id);
  if (retired) return lateRegistration(taking, step, stated, current, retired.survivor_id);
  const before = toResource(current);
  assertSamePerson(step, contradictions(demographicsOfRow(current), demographicsOf(stated)));
  const next = step.partial
    ? overlaid(before, stated, step.partial.cleared, taking.assigner)
    : { ...stated, id: current.id, ...withMerges(before, stated) };
  const isRegistered = before.meta?.source !== FROM_STUDY;
  const stays = step.onlyIfNew || (isRegistered && isUnchanged(before, next));
  await noteRecord(taking, step.id, stays ? current : await updateRecord(taking, current, next));
}

const numbersOf = (patient: FhirResource, assigner: string): string[] =>
  ((patient.identifier ?? []) as (Identifier & { use?: string })[]).flatMap((i) =>
    i.system === assigner && i.use !== 'old' && i.value ? [i.value.trim()] : [],
  );

/** The Patient that the source has under this id, else the one who holds the numbers. Locked. */
async function findPatient(taking: Taking, numbers: readonly string[], sourceId?: string): Promise<RowWithEvidence | undefined> {
  const { tx, origin, access, assigner } = taking;
  const known = sourceId === undefined ? undefined : await recordOf(taking, sourceId);
  const forms = keyed((p) => numbers.flatMap((value) => searchedIdentifier(p, { system: assigner, value })));
  const rows = await tx.query<RowWithEvidence & Record<string, unknown>>(sql`
    select ${columns}, ${access.evidence} from resource r
    where r.type = 'Patient' and r.id in (
      select ${known ?? null}::text where ${known ?? null}::text is not null
      union
      select i.patient_id from patient_identifier i
      where ${known ?? null}::text is null and i.custodian_id = ${origin.custodianId} and i.kind = 'hospital' and i.system = ${assigner}
        and i.value = any(${forms}::text[]))
    order by r.id for update of r`);
  if (rows.length > 1) throw conflict('The numbers are held by several Patients.', 'Patient.identifier');
  return rows[0];
}

/** A correction may differ in one thing; what differs in two is somebody else's, and a registration differs in nothing. */
function assertSamePerson({ isCorrection }: RecordStep, against: readonly string[]): void {
  if (against.length > (isCorrection ? 1 : 0))
    throw conflict(`The number is held with another ${against.join(' and ')}.`, 'Patient.identifier');
}

/** What is said of a number that was merged is old: it changes nothing, as long as it is about one of the two. */
async function lateRegistration(
  taking: Taking,
  step: RecordStep,
  stated: FhirResource,
  retired: ResourceRow,
  survivorId: string,
): Promise<void> {
  const survivor = await findResource(taking.tx, 'Patient', survivorId);
  const people = [retired, ...(survivor ? [survivor] : [])].map(demographicsOfRow);
  const against = people.map((person) => contradictions(person, demographicsOf(stated)));
  assertSamePerson(step, against.sort((a, b) => a.length - b.length)[0] ?? []);
  await noteRecord(taking, step.id, survivor ?? retired);
  await taking.audit.append(taking.tx, [
    {
      ...sourceAgent(taking),
      type: 'ingest',
      subtype: 'submit',
      action: 'U',
      outcome: 0,
      patientId: survivorId,
      entity: [`Patient/${survivorId}`, `Patient/${retired.id}`],
      detail: `${taking.what}: the number was merged, nothing changes`,
    },
  ]);
}

/** Links to those who were merged into the Patient are the hub's own. */
function withMerges(before: FhirResource, stated: FhirResource): { link?: object[] } {
  const merged = ((before.link ?? []) as { type?: string }[]).filter(({ type }) => type === 'replaces');
  return merged.length > 0 ? { link: [...((stated.link ?? []) as object[]), ...merged] } : {};
}

/**
 * What is stated, over what stands. Identifiers are joined: the hospital's own numbers add up, of another system those that are stated take the place of
 * those before.
 */
function overlaid(
  before: FhirResource & { id: string },
  stated: FhirResource,
  cleared: readonly string[],
  assigner: string,
): FhirResource & { id: string } {
  const given = (stated.identifier ?? []) as Identifier[];
  const isGiven = (i: Identifier): boolean => given.some((g) => g.system === i.system && g.value === i.value);
  const isReplaced = (i: Identifier): boolean => i.system !== assigner && given.some((g) => g.system === i.system);
  const kept = ((before.identifier ?? []) as Identifier[]).filter((i) => isGiven(i) || !isReplaced(i));
  const added = given.filter((g) => !kept.some((i) => i.system === g.system && i.value === g.value));
  const next: FhirResource & { id: string } = { ...before, ...stated, id: before.id, identifier: [...kept, ...added] };
  if (next.identifier.length === 0) delete next.identifier;
  for (const element of cleared) delete next[element];
  return next;
}
