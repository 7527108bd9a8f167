import { systems } from '../../fhir-profiles/codes.js';
import { scopeAllows } from '../access/authentication/scopes.js';
import type { Caller } from '../access/caller.js';
import { findRow } from '../access/find-row.js';
import type { ResourceWriter, WriteRequest } from '../access/write-request.js';
import { isSamePerson, nowhere, refused } from '../access/write-rules.js';
import type { Audit } from '../audit/vocabulary.js';
import { type JudgedStudy, judgedStudy } from '../imaging/find-study.js';
import { studyInstanceUidOf } from '../imaging/study-uid.js';
import { priorityOf } from '../jobs/queue.sql.js';
import { inState } from '../jobs/task-state.js';
import { updateTask } from '../jobs/task-update.js';
import { conflict, forbidden } from '../outcomes.js';
import type { Queryable } from '../store/database.js';
import { idOf } from '../store/fhir-elements.js';
import { createResources, type ResourceRow, toResource } from '../store/resources.js';
import type { FhirResource } from '../store/search-keys.js';
import { entryOf } from './entry.js';
import { localPatient } from './local-patient.js';
import { openSeries } from './permission.js';
import { type Delivery, deliveryQueue, insertDelivery, openDelivery, retryDelivery } from './queue.sql.js';
import { recipientArchive } from './recipient-archive.sql.js';
import { deliveryInput } from './task-details.js';

/**
 * Writer for Tasks that ask for a copy of a study in the archive of one's own hospital. Whoever may retrieve the study may have it delivered there, and
 * nowhere else. An update cancels, or has a delivery that failed tried again.
 */
export function deliveryTaskWriter(audit: Audit): ResourceWriter {
  return {
    create: async (tx, requests) => {
      const rows: ResourceRow[] = [];
      for (const request of requests) rows.push(await place(tx, audit, request));
      return rows;
    },
    update: (tx, request) => change(tx, audit, request),
  };
}

async function place(tx: Queryable, audit: Audit, request: WriteRequest): Promise<ResourceRow> {
  const { resource: task } = request;
  if (task.status !== 'requested') throw conflict('A new delivery request is requested.', 'Task.status');
  if (task.output?.length) throw refused('The hub says what came of it.', 'Task.output');
  assertRequester(task, request.caller);
  const delivery = await deliveryOf(tx, request, task);
  const open = await openDelivery(tx, delivery.study_id, delivery.recipient_id);
  if (open) throw conflict(`Task/${open} delivers this study to your hospital already.`, 'Task.focus');
  return placeDelivery(tx, audit, task, delivery);
}

/** Stores the Task and its job. The Task belongs to the recipient; the custodian of the study is a party, and sees it. */
export async function placeDelivery(
  tx: Queryable,
  audit: Audit,
  task: FhirResource,
  delivery: Delivery,
  appointmentId?: string,
): Promise<ResourceRow> {
  const now = new Date().toISOString();
  const { recipient_id: recipientId, custodian_id: custodianId } = delivery;
  const placed = {
    ...task,
    ...{
      status: 'requested',
      businessStatus: inState('requested'),
      intent: 'order',
      owner: HUB,
      authoredOn: now,
      lastModified: now,
    },
  };
  const [row] = await createResources(tx, [{ resource: placed, custodianId: recipientId, parties: [recipientId, custodianId] }]);
  if (!row) throw new Error('the Task was not stored');
  await insertDelivery(tx, {
    ...delivery,
    taskId: row.id,
    priority: priorityOf(task),
    ...(appointmentId ? { appointmentId } : {}),
  });
  await audit.append(tx, [{ ...entryOf(row.id, delivery), subtype: 'delivery-request', action: 'C', outcome: 0 }]);
  return row;
}

const HUB = { display: 'Regional imaging federation hub' };

