import { type Sql, sql } from './sql.js';

/** The Patients that are linked as one person with those whose id meets the condition, e.g. `= $1`, and these; none for one that is not linked. */
export const matesOf = (own: Sql): Sql =>
  sql`select mate.patient_id from cross_reference own join cross_reference mate using (cluster_id) where own.patient_id ${own}`;

/** A row where two Patients are linked as one person. */
export const linkOf = (a: Sql, b: Sql): Sql =>
  sql`select from cross_reference x join cross_reference y using (cluster_id) where x.patient_id = ${a} and y.patient_id = ${b}`;
