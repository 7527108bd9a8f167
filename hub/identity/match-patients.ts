import { createHash } from 'node:crypto';
import { systems } from '../../fhir-profiles/codes.js';
import type { Queryable } from '../store/database.js';
import { searchedIdentifier } from '../store/patient-identifier.js';
import { columns, newId, type ResourceRow, toResource } from '../store/resources.js';
import { linkOf } from '../store/cluster.sql.js';
import { keyed, raw, sql } from '../store/sql.js';
import { contradiction, type Demographics, demographicKeys, demographicsOfRow } from './demographics.js';
import { nationalIdentifiersOf } from './identifiers.js';
import { link, type Pair, pairOf } from './links.js';
import { checkNationalIdentifier } from './national-identifier.js';

/** On what two Patients look like one person, the strongest first. */
export const MATCH_BASES = ['national-identifier', 'demographics', 'patient-number'] as const;
export type MatchBasis = (typeof MATCH_BASES)[number];

/** Candidates that are looked at for one Patient and basis. */
const MOST = 100;

/**
 * Writers of Patients that could match wait for each other, so that of two which are written at once the second sees the first. To be called
 * before a Patient's identifiers are stored. The locks are few, however many Patients there are.
 */
export async function lockForMatching(tx: Queryable, numbers: readonly string[], people: readonly Demographics[]): Promise<void> {
  const keys = [...numbers, ...people.flatMap(demographicKeys)];
  // the number itself never goes to the database: its server may log the parameters of slow statements
  const buckets = [...new Set(keys.map((key) => createHash('sha256').update(key).digest()[0] as number))].sort((a, b) => a - b);
  await tx.query(sql`
    select pg_advisory_xact_lock(7390213, bucket) from (select unnest(${buckets}::integer[]) as bucket order by 1) buckets`);
}

/**
 * Looks for Patients of other custodians that may be the same persons as these. A national identifier that holds, and that nothing
 * contradicts, links; anything else is proposed to the stewards, once. What a steward decided stays.
 * @returns the pairs that were linked.
 */
export async function matchPatients(tx: Queryable, rows: readonly ResourceRow[]): Promise<Pair[]> {
  await indexDemographics(tx, rows);
  const matches = await findMatches(tx, rows);
  if (matches.length === 0) return [];
  const certain = matches.filter((m) => m.certain);
  const linked = await link(tx, certain, { by: 'Device/hub', basis: 'national-identifier' });
  const done = new Set(linked.map(({ a, b }) => `${a} ${b}`));
  await propose(
    tx,
    matches.filter(({ a, b }) => !done.has(`${a} ${b}`)),
  );
  return linked;
}

interface Match extends Pair {
  basis: MatchBasis;
  /** Links without a steward. */
  certain: boolean;
}

interface Candidate {
  own: string;
  other: string;
  basis: MatchBasis;
  value: string;
  [column: string]: unknown;
}

async function indexDemographics(tx: Queryable, rows: readonly ResourceRow[]): Promise<void> {
  const keys = rows.flatMap((row) =>
    demographicKeys(demographicsOfRow(row)).map((key) => ({ key, patient_id: row.id, custodian_id: row.custodian_id })),
  );
  await tx.query(sql`delete from demographic_key where patient_id = any(${rows.map((r) => r.id)}::text[])`);
  await tx.query(sql`
    insert into demographic_key (key, patient_id, custodian_id)
    select n.key, n.patient_id, n.custodian_id
    from json_to_recordset(${JSON.stringify(keys)}::json) as n (key text, patient_id text, custodian_id text) on conflict do nothing`);
}

async function findMatches(tx: Queryable, rows: readonly ResourceRow[]): Promise<Match[]> {
  const candidates = await findCandidates(tx, rows);
  if (candidates.length === 0) return [];
  const others = [...new Set(candidates.map((c) => c.other))];
  const found = await tx.query<ResourceRow & Record<string, unknown>>(
    sql`select ${columns} from resource r where r.type = 'Patient' and r.id = any(${others}::text[]) and not r.deleted
      and not exists (select from patient_merge m where m.retired_id = r.id)`,
  );
  const people = new Map([...found, ...rows].map((row) => [row.id, demographicsOfRow(row)]));
  const settled = await readSettled(tx, candidates);
  const matches = new Map<string, Match>();
  for (const candidate of candidates) {
    const pair = pairOf(candidate.own, candidate.other);
    const key = `${pair.a} ${pair.b}`;
    const match = matches.has(key) || settled.has(key) ? undefined : judge(candidate, pair, people);
    if (match) matches.set(key, match);
  }
  return [...matches.values()];
}

