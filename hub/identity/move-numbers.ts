import { refreshConsents } from '../access/consent/consents.js';
import { lockPersons } from '../access/policy/lock-persons.js';
import { refreshRegistrations } from '../access/policy/registrations.js';
import type { AuditEntry } from '../audit/vocabulary.js';
import { conflict } from '../outcomes.js';
import type { Queryable } from '../store/database.js';
import { identifierIs } from '../store/patient-identifier.js';
import { type ResourceRow, toResource, updateResource } from '../store/resources.js';
import { rewrite } from '../store/rewrite.js';
import { or, sql } from '../store/sql.js';
import { patientNumber } from './custodian-patient.js';
import { assignerSystem } from './identifiers.js';
import { identityEntries, recordIdentityChange, type SaidBy } from './identity-record.js';
import { linksOf } from './join-links.js';
import { lockLinks, pairOf, unlink } from './links.js';
import { linkEnded, type MergeDeps } from './merge-patients.js';
import { recordRetired, survivorOf } from './merges.sql.js';
import { moveRecords, STAYS } from './move-records.js';
import { holder, patient } from './number-holder.js';

export interface MoveStated extends SaidBy {
  /** The hospital's own numbers that move, and a number of the patient to whom they do. */
  numbers: readonly string[];
  to: string;
}

/**
 * Numbers were another patient's (HL7 v2 A43): they and everything that is filed under them go to him. The Patient who held them is another person, or nobody:
 * he stays, inactive, with what was said of the person (consents, guardians, logins); his links and what was granted for him end. Of his consents the denials
 * hold for the records that moved, too.
 * @throws Refusal 409 when the Patient who holds one of the numbers holds others beside them: then nobody can say which of the records are of these.
 */
export async function moveNumbers(tx: Queryable, deps: MergeDeps, stated: MoveStated): Promise<void> {
  const { custodianId } = stated;
  const targetId = await survivorOf(tx, await holder(tx, custodianId, stated.to));
  const held = new Map<string, string[]>();
  for (const number of stated.numbers) {
    const sourceId = await survivorOf(tx, await holder(tx, custodianId, number));
    held.set(sourceId, [...(held.get(sourceId) ?? []), number]);
  }
  await lockLinks(tx);
  held.delete(targetId);
  for (const [sourceId, numbers] of held) await moveFrom(tx, deps, { ...stated, numbers }, sourceId, targetId);
}

/** All numbers of one Patient. */
async function moveFrom(tx: Queryable, deps: MergeDeps, stated: MoveStated, sourceId: string, targetId: string): Promise<void> {
  const { custodianId, agent, what } = stated;
  await assertOnly(tx, stated, sourceId);
  await lockPersons(tx, [targetId, sourceId]);
  const [target, source] = [await patient(tx, targetId), await patient(tx, sourceId)];
  await recordRetired(tx, { retired_id: sourceId, survivor_id: targetId, kind: 'move' }, custodianId);
  const ended: AuditEntry[] = [];
  for (const { other } of await linksOf(tx, sourceId)) {
    await unlink(tx, pairOf(sourceId, other), agent.agent, deps.reevaluateGrants);
    ended.push(...linkEnded(agent, pairOf(sourceId, other), what));
  }
  const moved = await moveRecords(tx, sourceId, targetId, STAYS.move);
  ended.push(...(await endGrants(tx, sourceId, stated)));
  await tx.query(sql`delete from demographic_key where patient_id = ${sourceId}`);
  await tx.query(
    sql`update patient_identifier set patient_id = ${targetId} where patient_id = ${sourceId} and kind = 'hospital'`,
  );
  const rows = [await withNumbers(tx, target, stated), await withoutNumber(tx, source)];
  await refreshRegistrations(tx, [sourceId, targetId]);
  await refreshConsents(tx, [sourceId, targetId]);
  await recordIdentityChange(tx, { custodianId, agent, activity: 'move', rows: [...rows, ...moved] });
  await deps.audit.append(tx, [
    ...identityEntries({ agent, subtype: 'move', patientIds: [targetId, sourceId], records: [...rows, ...moved], detail: what }),
    ...ended,
  ]);
}

async function assertOnly(tx: Queryable, { custodianId, numbers }: MoveStated, sourceId: string): Promise<void> {
  const system = await assignerSystem(tx, custodianId);
  const isOne = or(numbers.map((value) => identifierIs('i', { system, value })));
  const others = await tx.query(
    sql`select from patient_identifier i where i.patient_id = ${sourceId} and i.kind = 'hospital' and not (${isOne})`,
  );
  const merged = (await tx.query(sql`select from patient_merge where survivor_id = ${sourceId} and kind = 'merge'`)).length;
  if (others.length + merged > 0)
    throw conflict(
      'The patient who holds the number holds others beside those that move: which records are of these is not known.',
      'Patient.identifier',
    );
}

type Identifier = { system?: string; value?: string };

async function withNumbers(tx: Queryable, target: ResourceRow, { custodianId, numbers }: MoveStated): Promise<ResourceRow> {
  const resource = toResource(target);
  const system = await assignerSystem(tx, custodianId);
  const moved = numbers.map((number) => patientNumber(system, number));
  const isMoved = (i: Identifier): boolean => moved.some((one) => i.system === one.system && i.value === one.value);
  const held = ((resource.identifier ?? []) as Identifier[]).filter((i) => !isMoved(i));
  return updateResource(tx, rewrite(target, { ...resource, identifier: [...held, ...moved] }), target.version);
}

function withoutNumber(tx: Queryable, source: ResourceRow): Promise<ResourceRow> {
  const { meta: { source: _source, ...meta } = {}, ...resource } = toResource(source);
  const identifier = ((resource.identifier ?? []) as (Identifier & { use?: string })[]).map((i) => ({ ...i, use: 'old' }));
  return updateResource(tx, rewrite(source, { ...resource, meta, active: false, identifier }), source.version);
}

/** What was granted for the one patient is not granted of the other. */
async function endGrants(tx: Queryable, patientId: string, { agent, what }: MoveStated): Promise<AuditEntry[]> {
  const ended = await tx.query<{ task_id: string; resources: string[] }>(sql`
    update access_grant set ended_at = now(), ended_because = 'patient-moved' where patient_id = ${patientId} and ended_at is null
    returning task_id, resources`);
  return ended.map(({ task_id, resources }) => ({
    ...agent,
    type: 'access',
    subtype: 'grant-end',
    action: 'U',
    outcome: 0,
    patientId,
    entity: [`Task/${task_id}`, ...resources],
    detail: what,
  }));
}
