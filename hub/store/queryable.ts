import type pg from 'pg';
import type { Sql } from './sql.js';

/** Anything that runs a statement: the pool, or one transaction. */
export interface Queryable {
  query<Row extends pg.QueryResultRow = pg.QueryResultRow>(statement: Sql): Promise<Row[]>;
}
