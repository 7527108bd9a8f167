import { type Config, secretsOf } from '../config.js';
import { openSettings, type StoredSettings } from '../ingest/credentials.js';
import { requireKeys } from '../store/keys-in-use.js';
import type { Protection } from '../store/protection.js';
import type { Queryable } from '../store/queryable.js';
import { unseal } from '../store/sealed.js';
import { sql } from '../store/sql.js';

/**
 * Tries whether the configuration opens everything that is encrypted in a database: values of records, the hub's own keys, and the
 * credentials of sources. @returns ids of the secrets that it needs @throws Error that names what does not open
 */
export async function assertOpens(on: Queryable, config: Config, { keys }: Protection): Promise<string[]> {
  const secrets = secretsOf(config);
  const needed = await requireKeys(on, keys);
  const own = await on.query<{ name: string; sealed: string }>(
    sql`select name, value ->> 'sealed' as sealed from hub_secret where value ? 'sealed' order by name`,
  );
  for (const { name, sealed } of own) must(name, () => unseal(secrets, name, sealed));
  const sources = await on.query<StoredSettings & { id: string; [column: string]: unknown }>(
    sql`select id, settings, secrets from connector order by id`,
  );
  for (const source of sources) must(`the credentials of ${source.id}`, () => openSettings(secrets, source.id, source));
  return [...new Set([keys.current, ...needed])];
}

function must(what: string, open: () => unknown): void {
  try {
    open();
  } catch {
    throw new Error(`${what} can not be opened with the configured secrets`);
  }
}
