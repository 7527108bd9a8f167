import pg from 'pg';
import type { DataSource } from 'typeorm';
import { settleKeys } from './keys-in-use.js';
import { migrate } from './migrate.js';
import { PreparedNames } from './prepared.js';
import type { Protection } from './protection.js';
import type { Queryable } from './queryable.js';
import { openContent } from './sealed-content.js';
import type { Sql } from './sql.js';

export type { Queryable } from './queryable.js';

export interface Database extends Queryable {
  /** One READ COMMITTED transaction: committed when `work` returns, rolled back when it throws. Serialization failures and deadlocks are tried again. */
  transaction<T>(work: (tx: Queryable) => Promise<T>): Promise<T>;
  /** One REPEATABLE READ, READ ONLY snapshot: everything read in it, `now()` included, is of one instant. */
  snapshot<T>(work: (tx: Queryable) => Promise<T>): Promise<T>;
  readonly pool: pg.Pool;
  /** What is encrypted in it, and the keys. */
  readonly protection: Protection;
  /** TypeORM, for the administrative tables. */
  readonly dataSource: DataSource;
  close(): Promise<void>;
}

const prepared = new PreparedNames();

const RETRIED = new Set(['40001', '40P01']);

// int8 counts stay exact below 2^53. json stays text: a stored resource is passed on, not parsed and written again.
pg.types.setTypeParser(pg.types.builtins.INT8, Number);
pg.types.setTypeParser(pg.types.builtins.JSON, (text) => text);

/** Pages are as cheap in any order as in a row: the planner's default is for disks that turn, and makes it read whole indexes instead. */
const PLANNER = '-c random_page_cost=1.1';

/** How long a database is waited for; one that does not answer in time is as one that is gone. */
export interface DatabaseLimits {
  /** Seconds until a connection is there, or one of the pool's is free. */
  connectionSeconds: number;
  /** Seconds that a statement may take: the database ends it then, or, where it says nothing, a second later the connection is given up. */
  statementSeconds: number;
}

const LIMITS: DatabaseLimits = { connectionSeconds: 30, statementSeconds: 30 };

/**
 * Opens the database and brings its schema up to date (safe to run twice and by many processes at once).
 * @throws Error when a newer version made it, or values in it are sealed under a key that `protection` has not.
 */
export async function openDatabase(
  url: string,
  options: { protection: Protection; poolSize?: number; limits?: DatabaseLimits },
): Promise<Database> {
  const { protection, limits = LIMITS } = options;
  const dataSource = await migrate(url);
  const pool = new pg.Pool({
    connectionString: url,
    max: options.poolSize ?? 16,
    application_name: 'hub',
    connectionTimeoutMillis: limits.connectionSeconds * 1000,
    statement_timeout: limits.statementSeconds * 1000,
    query_timeout: (limits.statementSeconds + 1) * 1000,
    options: PLANNER,
    idle_in_transaction_session_timeout: 60_000,
  });
  pool.on('error', () => undefined); // an idle connection that breaks is replaced; the next query reports a database that is gone
  const db: Database = {
    pool,
    dataSource,
    protection,
    query: (statement) => run(pool, protection, statement),
    transaction: (work) => retried(() => inTransaction(pool, protection, 'begin', work)),
    snapshot: (work) => inTransaction(pool, protection, 'begin isolation level repeatable read read only', work),
    close: async () => {
      await pool.end();
      await dataSource.destroy();
    },
  };
  try {
    await settleKeys(db, protection.keys);
  } catch (error) {
    await db.close();
    throw error;
  }
  return db;
}

/** One connection, under the keys of the database. */
export const queryable = (on: pg.ClientBase, protection: Protection): Queryable => ({
  query: (statement) => run(on, protection, statement),
});

async function run<Row extends pg.QueryResultRow>(
  on: pg.Pool | pg.ClientBase,
  protection: Protection,
  statement: Sql,
): Promise<Row[]> {
  const { text, values } = statement.toQuery(protection);
  const result = await on.query<Row>({ text, values, name: prepared.nameOf(text) });
  return result.fields?.some((f) => f.name === 'content') ? result.rows.map((row) => opened(row, protection)) : result.rows;
}

/** Sealed values of a resource are opened where its row comes in, so that no path can forget it. @throws {IntegrityFailure} */
function opened<Row extends pg.QueryResultRow>(row: Row, protection: Protection): Row {
  const { type, id, content } = row;
  if (typeof content === 'string') (row as pg.QueryResultRow).content = openContent(protection, { type, id }, content);
  return row;
}

async function inTransaction<T>(
  pool: pg.Pool,
  protection: Protection,
  begin: string,
  work: (tx: Queryable) => Promise<T>,
): Promise<T> {
  let broken: Error | undefined;
  const lost = (error: Error): void => {
    broken = error;
  };
  const client = await checkOut(pool, lost);
  try {
    await client.query(begin);
    const result = await work(queryable(client, protection));
    await client.query('commit');
    return result;
  } catch (error) {
    // A connection that does not answer would not answer this either.
    if (isUnanswered(error)) broken = error;
    else
      await client.query('rollback').catch((failure: Error) => {
        broken = failure;
      });
    throw error;
  } finally {
    if (!broken) client.off('error', lost);
    client.release(broken);
  }
}

/** pg's error of a statement whose connection said nothing in time. */
const isUnanswered = (error: unknown): error is Error => error instanceof Error && error.message === 'Query read timeout';

/**
 * The pool listens to a connection while it is idle, a query while it runs: one that is lost between two statements would end the process. The
 * listener is there before the pool lets go, not a moment later: the message may lie in the very bytes that the pool is reading.
 */
function checkOut(pool: pg.Pool, lost: (error: Error) => void): Promise<pg.PoolClient> {
  return new Promise((resolve, reject) => {
    pool.connect((error, client) => {
      if (error || !client) return reject(error ?? new Error('no connection'));
      client.on('error', lost);
      resolve(client);
    });
  });
}

async function retried<T>(attempt: () => Promise<T>, left = 4): Promise<T> {
  try {
    return await attempt();
  } catch (error) {
    if (left > 0 && RETRIED.has((error as { code?: string }).code ?? '')) return retried(attempt, left - 1);
    throw error;
  }
}
