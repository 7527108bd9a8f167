import type { Queryable } from '../store/database.js';
import { findResource, type ResourceRow, toResource } from '../store/resources.js';
import { sql } from '../store/sql.js';
import { contradiction, demographicsOfRow } from './demographics.js';
import { nationalIdentifiersOf } from './identifiers.js';
import { link, type Pair, pairOf, type ReevaluateGrants, unlink } from './links.js';

/** Basis of the link between two Patients of one custodian whose numbers were merged. */
export const MERGED = 'merged';

/**
 * Links two Patients of one custodian as one person, with everyone that either is linked with. Links of the one that is given up that the survivor does not
 * bear are ended first, and become proposals; where two were decided to be different persons, so are the links that would join them.
 * @returns the pairs whose link ended.
 */
export async function joinLinks(
  tx: Queryable,
  { survivor, retired, by }: { survivor: ResourceRow; retired: ResourceRow; by: string },
  reevaluate: ReevaluateGrants,
): Promise<Pair[]> {
  const ended: Pair[] = [];
  const end = async (pairs: readonly Pair[]): Promise<void> => {
    for (const pair of pairs) {
      await unlink(tx, pair, by, reevaluate, 'proposed');
      ended.push(pair);
    }
  };
  await end(await unfounded(tx, survivor, retired));
  const both = pairOf(survivor.id, retired.id);
  for (const side of [retired.id, survivor.id]) {
    if ((await link(tx, [both], { by, basis: MERGED })).length > 0) return ended;
    await end((await linksOf(tx, side)).map((l) => pairOf(side, l.other)));
  }
  await link(tx, [both], { by, basis: MERGED });
  return ended;
}

interface LinkOf {
  other: string;
  /** Made by the hub, for a national identifier that both bear. */
  automatic: boolean;
}

/** Links of a Patient with those of other custodians. */
export function linksOf(tx: Queryable, patientId: string): Promise<LinkOf[]> {
  return tx.query<LinkOf & Record<string, unknown>>(sql`
    select case patient_a when ${patientId} then patient_b else patient_a end as other, decided_by = 'Device/hub' as automatic
    from link_decision where (patient_a = ${patientId} or patient_b = ${patientId}) and state = 'linked' and custodian_a <> custodian_b
    order by id`);
}

/** Links that rest on a national identifier that the survivor denies by bearing another, or that his demographics contradict. */
async function unfounded(tx: Queryable, survivor: ResourceRow, retired: ResourceRow): Promise<Pair[]> {
  const wrong: Pair[] = [];
  const borne = nationalIdentifiersOf(toResource(survivor));
  for (const { other, automatic } of await linksOf(tx, retired.id)) {
    const mate = await findResource(tx, 'Patient', other);
    if (!mate) continue;
    const shared = nationalIdentifiersOf(toResource(mate)).some((value) => borne.includes(value));
    const isDenied = automatic && borne.length > 0 && !shared;
    if (isDenied || contradiction(demographicsOfRow(survivor), demographicsOfRow(mate))) wrong.push(pairOf(retired.id, other));
  }
  return wrong;
}
