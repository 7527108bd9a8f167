import type { Caller } from '../access/caller.js';
import { findRow } from '../access/find-row.js';
import type { WriteRequest } from '../access/write-request.js';
import { nowhere, refused } from '../access/write-rules.js';
import { conflict, forbidden } from '../outcomes.js';
import type { Queryable } from '../store/database.js';
import { databaseNow } from '../store/now.js';
import { idOf } from '../store/fhir-elements.js';
import { findResource, toResource } from '../store/resources.js';
import { type FhirResource, localReference } from '../store/search-keys.js';
import { sql } from '../store/sql.js';
import type { Grant } from './grants.js';
import type { Referral, Task } from './referral-writer.js';
import { attachedStudies, deadlineOf } from './task.js';
import type { Party, Transition } from './transitions.js';

/**
 * Hospital A asks expert hospital B about A's own patient and attaches studies that A itself may disclose. B's acceptance opens
 * exactly these and the patient's demographics to B, until the Task ends or its deadline; to one practitioner of B where the
 * ServiceRequest names him as performer. B keeps its own opinion, A stays the decider.
 */
export const consultation: Referral = {
  kind: 'consultation-request',
  place: placeConsultation,
  parties: partiesOfConsultation,
  step: checkStep,
  grants: grantsOfConsultation,
};

async function placeConsultation(tx: Queryable, request: WriteRequest): Promise<FhirResource> {
  const { caller, resource: task } = request;
  const patientId = idOf(task.for, 'Patient') ?? '';
  await assertOwnPatient(tx, patientId, caller);
  const performer = await assertPerformer(tx, task, caller);
  await assertQuestion(tx, task, patientId, performer, caller);
  for (const studyId of attachedStudies(task)) await assertDisclosable(tx, request, studyId, patientId);
  return { ...task, intent: 'order' };
}

async function assertOwnPatient(tx: Queryable, patientId: string, caller: Caller): Promise<void> {
  const patient = await findResource(tx, 'Patient', patientId);
  if (!patient || patient.deleted || patient.custodian_id !== caller.organizationId) throw nowhere('Task.for');
}

async function assertPerformer(tx: Queryable, task: FhirResource, caller: Caller): Promise<string> {
  const performer = idOf(task.owner, 'Organization');
  if (!performer) throw refused('A consultation is asked of an organization.', 'Task.owner');
  if (performer === caller.organizationId) throw refused('A consultation is asked of another organization.', 'Task.owner');
  const [known] = await tx.query(sql`select from organization where id = ${performer} and active and kind = 'hospital'`);
  if (!known) throw nowhere('Task.owner');
  return performer;
}

/** The question must be the caller's own, about the same patient, and put to those who are to answer it: they read it as a party. */
async function assertQuestion(
  tx: Queryable,
  task: FhirResource,
  patientId: string,
  performer: string,
  caller: Caller,
): Promise<void> {
  const row = await findResource(tx, 'ServiceRequest', idOf(task.focus, 'ServiceRequest') ?? '');
  if (!row || row.deleted || row.custodian_id !== caller.organizationId) throw nowhere('Task.focus');
  if (row.patient_id !== patientId) throw refused('The ServiceRequest is about another patient.', 'Task.focus');
  if (!row.parties.includes(performer))
    throw refused('ServiceRequest.performer must name the organization that is asked.', 'Task.focus');
}

async function assertDisclosable(tx: Queryable, request: WriteRequest, studyId: string, patientId: string): Promise<void> {
  const row = await findRow(tx, request.access, 'ImagingStudy', studyId);
  if (!row || !request.access.decide('know', row).allowed) throw nowhere('Task.input');
  if (!request.access.decide('disclose', row).allowed)
    throw forbidden('Only the custodian of a study discloses it; a release request asks for that.');
  if (row.patient_id !== patientId) throw refused('The study is of another patient.', 'Task.input');
}

function partiesOfConsultation(task: FhirResource, caller: Caller): Party[] {
  if (idOf(task.requester, 'Organization') === caller.organizationId) return ['requester'];
  return idOf(task.owner, 'Organization') === caller.organizationId ? ['performer'] : [];
}

/** Results are the performer's own reports about this patient; without one there is nothing to complete. */
async function checkStep(
  tx: Queryable,
  before: Task,
  after: Task,
  transition: Transition | undefined,
): Promise<readonly string[]> {
  const added = ((after.output ?? []) as Output[]).slice(before.output?.length ?? 0);
  for (const { valueReference } of added) {
    const report = await findResource(tx, 'DiagnosticReport', idOf(valueReference, 'DiagnosticReport') ?? '');
    const isOpinion = report && !report.deleted && report.patient_id === idOf(before.for, 'Patient');
    if (!isOpinion || report.custodian_id !== idOf(before.owner, 'Organization'))
      throw refused('An output is a DiagnosticReport of the performer about this patient.', 'Task.output');
  }
  if (transition?.event === 'complete' && !after.output?.length)
    throw refused('A consultation is completed with its DiagnosticReport.', 'Task.output');
  return [];
}

interface Output {
  valueReference?: { reference?: string };
}

/** @throws Refusal 409 when the deadline is over or a study has changed hands since it was attached. */
async function grantsOfConsultation(tx: Queryable, task: Task, caller: Caller): Promise<Grant[]> {
  const validUntil = deadlineOf(task);
  if (!validUntil || validUntil <= (await databaseNow(tx)))
    throw conflict('The deadline is over.', 'Task.restriction.period.end');
  const patientId = idOf(task.for, 'Patient')!;
  const custodianId = idOf(task.requester, 'Organization')!;
  const studies = attachedStudies(task);
  const held = await tx.query(sql`
    select from resource where type = 'ImagingStudy' and id = any (${studies}::text[]) and patient_id = ${patientId} and custodian_id = ${custodianId} and not deleted`);
  if (held.length !== studies.length) throw conflict('An attached study is no longer the requester’s.', 'Task.input');
  const practitioners = await namedPractitioners(tx, task);
  if (practitioners.length > 0 && !practitioners.includes(caller.practitionerId ?? ''))
    throw forbidden('The ServiceRequest names the practitioner who is asked.');
  const grant = {
    taskId: task.id,
    custodianId,
    recipientId: idOf(task.owner, 'Organization')!,
    patientId,
    resources: [`Patient/${patientId}`, ...studies.map((id) => `ImagingStudy/${id}`)],
    validUntil,
    grantedBy: `Organization/${custodianId}`,
  };
  return practitioners.length > 0 ? practitioners.map((practitionerId) => ({ ...grant, practitionerId })) : [grant];
}

async function namedPractitioners(tx: Queryable, task: Task): Promise<string[]> {
  const row = await findResource(tx, 'ServiceRequest', idOf(task.focus, 'ServiceRequest') ?? '');
  const performers: { reference?: string }[] = row ? (toResource(row).performer ?? []) : [];
  return performers.flatMap((p) =>
    p.reference?.startsWith('Practitioner/') ? localReference(p.reference).slice('Practitioner/'.length) : [],
  );
}
