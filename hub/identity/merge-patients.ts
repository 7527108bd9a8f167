import type { Audit, AuditEntry } from '../audit/vocabulary.js';
import { lockPersons } from '../access/policy/lock-persons.js';
import { conflict } from '../outcomes.js';
import type { Queryable } from '../store/database.js';
import { type ResourceRow, toResource, updateResource } from '../store/resources.js';
import { rewrite } from '../store/rewrite.js';
import { sql } from '../store/sql.js';
import { identityEntries, recordIdentityChange, type SaidBy } from './identity-record.js';
import { joinLinks } from './join-links.js';
import { lockLinks, type Pair, type ReevaluateGrants } from './links.js';
import { recordRetired, retiredAmong, survivorOf } from './merges.sql.js';
import { moveRecords, STAYS } from './move-records.js';
import { holder, patient } from './number-holder.js';

export interface MergeDeps {
  audit: Audit;
  /** Takes back what rested on a link that ends. */
  reevaluateGrants: ReevaluateGrants;
}

export interface MergeStated extends SaidBy {
  /** The hospital's own numbers. */
  survivor: string;
  retired: string;
}

/**
 * Two numbers of a hospital are one person's (IHE PAM Merge). The Patient that is given up stays, inactive, replaced by the survivor; whoever searches by its
 * number finds what is the survivor's, because the two are linked. Studies, reports, requests and guardians are filed under the survivor, in new versions.
 * Consents stay with the Patient whom they were given for: denials hold for both; see docs/decisions/0019. Numbers that nobody holds yet are entered first.
 * @throws Refusal 409 when the number was merged into another one before, or the survivor into this one.
 */
export async function mergePatients(tx: Queryable, deps: MergeDeps, stated: MergeStated): Promise<void> {
  const { custodianId } = stated;
  const named = await holder(tx, custodianId, stated.survivor);
  const retired = await holder(tx, custodianId, stated.retired);
  await mergeFound(tx, deps, { ...stated, named, retired });
}

/** The same of two Patients of the custodian by their ids. @throws as `mergePatients`. */
export async function mergeFound(
  tx: Queryable,
  deps: MergeDeps,
  { custodianId, agent, what, named, retired: retiredId }: SaidBy & { named: string; retired: string },
): Promise<void> {
  await lockLinks(tx);
  const survivorId = await survivorOf(tx, named);
  const before = (await retiredAmong(tx, [retiredId])).get(retiredId);
  if (before?.survivor_id === survivorId && named === survivorId) return;
  if (before || retiredId === survivorId)
    throw conflict('The number that is given up was merged otherwise before.', 'Patient.link');
  await lockPersons(tx, [survivorId, retiredId]);
  const [survivor, retired] = [await patient(tx, survivorId), await patient(tx, retiredId)];
  await recordRetired(tx, { retired_id: retiredId, survivor_id: survivorId, kind: 'merge' }, custodianId);
  const ended = await joinLinks(tx, { survivor, retired, by: agent.agent }, deps.reevaluateGrants);
  const moved = await moveRecords(tx, retiredId, survivorId, STAYS.merge);
  await moveGrants(tx, retiredId, survivorId);
  await tx.query(sql`delete from demographic_key where patient_id = ${retiredId}`);
  const rows = [await replaces(tx, survivor, retiredId), await retire(tx, retired, survivorId)];
  await recordIdentityChange(tx, { custodianId, agent, activity: 'merge', rows: [...rows, ...moved] });
  await deps.audit.append(tx, [
    ...identityEntries({
      agent,
      subtype: 'merge',
      patientIds: [survivorId, retiredId],
      records: [...rows, ...moved],
      detail: what,
    }),
    ...ended.flatMap((pair) => linkEnded(agent, pair, what)),
  ]);
}

type Link = { other: { reference: string }; type: string };

const linked = (links: readonly Link[] | undefined, type: string, id: string): Link[] => [
  ...(links ?? []).filter((l) => l.other?.reference !== `Patient/${id}`),
  { other: { reference: `Patient/${id}` }, type },
];

function replaces(tx: Queryable, survivor: ResourceRow, retiredId: string): Promise<ResourceRow> {
  const resource = toResource(survivor);
  return updateResource(
    tx,
    rewrite(survivor, { ...resource, link: linked(resource.link, 'replaces', retiredId) }),
    survivor.version,
  );
}

/** Inactive, and no longer one that the hub made from images: nothing takes its place. */
function retire(tx: Queryable, retired: ResourceRow, survivorId: string): Promise<ResourceRow> {
  const { meta: { source: _source, ...meta } = {}, ...resource } = toResource(retired);
  const next = { ...resource, meta, active: false, link: linked(resource.link, 'replaced-by', survivorId) };
  return updateResource(tx, rewrite(retired, next), retired.version);
}

/** Grants are of records, which stay; the Patient among them is the survivor too now. */
async function moveGrants(tx: Queryable, from: string, to: string): Promise<void> {
  await tx.query(sql`
    update access_grant set patient_id = ${to},
      resources = case when ${`Patient/${from}`} = any(resources) then resources || ${[`Patient/${to}`]}::text[] else resources end
    where patient_id = ${from} and ended_at is null`);
}

/** An entry for each of the two Patients whose link ended. */
export const linkEnded = (agent: SaidBy['agent'], { a, b }: Pair, what: string): AuditEntry[] =>
  [a, b].map((patientId) => ({
    ...agent,
    type: 'identity',
    subtype: 'unlink',
    action: 'U',
    outcome: 0,
    patientId,
    entity: [`Patient/${a}`, `Patient/${b}`],
    detail: what,
  }));
