import type { Queryable } from '../../store/database.js';
import { type Sql, sql } from '../../store/sql.js';
import type { Caller } from '../caller.js';

/** What a region says of who is of age. */
export interface Majority {
  /** Years. */
  ageOfMajority: number;
  /** Offset of the region's days, e.g. `+08:00`. */
  utcOffset: string;
}

/**
 * The wards of a login now: `id` the RelatedPerson by which each is one, `patient` each Patient of the ward. A parent's part ends when the ward
 * comes of age, at the beginning of that birthday in the region; who has no birth date on record is no minor. An appointed guardian's does not.
 * What a suspended hospital has on record counts for nothing.
 */
export const wards = (relatedPersons: readonly string[], { ageOfMajority, utcOffset }: Majority): Sql => sql`
  select distinct g.related_person_id as id, coalesce(mate.patient_id, g.patient_id) as patient
  from guardianship g
  join organization o on o.id = g.custodian_id and o.active
  join resource p on p.type = 'Patient' and p.patient_id = g.patient_id and p.id = g.patient_id and not p.deleted
  left join cross_reference own on own.patient_id = g.patient_id
  left join cross_reference mate on mate.cluster_id = own.cluster_id
  where g.related_person_id = any(${relatedPersons}::text[]) and g.valid_from <= now() and now() < g.valid_until
    and (g.kind = 'guardian'
      or now() < ((p.date_from at time zone ${utcOffset}::interval) + make_interval(years => ${ageOfMajority}::integer)) at time zone ${utcOffset}::interval)`;

export async function wardsOf(
  tx: Queryable,
  { role, relatedPersons }: Caller,
  majority: Majority,
): Promise<{ id: string; patient: string }[]> {
  return role === 'patient' && relatedPersons?.length ? tx.query(wards(relatedPersons, majority)) : [];
}
