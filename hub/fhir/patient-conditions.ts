import type { RequestAccess } from '../access/decision.js';
import { and, oneOf, or, raw, type Sql, sql } from '../store/sql.js';
import type { Condition } from './search-query.js';

export type PatientCondition = Extract<Condition, { kind: 'patient' | 'patient-identifier' }>;

/**
 * A patient condition on alias `r`: the record is of a Patient that is named, as far as the caller may know of it, or of another Patient of the
 * same person (the cross-reference cluster). A Patient that the caller may not know of names nobody, like one that does not exist.
 * The Patients are found once, before the records are looked up.
 */
export function ofPatients(access: RequestAccess, condition: PatientCondition): Sql {
  return sql`r.patient_id = any(array(
    with named as materialized (
      select r.id from resource r where ${and([raw("r.type = 'Patient'"), raw('not r.deleted'), namedBy(condition), access.filter('know', 'Patient')])}
    )
    select id from named
    union
    select mate.patient_id from named
      join cross_reference own on own.patient_id = named.id
      join cross_reference mate on mate.cluster_id = own.cluster_id))`;
}

function namedBy(condition: PatientCondition): Sql {
  if (condition.kind === 'patient') return oneOf(raw('r.patient_id'), condition.ids);
  const tests = condition.identifiers.map(({ system, value }) =>
    system === undefined ? sql`i.value = ${value}` : sql`(i.system = ${system} and i.value = ${value})`,
  );
  return sql`r.patient_id in (select i.patient_id from patient_identifier i where ${or(tests)})`;
}
