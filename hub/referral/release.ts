import type { Caller, Role } from '../access/caller.js';
import { findRow } from '../access/find-row.js';
import type { WriteRequest } from '../access/write-request.js';
import { isSamePerson, nowhere, refused } from '../access/write-rules.js';
import { conflict } from '../outcomes.js';
import type { Queryable } from '../store/database.js';
import { databaseNow } from '../store/now.js';
import { idOf } from '../store/fhir-elements.js';
import { findResource } from '../store/resources.js';
import type { FhirResource } from '../store/search-keys.js';
import type { Grant } from './grants.js';
import type { Referral, Task } from './referral-writer.js';
import { deadlineOf, restrictionOf } from './task.js';
import type { Party, Transition } from './transitions.js';

/**
 * A hospital that may know of a study but not read it asks the custodian, who decides: a person of the custodian, never one who acts for
 * the organization that asks. Acceptance opens exactly this study, until the deadline (which the custodian may shorten), the
 * end of the Task, or the custodian's revocation.
 */
export const release: Referral = {
  kind: 'release-request',
  place: placeRelease,
  parties: partiesOfRelease,
  step: checkStep,
  grants: grantsOfRelease,
};

async function placeRelease(tx: Queryable, { access, caller, resource: task }: WriteRequest): Promise<FhirResource> {
  const study = await findRow(tx, access, 'ImagingStudy', idOf(task.focus, 'ImagingStudy') ?? '');
  if (!study || !access.decide('know', study).allowed) throw nowhere('Task.focus');
  if (study.custodian_id === caller.organizationId) throw refused('The study is the caller’s own.', 'Task.focus');
  if (task.owner && idOf(task.owner, 'Organization') !== study.custodian_id)
    throw refused(`The custodian is Organization/${study.custodian_id}.`, 'Task.owner');
  if (!(await isSamePerson(tx, idOf(task.for, 'Patient') ?? '', study.patient_id)))
    throw refused('The study is not known to be of this patient.', 'Task.for');
  return { ...task, intent: 'order', owner: { reference: `Organization/${study.custodian_id}` } };
}

/** Persons who may decide on a disclosure. */
const DECIDERS: ReadonlySet<Role> = new Set(['physician', 'hospital-administrator']);

function partiesOfRelease(task: FhirResource, caller: Caller): Party[] {
  if (idOf(task.requester, 'Organization') === caller.organizationId) return ['requester'];
  const isCustodian = idOf(task.owner, 'Organization') === caller.organizationId;
  return isCustodian && DECIDERS.has(caller.role) ? ['custodian'] : [];
}

/** The custodian may shorten the time that is asked for, as it accepts. */
async function checkStep(
  tx: Queryable,
  before: Task,
  after: Task,
  transition: Transition | undefined,
): Promise<readonly string[]> {
  if (after.output?.length) throw refused('A release has no output: the study is read where it is.', 'Task.output');
  if (transition?.event !== 'accept') return [];
  restrictionOf(after, await databaseNow(tx));
  const { start: startBefore, ...restBefore } = before.restriction?.period ?? {};
  const { start, ...rest } = after.restriction?.period ?? {};
  const isShorter = start === startBefore && Object.keys(rest).length === Object.keys(restBefore).length;
  if (!isShorter || deadlineOf(after)! > deadlineOf(before)!)
    throw refused('The custodian may shorten the time that is asked for, not more.', 'Task.restriction.period.end');
  return ['restriction'];
}

/** @throws Refusal 409 when the study is no longer the custodian's, or the deadline is over. */
async function grantsOfRelease(tx: Queryable, task: Task, caller: Caller): Promise<Grant[]> {
  const study = await findResource(tx, 'ImagingStudy', idOf(task.focus, 'ImagingStudy') ?? '');
  if (!study || study.deleted || study.custodian_id !== caller.organizationId)
    throw conflict('The study is no longer the custodian’s.', 'Task.focus');
  if (!(await isSamePerson(tx, idOf(task.for, 'Patient') ?? '', study.patient_id)))
    throw conflict('The study is no longer known to be of this patient.', 'Task.for');
  const validUntil = deadlineOf(task);
  if (!validUntil || validUntil <= (await databaseNow(tx)))
    throw conflict('The deadline is over.', 'Task.restriction.period.end');
  return [
    {
      taskId: task.id,
      custodianId: study.custodian_id,
      recipientId: idOf(task.requester, 'Organization')!,
      patientId: study.patient_id,
      resources: [`ImagingStudy/${study.id}`],
      validUntil,
      grantedBy: caller.id,
    },
  ];
}
