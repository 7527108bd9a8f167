import pg from 'pg';
import { sealAll } from '../audit/proof/seal.js';
import { auditKey } from '../audit/proof/sealer.js';
import { type Config, secretsOf } from '../config.js';
import { type Database, openDatabase, queryable } from '../store/database.js';
import { knownMigrations } from '../store/data-source.js';
import { assertOpens } from './opens.js';
import { executedMigrations, refuseNewer } from '../store/migrate.js';
import type { Protection } from '../store/protection.js';

/** The backup stands in the audit before its first byte. These columns are in every version of the schema. */
const ON_RECORD = `
  insert into audit_event (recorded, type, subtype, action, outcome, agent, agent_name, request_id)
  values (statement_timestamp(), 'export', 'backup', 'R', 0, 'Device/hub', 'command line', 'command-line')`;

/**
 * What comes before a backup: the configuration opens what is encrypted, the backup is on record, and what is in the audit by now is sealed. A
 * database of an older version is left as it is, so that it can be backed up before the new version migrates it; its newest head is a little older then.
 * @returns ids of the secrets that the backup needs @throws Error when there is no hub, a newer one, or a secret is missing
 */
export async function prepareSource(
  url: string,
  config: Config,
  protection: Protection,
  progress: (line: string) => void,
): Promise<string[]> {
  const client = new pg.Client({ connectionString: url, application_name: 'hub-backup' });
  await client.connect();
  try {
    const executed = await executedMigrations(client);
    if (executed.length === 0) throw new Error('there is no hub in this database');
    refuseNewer(executed, 'the database');
    const needed = await assertOpens(queryable(client, protection), config, protection);
    await client.query(ON_RECORD);
    if (knownMigrations.every((name) => executed.includes(name))) await seal(url, config, protection);
    else progress('the database is of an older version: it is backed up as it is');
    return needed;
  } finally {
    await client.end();
  }
}

async function seal(url: string, config: Config, protection: Protection): Promise<void> {
  const db: Database = await openDatabase(url, { protection, poolSize: 2 });
  try {
    await sealAll(db, await auditKey(db, secretsOf(config)), { wait: true });
  } finally {
    await db.close();
  }
}