function assertRequester({ requester }: FhirResource, { practitionerId, organizationId }: Caller): void {
  const isOwn =
    idOf(requester, 'Organization') === organizationId ||
    (practitionerId !== undefined && idOf(requester, 'Practitioner') === practitionerId);
  if (organizationId === '' || !isOwn)
    throw forbidden('A delivery is asked for by oneself, or in the name of one’s own organization: Task.requester.');
}

/** What is asked for, checked in the caller's right: study, series, patient and archive. */
async function deliveryOf(tx: Queryable, { access, caller, context }: WriteRequest, task: FhirResource): Promise<Delivery> {
  if (!scopeAllows(caller.scope, 'ImagingStudy', 'r'))
    throw forbidden('The scope of the token does not include reading ImagingStudy.');
  const input = deliveryInput(task);
  const study = await findRow(tx, access, 'ImagingStudy', idOf(task.focus, 'ImagingStudy') ?? '');
  if (!study || !access.decide('know', study).allowed) throw nowhere('Task.focus');
  if (study.custodian_id === caller.organizationId) throw refused('The study is your own hospital’s.', 'Task.focus');
  const judged = judgedStudy(access, study);
  if (!judged.decision.allowed) throw notAllowed(judged);
  const open = openSeries(judged, input.series ?? null);
  if (open.length === 0 || input.series?.some((uid) => !open.includes(uid)))
    throw refused('The study has no such series that you may retrieve.', 'Task.input');
  const patientId = idOf(task.for, 'Patient') ?? '';
  if (!(await isSamePerson(tx, patientId, study.patient_id)))
    throw refused('The study is not known to be of this patient.', 'Task.for');
  const local = await localPatient(tx, caller.organizationId, study.patient_id, patientId);
  if ('why' in local) throw refused(local.why, 'Task.for');
  const studyInstanceUid = studyInstanceUidOf(study);
  if (!studyInstanceUid) throw refused('The study has no Study Instance UID.', 'Task.focus');
  const archive = await recipientArchive(tx, caller.organizationId);
  if (!archive) throw refused('Your hospital has named no archive that keeps deliveries.', 'Task.owner');
  return {
    study_id: study.id,
    study_instance_uid: studyInstanceUid,
    patient_id: study.patient_id,
    custodian_id: study.custodian_id,
    recipient_id: caller.organizationId,
    connector_id: archive.connectorId,
    local_patient_id: local.patient.id,
    series: input.series ?? null,
    caller,
    address: context.address,
  };
}

const notAllowed = ({ decision }: JudgedStudy) =>
  forbidden('The study may not be retrieved by you.', { system: systems.denialReason, code: decision.reason ?? 'no-basis' });

/** What a party may ask for; a delivery that came to its end stays as it is. */
const STEPS = { requested: ['cancelled'], 'in-progress': ['cancelled'], failed: ['requested'] };

async function change(tx: Queryable, audit: Audit, request: WriteRequest & { current: ResourceRow }): Promise<ResourceRow> {
  const { caller, context, current } = request;
  const { row, step } = await updateTask(tx, request, 'delivery request', STEPS);
  if (step === undefined) return row;
  const task = toResource(row);
  if (step === 'requested') {
    if (current.custodian_id !== caller.organizationId) throw forbidden('Only the recipient asks for a delivery again.');
    const delivery = await deliveryOf(tx, request, task);
    const open = await openDelivery(tx, delivery.study_id, delivery.recipient_id);
    if (open) throw conflict(`Task/${open} delivers this study to your hospital already.`, 'Task.focus');
    await retryDelivery(tx, row.id, delivery);
  } else {
    await deliveryQueue.cancel(tx, row.id);
  }
  const studyId = idOf(task.focus, 'ImagingStudy') ?? '';
  const about = {
    caller,
    address: context.address,
    study_id: studyId,
    patient_id: row.patient_id,
    custodian_id: current.custodian_id,
  };
  const subtype = step === 'requested' ? 'delivery-request' : 'delivery-cancel';
  await audit.append(tx, [{ ...entryOf(row.id, about), subtype, action: 'U', outcome: 0 }]);
  return row;
}
