import { type DataSource, MigrationExecutor, type QueryRunner } from 'typeorm';
import { createDataSource, knownMigrations } from './data-source.js';

/** Lock of the database under which its schema is made or changed. */
const MIGRATING = 7390212;

/**
 * Brings the schema up to date; a lock serializes start-ups, so that two processes never migrate at once.
 * @throws Error when a newer version of the program made it: an older one would write what that one no longer expects.
 */
export async function migrate(url: string): Promise<DataSource> {
  const dataSource = await createDataSource(url).initialize();
  try {
    await whileNobodyMigrates(dataSource, async (runner) => {
      refuseNewer(await executedMigrations(runner), 'the database');
      await dataSource.runMigrations({ transaction: 'all' });
    });
    return dataSource;
  } catch (error) {
    await dataSource.destroy();
    throw error;
  }
}

/** Has the lock of start-ups on the runner's connection while `work` runs. */
export async function whileNobodyMigrates<T>(dataSource: DataSource, work: (runner: QueryRunner) => Promise<T>): Promise<T> {
  const runner = dataSource.createQueryRunner();
  try {
    await runner.query(`select pg_advisory_lock(${MIGRATING})`);
    return await work(runner);
  } finally {
    await runner.query('select pg_advisory_unlock_all()').catch(() => undefined);
    await runner.release();
  }
}

interface Asks {
  query(text: string): Promise<unknown>;
}

/** Names of the migrations that the database had, in the order in which they ran; none for a database without a schema. */
export async function executedMigrations(on: Asks): Promise<string[]> {
  const [found] = rowsOf<{ table: string | null }>(await on.query(`select to_regclass('migrations')::text as table`));
  if (!found?.table) return [];
  return rowsOf<{ name: string }>(await on.query('select name from migrations order by id')).map(({ name }) => name);
}

/** A runner of TypeORM gives rows, a client of pg gives them in a result. */
const rowsOf = <Row>(answer: unknown): Row[] => (Array.isArray(answer) ? answer : (answer as { rows: Row[] }).rows) as Row[];

/** @param what had these migrations, e.g. `the database` @throws Error when this version of the program does not know one of them */
export function refuseNewer(executed: readonly string[], what: string): void {
  const unknown = executed.filter((name) => !knownMigrations.includes(name));
  if (unknown.length > 0)
    throw new Error(
      `${what} was made by a newer version of the hub (it has had ${unknown.join(', ')}, which this version does not know): run that version, or a later one`,
    );
}

/** Runs the migrations of these names that have not run yet, on the runner's open transaction. */
export async function migrateWithin(
  dataSource: DataSource,
  runner: QueryRunner,
  names: readonly string[] = knownMigrations,
): Promise<void> {
  const executor = new SomeMigrations(dataSource, runner, names);
  executor.transaction = 'none'; // the caller has one
  await executor.executePendingMigrations();
}

class SomeMigrations extends MigrationExecutor {
  constructor(
    dataSource: DataSource,
    runner: QueryRunner,
    private readonly names: readonly string[],
  ) {
    super(dataSource, runner);
  }

  protected override getMigrations() {
    return super.getMigrations().filter(({ name }) => this.names.includes(name));
  }
}
