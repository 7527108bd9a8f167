import type { GoneStep } from '../../../connectors/statement.js';
import type { RowWithEvidence } from '../../access/decision.js';
import { denied } from '../../access/denial.js';
import { decidedBy } from '../../access/write-request.js';
import { deleteResource, type ResourceRow, toResource } from '../../store/resources.js';
import { sql } from '../../store/sql.js';
import { heldInstances, removeInstances } from '../follow/removed-instances.sql.js';
import { removeStudy } from '../follow/remove-study.js';
import { type Decided, recordSubmission } from '../record-submission.js';
import { storeStudy } from '../store-study.js';
import { lockClaim } from '../study-rows.sql.js';
import { studyInstanceUidOf } from '../study-facts.js';
import { findRecordById, noteGone } from './find-record.js';
import { assertMayRemove } from './removal-guard.js';
import { sourceAgent, type Taking } from './taking.js';
import { updateRecord } from './write-record.js';

/**
 * The source has a record no longer: it is deleted here (410 to those who may know of it), and keeps its history and its audit. An order or appointment is
 * called off with that. A study that the hospital's archive holds stays what the archive says. A Patient is never deleted, since what protects him hangs on
 * him: he becomes inactive.
 * @throws Denial where the policy refuses it; RemovalUnconfirmed where so much goes that a person has to confirm it.
 */
export async function removeRecord(taking: Taking, { id: sourceId, isConfirmed }: GoneStep): Promise<void> {
  const id = await noteGone(taking, sourceId);
  if (id === undefined) return;
  if (!isConfirmed) await assertMayRemove(taking);
  const [type = ''] = sourceId.split('/');
  const current = await findRecordById(taking, type, id);
  if (!current || current.deleted || current.custodian_id !== taking.origin.custodianId) return;
  if (await isStatedElsewhere(taking, current)) return;
  if (type === 'Patient') return deactivate(taking, current);
  const decision = taking.access.decide('write', current);
  if (!decision.allowed) throw denied(current, decision);
  const decided: Decided = { role: taking.caller.role, purpose: taking.caller.purposeOfUse, ...decidedBy(decision) };
  if (type === 'ImagingStudy') return removeStated(taking, current, decided);
  const calledOff = CALLED_OFF.has(type)
    ? await updateRecord(taking, current, { ...toResource(current), status: 'entered-in-error' })
    : current;
  await record(taking, await deleteResource(taking.tx, calledOff, toResource(calledOff)), decided);
  await taking.tx.query(sql`delete from awaited_study where type = ${type} and id = ${id}`);
}

/** What is prepared for by them is not. */
const CALLED_OFF: ReadonlySet<string> = new Set(['ServiceRequest', 'Appointment']);

/** Another source of the custodian states the same record. */
async function isStatedElsewhere({ tx }: Taking, { type, id }: ResourceRow): Promise<boolean> {
  return (await tx.query(sql`select from source_record where type = ${type} and id = ${id} and gone is null`)).length > 0;
}

async function deactivate(taking: Taking, current: RowWithEvidence): Promise<void> {
  const patient = toResource(current);
  if (patient.active !== false) await updateRecord(taking, current, { ...patient, active: false });
}

/** Without what this source said of the study: what an archive holds stays, and where none does the study is deleted. */
async function removeStated(taking: Taking, current: ResourceRow, decided: Decided): Promise<void> {
  const { tx, origin, audit } = taking;
  const studyInstanceUid = studyInstanceUidOf(toResource(current));
  const claim = studyInstanceUid && (await lockClaim(tx, origin.custodianId, studyInstanceUid));
  if (!claim || !studyInstanceUid) return;
  const of = { ...origin, connectorId: origin.connectorId ?? '', studyInstanceUid };
  const held = await heldInstances(tx, { ...of, began: 'infinity' });
  const isElsewhere = (connectorId: string | null): boolean => connectorId !== null && connectorId !== origin.connectorId;
  const stays = held.some(({ connector_id }) => isElsewhere(connector_id));
  const goes = held.filter(({ connector_id }) => connector_id === of.connectorId || (!stays && connector_id === null));
  await removeInstances(tx, of, goes, 'gone');
  const deps = { audit, withdrawJobs: taking.withdrawJobs };
  if (!stays) return removeStudy(tx, deps, of, claim, goes.length, decided);
  if (goes.length === 0) return;
  const stored = await storeStudy(tx, origin.custodianId, claim);
  if (stored.changed)
    await recordSubmission(tx, audit, origin, stored, { act: 'study-removed', detail: `${goes.length} instances gone`, decided });
}

async function record(taking: Taking, row: ResourceRow, decided: Decided): Promise<void> {
  await taking.audit.append(taking.tx, [
    {
      ...sourceAgent(taking),
      type: 'ingest',
      subtype: 'submit',
      action: 'D',
      outcome: 0,
      patientId: row.patient_id,
      entity: [`${row.type}/${row.id}`],
      detail: taking.what,
      ...decided,
    },
  ]);
}
