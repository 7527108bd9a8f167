import { sealSecretsAgain } from '../ingest/credentials.js';
import { sealMessagesAgain } from '../ingest/quarantined-message.js';
import { type Config, secretsOf } from '../config.js';
import type { Database, Queryable } from '../store/database.js';
import { giveUpOtherKeys } from '../store/keys-in-use.js';
import { forgetPass, reprotect } from '../store/reprotect.js';
import { seal, unseal } from '../store/sealed.js';
import { sealScoreRecordsAgain } from '../scoring/score-record.js';
import { sealVerdictsAgain } from '../scoring/verdict/verdicts.sql.js';
import { sql } from '../store/sql.js';
import { withDatabase } from './operate.js';

/** `hub rekey`: brings everything that is encrypted under the current secret, beside a running hub or alone. Safe to interrupt and to run again. */
export async function rekey(): Promise<void> {
  await withDatabase(async (db, config) => {
    await rekeyAll(db, config, (line) => console.log(line));
    console.log('everything lies under the current secret; HUB_PREVIOUS_SECRETS can be taken out of the configuration');
  });
}

export async function rekeyAll(db: Database, config: Config, say: (line: string) => void): Promise<void> {
  const secrets = secretsOf(config);
  await forgetPass(db, 'rekey');
  let told = 0;
  await reprotect(db, 'rekey', ({ seen, written }) => {
    if (seen - told < 100_000) return;
    told = seen;
    say(`${seen} rows looked at, ${written} encrypted again`);
  });
  await sealScoreRecordsAgain(db);
  await sealVerdictsAgain(db);
  await db.transaction(async (tx) => {
    await sealSecretsAgain(tx, secrets);
    await sealKeysAgain(tx, secrets);
    await sealMessagesAgain(tx, db.protection);
    await giveUpOtherKeys(tx, db.protection.keys);
  });
}

/** The hub's own keys: rows of hub_secret with a part `sealed` under the row's name. */
async function sealKeysAgain(tx: Queryable, secrets: readonly string[]): Promise<void> {
  const rows = await tx.query<{ name: string; sealed: string }>(
    sql`select name, value ->> 'sealed' as sealed from hub_secret where value ? 'sealed' for update`,
  );
  for (const { name, sealed } of rows) {
    const again = JSON.stringify({ sealed: seal(secrets[0] as string, name, unseal(secrets, name, sealed)) });
    await tx.query(sql`update hub_secret set value = value || ${again}::jsonb where name = ${name}`);
  }
}
