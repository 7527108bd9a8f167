import type { RequestAccess } from '../access/decision.js';
import { identifierIs } from '../store/patient-identifier.js';
import { and, oneOf, or, raw, type Sql, sql } from '../store/sql.js';
import type { Condition } from './search-conditions.js';

type PatientCondition = Extract<Condition, { kind: 'patient' | 'patient-identifier' }>;

/**
 * A patient condition on alias `r`: the record is of a Patient that is named, or of another Patient of the same person as far as the caller
 * may know of the one that is named. By an identifier, a Patient that he may not know of is found no more than one that does not exist.
 */
export function ofPatients(access: RequestAccess, condition: PatientCondition): Sql {
  const known = and([raw("r.type = 'Patient'"), raw('not r.deleted'), namedBy(condition), access.filter('know', 'Patient')]);
  return ofPersons(known, condition.kind === 'patient' ? condition.ids : []);
}

/**
 * The record is of one of the Patients that `named` finds, or of another Patient of the same person (the cross-reference cluster), or of one
 * of `ids`. The Patients are found once, before the records are looked up.
 */
export function ofPersons(named: Sql, ids: readonly string[] = []): Sql {
  return sql`r.patient_id = any(array(
    with named as materialized (
      select r.id from resource r where ${named}
    )
    select id from named
    union
    select mate.patient_id from named
      join cross_reference own on own.patient_id = named.id
      join cross_reference mate on mate.cluster_id = own.cluster_id
    ${ids.length > 0 ? sql`union select unnest(${ids}::text[])` : raw('')}))`;
}

function namedBy(condition: PatientCondition): Sql {
  if (condition.kind === 'patient') return oneOf(raw('r.patient_id'), condition.ids);
  const tests = condition.identifiers.map((identifier) => identifierIs('i', identifier));
  return sql`r.patient_id in (select i.patient_id from patient_identifier i where ${or(tests)})`;
}
