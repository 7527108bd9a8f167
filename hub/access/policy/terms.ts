import type { Evidence, RowWithEvidence } from '../decision.js';
import { and, or, raw, type Sql, sql } from '../../store/sql.js';

/** A provision of a consent in force at some time (see `CompiledRule`). Times are microseconds since 1970; null: without bound. */
export interface ConsentRule {
  id: string;
  version: number;
  provision: string;
  decision: 'permit' | 'deny';
  place: number;
  last: number;
  btg: boolean;
  /** As a permit it counts here: it is the patient's own, or of the hospital of this Patient. */
  lifts: boolean;
  policy: string[];
  actor: string[] | null;
  holder: string[] | null;
  purpose: string[] | null;
  class: string[] | null;
  level: number | null;
  sensitivity: string[] | null;
  data: string[] | null;
  data_refers: string[] | null;
  author: string[] | null;
  /** One of the records that it names refers to this one. */
  referred: boolean;
  from: number | null;
  until: number | null;
  data_from: number | null;
  data_until: number | null;
}

/** A row and what stands about it in the fact tables. */
export interface Seen {
  row: RowWithEvidence;
  /** The instant of the snapshot that the row was read in, SQL's `now()`: microseconds since 1970. */
  now: number;
  /** null: the patient is not registered with the caller's organization; true: the record is of its own Patient; false: of one linked to it. */
  registered: boolean | null;
  consents: readonly ConsentRule[];
  /** What the record refers to, who is named as its author, and the end of its date (microseconds, excluded; null: open or unknown). */
  refers: readonly string[];
  authors: readonly string[];
  dateUntil: number | null;
}

/**
 * One condition on a record in its two forms: SQL over alias `r` of table `resource`, true or false and never null; and the same in
 * JavaScript, which names the evidence when it holds. Terms are only ever made in pairs, here, so that the forms can't drift apart.
 */
export interface Term {
  readonly sql: Sql;
  /** The evidence when the condition holds, undefined when not. */
  test(seen: Seen): Evidence[] | undefined;
  /** Terms that never hold where this one does. */
  readonly excludes?: readonly Term[];
}

export const when = (holds: boolean, ...evidence: Evidence[]): Evidence[] | undefined => (holds ? evidence : undefined);

export const always: Term = { sql: raw('true'), test: () => [] };
export const never: Term = { sql: raw('false'), test: () => undefined };

/** All hold. No condition: true. */
export function all(...terms: readonly Term[]): Term {
  if (terms.includes(never)) return never;
  const needed = terms.filter((term) => term !== always);
  if (needed.length === 0) return always;
  if (needed.length === 1) return needed[0]!;
  return {
    excludes: needed.flatMap((term) => term.excludes ?? []),
    sql: and(needed.map((term) => term.sql)),
    test: (seen) => {
      const evidence: Evidence[] = [];
      for (const term of needed) {
        const found = term.test(seen);
        if (!found) return undefined;
        evidence.push(...found);
      }
      return evidence;
    },
  };
}

/** One holds; the first that does is the evidence. None: false. */
export function any(...terms: readonly Term[]): Term {
  if (terms.includes(always)) return always;
  const possible = terms.filter((term) => term !== never);
  if (possible.length === 0) return never;
  if (possible.length === 1) return possible[0]!;
  return {
    sql: or(possible.map((term) => term.sql)),
    test: (seen) => {
      for (const term of possible) {
        const found = term.test(seen);
        if (found) return found;
      }
      return undefined;
    },
  };
}

export function not(term: Term): Term {
  if (term === always) return never;
  if (term === never) return always;
  return { sql: sql`not ${term.sql}`, test: (seen) => when(term.test(seen) === undefined), excludes: [term] };
}

/**
 * One of `allowing` holds and none of `denying`, as alternatives, those with the least to look at first. What denies only where an allowing
 * term does not hold is left out beside that term: the custodian's own records need no look at consents, in the planner either.
 */
