import type { RequestAccess } from '../access/decision.js';
import type { Queryable } from '../store/database.js';
import { and, or, raw, type Sql, sql } from '../store/sql.js';
import type { Condition } from './search-query.js';

type PatientCondition = Extract<Condition, { kind: 'patient' | 'patient-identifier' }>;

/**
 * Resolves each patient condition to Patient ids: the Patients named, as far as the caller may know of them, and the other Patients of
 * the same persons (the cross-reference cluster). A Patient that the caller may not know of resolves to nothing, like one that
 * does not exist.
 */
export async function resolvePatients(
  tx: Queryable,
  access: RequestAccess,
  conditions: readonly Condition[],
): Promise<string[][]> {
  const resolved: string[][] = [];
  for (const condition of conditions) {
    if (condition.kind === 'patient' || condition.kind === 'patient-identifier')
      resolved.push(await clusters(tx, access, condition));
  }
  return resolved;
}

async function clusters(tx: Queryable, access: RequestAccess, condition: PatientCondition): Promise<string[]> {
  const rows = await tx.query<{ id: string }>(sql`
    with named as (
      select r.id from resource r where ${and([raw("r.type = 'Patient'"), raw('not r.deleted'), namedBy(condition), access.filter('know', 'Patient')])}
    )
    select id from named
    union
    select mate.patient_id from named
      join cross_reference own on own.patient_id = named.id
      join cross_reference mate on mate.cluster_id = own.cluster_id`);
  return rows.map((r) => r.id);
}

function namedBy(condition: PatientCondition): Sql {
  if (condition.kind === 'patient') return sql`r.patient_id = any(${condition.ids}::text[])`;
  const tests = condition.identifiers.map(({ system, value }) =>
    system === undefined ? sql`i.value = ${value}` : sql`(i.system = ${system} and i.value = ${value})`,
  );
  return sql`r.patient_id in (select i.patient_id from patient_identifier i where ${or(tests)})`;
}