/** Patients of other custodians with the same national identifier, name with sex and birth date, or patient number: strongest first. */
async function findCandidates(tx: Queryable, rows: readonly ResourceRow[]): Promise<Candidate[]> {
  const ids = rows.map((r) => r.id);
  const others = await tx.query<Candidate>(sql`
    select i.patient_id as own, o.patient_id as other, 'patient-number' as basis, '' as value
    from patient_identifier i cross join lateral (
      select n.patient_id from patient_identifier n
      where n.kind = 'hospital' and n.value = i.value and n.custodian_id <> i.custodian_id order by n.patient_id limit ${MOST}
    ) o
    where i.patient_id = any(${ids}::text[]) and i.kind = 'hospital'
    union all
    select k.patient_id, o.patient_id, 'demographics', ''
    from demographic_key k cross join lateral (
      select n.patient_id from demographic_key n where n.key = k.key and n.custodian_id <> k.custodian_id order by n.patient_id limit ${MOST}
    ) o
    where k.patient_id = any(${ids}::text[])`);
  const found = [...(await sameNational(tx, rows)), ...others];
  return found.sort((x, y) => MATCH_BASES.indexOf(x.basis) - MATCH_BASES.indexOf(y.basis));
}

/** The numbers are taken from the records, which are open here: the table holds blind indexes, of which one may lie under another key. */
async function sameNational(tx: Queryable, rows: readonly ResourceRow[]): Promise<Candidate[]> {
  const system = systems.nationalIdentifier;
  const own = rows.flatMap((row) => nationalIdentifiersOf(toResource(row)).map((value) => ({ row, value })));
  if (own.length === 0) return [];
  const wanted = keyed((p) =>
    JSON.stringify(
      own.map(({ row, value }, place) => ({
        place,
        custodian_id: row.custodian_id,
        forms: searchedIdentifier(p, { system, value }),
      })),
    ),
  );
  const found = await tx.query<{ place: number; other: string }>(sql`
    select w.place, o.patient_id as other
    from json_to_recordset(${wanted}::json) as w (place integer, custodian_id text, forms text[]) cross join lateral (
      select n.patient_id from patient_identifier n
      where n.kind = 'national' and n.system = ${system} and n.value = any(w.forms) and n.custodian_id <> w.custodian_id
      order by n.patient_id limit ${MOST}
    ) o`);
  return found.map(({ place, other }) => {
    const { row, value } = own[place] as (typeof own)[number];
    return { own: row.id, other, basis: 'national-identifier', value };
  });
}

/** Pairs that are decided on, and pairs that are one person already. */
async function readSettled(tx: Queryable, candidates: readonly Candidate[]): Promise<Set<string>> {
  const pairs = candidates.map((c) => pairOf(c.own, c.other));
  const rows = await tx.query<{ key: string }>(sql`
    select n.a || ' ' || n.b as key from json_to_recordset(${JSON.stringify(pairs)}::json) as n (a text, b text)
    where exists (select from link_decision d where d.patient_a = n.a and d.patient_b = n.b and d.state <> 'proposed')
      or exists (${linkOf(raw('n.a'), raw('n.b'))})`);
  return new Set(rows.map((r) => r.key));
}

function judge(
  { own, other, basis, value }: Candidate,
  pair: Pair,
  people: ReadonlyMap<string, Demographics>,
): Match | undefined {
  const [one, two] = [people.get(own), people.get(other)];
  if (!one || !two) return undefined;
  if (basis === 'national-identifier')
    return { ...pair, basis, certain: !contradiction(one, two) && bears(value, one) && bears(value, two) };
  const isSameSex = one.sex !== undefined && one.sex === two.sex;
  return isSameSex && !contradiction(one, two) ? { ...pair, basis, certain: false } : undefined;
}

/** Whether a national identifier holds, and what it says of birth and sex does not contradict the record. */
function bears(value: string, person: Demographics): boolean {
  const { valid, birthDate, sex } = checkNationalIdentifier(value);
  const binary = person.sex === 'male' || person.sex === 'female' ? person.sex : undefined;
  return valid && !contradiction({ names: person.names, birthDate, sex }, { ...person, sex: binary });
}

async function propose(tx: Queryable, matches: readonly Match[]): Promise<void> {
  if (matches.length === 0) return;
  const proposals = matches.map(({ a, b, basis }) => ({ id: newId(), a, b, basis }));
  await tx.query(sql`
    insert into link_decision (id, patient_a, patient_b, custodian_a, custodian_b, state, basis)
    select n.id, n.a, n.b, a.custodian_id, b.custodian_id, 'proposed', n.basis
    from json_to_recordset(${JSON.stringify(proposals)}::json) as n (id text, a text, b text, basis text)
      join resource a on a.type = 'Patient' and a.id = n.a join resource b on b.type = 'Patient' and b.id = n.b
    on conflict (patient_a, patient_b) do nothing`);
}
