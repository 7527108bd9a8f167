import type { Queryable } from '../store/database.js';
import { columns, type ResourceRow } from '../store/resources.js';
import { linkOf } from '../store/cluster.sql.js';
import { and, raw, sql } from '../store/sql.js';
import type { FhirResource } from '../store/search-keys.js';
import { demographicsOf } from './demographics.js';
import { nationalIdentifiersOf } from './identifiers.js';
import type { MatchBasis } from './match-patients.js';
import { isAbsent, namesCompatible } from './person-name.js';

export const LINK_STATES = ['proposed', 'linked', 'rejected', 'unlinked'] as const;
export type LinkState = (typeof LINK_STATES)[number];

/** A pair with both records, as one of the two hospitals looks at it. */
export interface LinkRow {
  id: string;
  patient_a: string;
  patient_b: string;
  custodian_a: string;
  custodian_b: string;
  state: LinkState;
  basis: MatchBasis;
  accepted_by: string[];
  proposed_at: Date;
  decided_by: string | null;
  decided_at: Date | null;
  /** Whether the two are joined now, by whatever link. */
  same_person: boolean;
  content_a: string;
  content_b: string;
  /** Both hospitals number their patient alike. */
  same_number: boolean;
  [column: string]: unknown;
}

export interface LinkQuery {
  organizationId: string;
  state?: LinkState;
  /** Only this pair. */
  id?: string;
  /** Id of the last pair of the page before. */
  after?: string;
  count: number;
}

/** Pairs in which the hospital takes part, newest first. */
export async function listLinks(tx: Queryable, { organizationId, state, id, after, count }: LinkQuery): Promise<LinkRow[]> {
  const conditions = and([
    // what a hospital merged is its own matter
    raw('d.custodian_a <> d.custodian_b'),
    ...(state ? [sql`d.state = ${state}`] : []),
    ...(id ? [sql`d.id = ${id}`] : []),
    ...(after ? [sql`d.id < ${after}`] : []),
  ]);
  // Each side by its own index; a pair never has the same custodian twice.
  const pairs = await tx.query<Omit<LinkRow, 'content_a' | 'content_b'> & Record<string, unknown>>(sql`
    with page as (
      (select * from link_decision d where d.custodian_a = ${organizationId} and ${conditions} order by d.id desc limit ${count})
      union all
      (select * from link_decision d where d.custodian_b = ${organizationId} and ${conditions} order by d.id desc limit ${count})
      order by id desc limit ${count}
    )
    select page.*,
      exists (${linkOf(raw('patient_a'), raw('patient_b'))}) as same_person,
      exists (select from patient_identifier x join patient_identifier y on y.value = x.value and y.kind = x.kind
        where x.patient_id = patient_a and y.patient_id = patient_b and x.kind = 'hospital') as same_number
    from page order by page.id desc`);
  return withRecords(tx, pairs as LinkRow[]);
}

async function withRecords(tx: Queryable, pairs: readonly LinkRow[]): Promise<LinkRow[]> {
  const ids = [...new Set(pairs.flatMap((pair) => [pair.patient_a, pair.patient_b]))];
  const rows = await tx.query<ResourceRow & Record<string, unknown>>(
    sql`select ${columns} from resource r where r.type = 'Patient' and r.id = any(${ids}::text[])`,
  );
  const contents = new Map(rows.map((row) => [row.id, row.content]));
  return pairs.flatMap((pair) => {
    const [a, b] = [contents.get(pair.patient_a), contents.get(pair.patient_b)];
    return a !== undefined && b !== undefined ? [{ ...pair, content_a: a, content_b: b }] : [];
  });
}

export type Matched = 'national-identifier' | 'patient-number' | 'name' | 'sex' | 'birth-date';

/** What the two records agree on: said, and compatible. */
export function matchedOf({ content_a, content_b, same_number }: LinkRow): Matched[] {
  const records = [JSON.parse(content_a), JSON.parse(content_b)];
  const [a, b] = records.map(demographicsOf) as [Agreed, Agreed];
  const [ofA = [], ofB = []] = records.map(nationalIdentifiersOf);
  const holds: Record<Matched, boolean> = {
    'national-identifier': ofA.some((value) => ofB.includes(value)),
    'patient-number': same_number,
    name: !isAbsent(a.names) && !isAbsent(b.names) && namesCompatible(a.names, b.names),
    sex: a.sex !== undefined && a.sex === b.sex,
    'birth-date': a.birthDate !== undefined && a.birthDate === b.birthDate,
  };
  return (Object.keys(holds) as Matched[]).filter((what) => holds[what]);
}

type Agreed = ReturnType<typeof demographicsOf>;

/** The hospital's own side of a pair, and the other one. */
export function sidesOf(row: LinkRow, organizationId: string) {
  const a = { patient: row.patient_a, custodian: row.custodian_a };
  const b = { patient: row.patient_b, custodian: row.custodian_b };
  const isA = row.custodian_a === organizationId;
  const content = JSON.parse(isA ? row.content_a : row.content_b) as FhirResource;
  return { own: isA ? a : b, other: isA ? b : a, content };
}
