import { type Sql, sql } from '../../store/sql.js';

/**
 * Takes the `jti` of an assertion: one row comes back the first time, none ever after. Of many at once the primary key lets exactly one
 * through, in whatever process. `expires` is the last second at which the assertion could still verify.
 */
export const spendAssertion = (clientId: string, jti: string, expires: Date): Sql => sql`
  insert into used_jti (client_id, jti, expires) values (${clientId}, ${jti}, ${expires}) on conflict do nothing returning jti`;

/** Forgets some of the client's assertions that can no longer verify; rows that another transaction is at are left to it. */
export const forgetSpentAssertions = (clientId: string): Sql => sql`
  delete from used_jti u using (
    select client_id, jti from used_jti where client_id = ${clientId} and expires < now() limit 100 for update skip locked
  ) spent where u.client_id = spent.client_id and u.jti = spent.jti`;