export function waysUnless(allowing: readonly Term[], denying: readonly Term[]): Term[] {
  const groups = new Map<string, { terms: Term[]; denies: Term[] }>();
  for (const term of allowing) {
    const denies = denying.filter((deny) => !deny.excludes?.includes(term));
    const key = denies.map((deny) => denying.indexOf(deny)).join();
    const group = groups.get(key) ?? { terms: [], denies };
    group.terms.push(term);
    groups.set(key, group);
  }
  return [...groups.values()]
    .sort((a, b) => a.denies.length - b.denies.length)
    .map(({ terms, denies }) => all(any(...terms), not(any(...denies))));
}

/** The record is held by this organization. */
export const heldBy = (organizationId: string): Term =>
  organizationId === ''
    ? never
    : {
        sql: sql`r.custodian_id = ${organizationId}`,
        test: ({ row }) => when(row.custodian_id === organizationId, { kind: 'organization', id: organizationId }),
      };

/** The record is held by one of these; `evidence` says what that rests on. */
export function heldByOneOf(organizationIds: readonly string[], evidence: (custodianId: string) => Evidence[]): Term {
  const ids = new Set(organizationIds.filter(Boolean));
  if (ids.size === 0) return never;
  return {
    sql: sql`r.custodian_id = any(${[...ids]}::text[])`,
    test: ({ row }) => (ids.has(row.custodian_id) ? evidence(row.custodian_id) : undefined),
  };
}

/** The record is of one of these kinds. `among`: the kinds that it can be of, where that is known. */
export function kindIn(types: readonly string[], among?: readonly string[]): Term {
  if (among?.every((kind) => types.includes(kind))) return always;
  if (among ? !among.some((kind) => types.includes(kind)) : types.length === 0) return never;
  return { sql: sql`r.type = any(${types}::text[])`, test: ({ row }) => when(types.includes(row.type)) };
}

/** The record is about one of these Patients. */
export function aboutPatient(patientIds: readonly string[]): Term {
  const ids = patientIds.filter(Boolean);
  if (ids.length === 0) return never;
  return {
    sql: sql`r.patient_id = any(${ids}::text[])`,
    test: ({ row }) => when(ids.includes(row.patient_id), { kind: 'patient', id: row.patient_id }),
  };
}

/** The record is about one of the Patients that an exceptional access opens; `evidence` says what that rests on. */
export function aboutOpened(patientIds: readonly string[], evidence: readonly Evidence[]): Term {
  const about = aboutPatient(patientIds);
  return about === never ? never : { sql: about.sql, test: (seen) => about.test(seen) && [...evidence] };
}

/** The record is about somebody whose guardian the caller is. */
export function aboutWard(wards: readonly { id: string; patient: string }[]): Term {
  if (wards.length === 0) return never;
  const byPatient = new Map(wards.map(({ id, patient }) => [patient, id]));
  return {
    sql: sql`r.patient_id = any(${[...byPatient.keys()]}::text[])`,
    test: ({ row }) => {
      const by = byPatient.get(row.patient_id);
      return by === undefined
        ? undefined
        : [
            { kind: 'patient', id: row.patient_id },
            { kind: 'guardian', id: by },
          ];
    },
  };
}

/** The organization is a party to the record: requester, owner, performer. */
export const partyTo = (organizationId: string): Term =>
  organizationId === ''
    ? never
    : {
        sql: sql`r.parties @> array[${organizationId}]::text[]`,
        test: ({ row }) => when(row.parties.includes(organizationId), { kind: 'party', id: organizationId }),
      };

/**
 * Whether there is such a row, looked up for each record by itself. As `exists` it would, in a search over many records, become a hash of all
 * such rows of the region before the first record is found (20 ms for 40,000 consent rules), though a page needs a few.
 */
