import { refreshConsents } from '../access/consent/consents.js';
import { refreshRegistrations } from '../access/policy/registrations.js';
import type { Queryable } from '../store/database.js';
import { newId } from '../store/resources.js';
import { sql } from '../store/sql.js';

/** Two Patients of different custodians, in the order of their ids. */
export interface Pair {
  a: string;
  b: string;
}

/** Who decides: a namespaced id of a person, or `Device/hub`. */
export interface DecidedBy {
  by: string;
  /** Why; empty: what the pair was proposed for. */
  basis: string;
}

/** Takes back what rested on a link, in the transaction of the unlink. */
export type ReevaluateGrants = (tx: Queryable, patientIds: readonly string[]) => Promise<void>;

export const pairOf = (one: string, other: string): Pair => (one < other ? { a: one, b: other } : { a: other, b: one });

/**
 * Links the two Patients of each pair as one person. The clusters of the cross-reference are the connected components of the linked pairs.
 * A link that would also join two Patients which were decided to be different persons is not made.
 * @returns the pairs that were linked.
 */
export async function link(tx: Queryable, pairs: readonly Pair[], { by, basis }: DecidedBy): Promise<Pair[]> {
  if (pairs.length === 0) return [];
  await lockLinks(tx);
  const clusters = await readClusters(tx, pairs);
  const apart = await readApart(tx, [...clusters.keys()]);
  const linked = pairs.filter((pair) => merge(clusters, apart, pair));
  if (linked.length === 0) return [];
  await tx.query(sql`
    insert into link_decision as d (id, patient_a, patient_b, custodian_a, custodian_b, state, basis, decided_by, decided_at)
    select n.id, n.a, n.b, a.custodian_id, b.custodian_id, 'linked', ${basis}, ${by}, now()
    from json_to_recordset(${JSON.stringify(linked.map((pair) => ({ id: newId(), ...pair })))}::json) as n (id text, a text, b text)
      join resource a on a.type = 'Patient' and a.id = n.a join resource b on b.type = 'Patient' and b.id = n.b
    on conflict (patient_a, patient_b) do update set state = 'linked', decided_by = excluded.decided_by, decided_at = excluded.decided_at,
      basis = case when d.state = 'linked' or ${basis} = '' then d.basis else excluded.basis end`);
  await writeClusters(tx, new Set(linked.map(({ a }) => clusters.get(a)!)));
  await refresh(tx, [...new Set(linked.flatMap(({ a }) => [...clusters.get(a)!]))]);
  return linked;
}

/**
 * Takes a link back. The two are then one person only if other links still join them.
 * @returns the Patients whose cluster was looked at again; empty when the pair was not linked.
 */
export async function unlink(
  tx: Queryable,
  pair: Pair,
  by: string,
  reevaluate: ReevaluateGrants,
  to: 'unlinked' | 'proposed' = 'unlinked',
): Promise<string[]> {
  await lockLinks(tx);
  const changed = await tx.query(sql`
    update link_decision set state = ${to}, accepted_by = '{}', decided_by = ${by}, decided_at = now()
    where patient_a = ${pair.a} and patient_b = ${pair.b} and state = 'linked' returning id`);
  if (changed.length === 0) return [];
  const members = [...(await readClusters(tx, [pair])).get(pair.a)!];
  const edges = await tx.query<{ a: string; b: string }>(sql`
    select patient_a as a, patient_b as b from link_decision
    where state = 'linked' and patient_a = any(${members}::text[]) and patient_b = any(${members}::text[])`);
  await writeClusters(tx, components(members, edges));
  await refresh(tx, members);
  await reevaluate(tx, members);
  return members;
}

/** Changes of links follow one another: clusters are read and written as wholes. */
export const lockLinks = (tx: Queryable) => tx.query(sql`select pg_advisory_xact_lock(7390213, -1)`);

type Clusters = Map<string, Set<string>>;

/** The clusters that the pairs touch, by each of their members. */
async function readClusters(tx: Queryable, pairs: readonly Pair[]): Promise<Clusters> {
  const ends = [...new Set(pairs.flatMap(({ a, b }) => [a, b]))];
  const rows = await tx.query<{ patient_id: string; cluster_id: string }>(sql`
    select patient_id, cluster_id from cross_reference
    where cluster_id in (select cluster_id from cross_reference where patient_id = any(${ends}::text[]))`);
  const byId = new Map<string, Set<string>>();
  for (const row of rows) byId.set(row.cluster_id, (byId.get(row.cluster_id) ?? new Set()).add(row.patient_id));
  const clusters: Clusters = new Map(ends.map((id) => [id, new Set([id])]));
  for (const cluster of byId.values()) for (const member of cluster) clusters.set(member, cluster);
  return clusters;
}

/** Pairs among these that were decided to be different persons, in both directions. */
async function readApart(tx: Queryable, patientIds: readonly string[]): Promise<Map<string, Set<string>>> {
  const rows = await tx.query<{ a: string; b: string }>(sql`
    select patient_a as a, patient_b as b from link_decision
    where state in ('rejected', 'unlinked') and patient_a = any(${patientIds}::text[]) and patient_b = any(${patientIds}::text[])`);
  const apart = new Map<string, Set<string>>(patientIds.map((id) => [id, new Set()]));
  for (const { a, b } of rows) {
    apart.get(a)?.add(b);
    apart.get(b)?.add(a);
  }
  return apart;
}

/** Joins the clusters of a pair, unless that joins two others that are kept apart; the pair itself is decided anew. */
function merge(clusters: Clusters, apart: ReadonlyMap<string, ReadonlySet<string>>, { a, b }: Pair): boolean {
  const [left, right] = [clusters.get(a)!, clusters.get(b)!];
  if (left === right) return true;
  const isKeptApart = [...left].some((x) => [...right].some((y) => apart.get(x)?.has(y) && !(x === a && y === b)));
  if (isKeptApart) return false;
  for (const member of right) clusters.set(member, left.add(member));
  return true;
}

function components(members: readonly string[], edges: readonly Pair[]): Set<Set<string>> {
  const clusters: Clusters = new Map(members.map((id) => [id, new Set([id])]));
  for (const edge of edges) merge(clusters, new Map(), edge);
  return new Set(clusters.values());
}

/** A cluster is named after its first member; a Patient alone has none. */
async function writeClusters(tx: Queryable, clusters: ReadonlySet<ReadonlySet<string>>): Promise<void> {
  const alone = [...clusters].filter((c) => c.size === 1).flatMap((c) => [...c]);
  const rows = [...clusters]
    .filter((c) => c.size > 1)
    .flatMap((c) => [...c].sort().map((patientId, _, all) => ({ patient_id: patientId, cluster_id: all[0] })));
  await tx.query(sql`delete from cross_reference where patient_id = any(${alone}::text[])`);
  await tx.query(sql`
    insert into cross_reference as x (patient_id, cluster_id)
    select n.patient_id, n.cluster_id from json_to_recordset(${JSON.stringify(rows)}::json) as n (patient_id text, cluster_id text)
    on conflict (patient_id) do update set cluster_id = excluded.cluster_id, linked_at = now() where x.cluster_id <> excluded.cluster_id`);
}

async function refresh(tx: Queryable, patientIds: readonly string[]): Promise<void> {
  await refreshRegistrations(tx, patientIds);
  await refreshConsents(tx, patientIds);
}