export const eachTime = (rows: Sql): Sql => sql`((select true ${rows} limit 1) is true)`;

/** The patient of the record, or a Patient linked with it, is registered with the organization: a treatment relationship. */
export const registeredWith = (organizationId: string): Term =>
  organizationId === ''
    ? never
    : {
        sql: eachTime(
          sql`from patient_registration g where g.organization_id = ${organizationId} and g.patient_id = r.patient_id`,
        ),
        test: ({ row, registered }) => when(registered !== null, { kind: 'registration', id: row.patient_id }),
      };

/** The record is about the organization's own Patient. */
export const aboutOwnPatientOf = (organizationId: string): Term =>
  organizationId === ''
    ? never
    : {
        sql: eachTime(
          sql`from patient_registration g where g.organization_id = ${organizationId} and g.patient_id = r.patient_id and g.own`,
        ),
        test: ({ registered }) => when(registered === true),
      };

/** Limits of an agreement or charter, which hold together; null limits nothing. */
export interface Scope {
  modality: string[] | null;
  body_site: string[] | null;
  purpose: string[] | null;
  not_older_than_days: number | null;
}

const MICROS_PER_DAY = 86_400_000_000;

/** The scope covers the record. What is unknown about a record lies outside a scope that limits it; of several values each must be inside. */
export function coveredBy(scope: Scope, purposeOfUse: string): Term {
  if (scope.purpose && !scope.purpose.includes(purposeOfUse)) return never;
  return all(within('modality', scope.modality), within('body_site', scope.body_site), notOlderThan(scope.not_older_than_days));
}

function within(column: 'modality' | 'body_site', limit: string[] | null): Term {
  if (limit === null) return always;
  if (limit.length === 0) return never;
  const values = raw(`r.${column}`);
  return {
    sql: sql`(${values} <> '{}' and ${values} <@ ${limit}::text[])`,
    test: ({ row }) => when(row[column].length > 0 && row[column].every((value) => limit.includes(value))),
  };
}

/** Days are 24 hours, so that no time zone of a session matters. */
export function notOlderThan(days: number | null): Term {
  if (days === null) return always;
  return {
    sql: sql`(r.date_from is not null and r.date_from >= now() - make_interval(hours => ${24 * days}))`,
    test: ({ row, now }) => when(row.date_from !== null && row.date_from.getTime() * 1000 >= now - days * MICROS_PER_DAY),
  };
}

/**
 * Exactly these records, `Type/id` under their custodian, with the grant that each rests on. In SQL one condition a kind of record, that its
 * index on ids serves: a condition for each custodian would be planned for longer than it runs.
 * @param among the kinds that it can be of, where that is known.
 */
export function granted(
  grants: readonly { id: string; custodian: string; resources: readonly string[] }[],
  among?: readonly string[],
): Term {
  const byRecord = new Map(grants.flatMap((g) => g.resources.map((record) => [`${record} ${g.custodian}`, g.id] as const)));
  const byType = new Map<string, { ids: Set<string>; places: Set<string> }>();
  for (const { custodian, resources } of grants)
    for (const record of resources) {
      const [type = '', id = ''] = record.split('/');
      if (among && !among.includes(type)) continue;
      const { ids, places } = byType.get(type) ?? { ids: new Set(), places: new Set() };
      byType.set(type, { ids: ids.add(id), places: places.add(`${id} ${custodian}`) });
    }
  if (byType.size === 0) return never;
  return {
    sql: or(
      [...byType].map(
        ([type, { ids, places }]) =>
          sql`(r.type = ${type} and r.id = any(${[...ids]}::text[]) and r.id || ' ' || r.custodian_id = any(${[...places]}::text[]))`,
      ),
    ),
    test: ({ row }) => {
      const grant = byRecord.get(`${row.type}/${row.id} ${row.custodian_id}`);
      return when(grant !== undefined, { kind: 'grant', id: grant ?? '' });
    },
  };
}
