import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, relative, resolve } from 'node:path';
import { stringify } from 'yaml';
import { isBackup, type Manifest } from '../backup/manifest.js';
import { openBackup } from '../backup/open-backup.js';
import { restoreBackup } from '../backup/restore-backup.js';
import { openSecrets, sealSecrets } from '../backup/secret-file.js';
import { takeBackup } from '../backup/take-backup.js';
import { verifyRestored } from '../backup/verify-restored.js';
import { type Config, loadConfig, secretsOf } from '../config.js';
import { openDatabase } from '../store/database.js';
import { keyId } from '../store/key-ring.js';
import { createProtection } from '../store/protection.js';
import { printFaults } from './audit.js';
import { reachDatabase } from './operate.js';
import { readPassphrase } from './passphrase.js';

const say = (line: string): void => console.log(line);
const progress = (line: string): void => void process.stderr.write(`${line}\n`);

/** `hub backup FOLDER`: everything that the hub has written, of one instant, beside a running hub. */
export async function backUp(folder: string): Promise<void> {
  const config = loadConfig();
  const manifest = await inDatabase(config, (url) =>
    takeBackup({ url, config, protection: createProtection(config), folder: resolve(folder), progress }),
  );
  summarize(folder, manifest);
  say(
    `NOT IN IT: the secret (hub backup keys), configuration and certificates, the hospitals' archives, months of the audit that were archived`,
  );
}

/** `hub backup check FOLDER`: reads all of it; needs no database. */
export async function checkBackup(folder: string): Promise<void> {
  const { manifest } = await openBackup(folder, secretsOf(loadConfig()), progress);
  summarize(folder, manifest);
  say('ok: every file is the one that was written');
}

/** `hub restore FOLDER`: into an empty database, all or nothing. Exit status 1 when the audit that was backed up does not verify. */
export async function restore(folder: string): Promise<void> {
  const config = loadConfig();
  const protection = createProtection(config);
  const backup = await openBackup(folder, secretsOf(config), progress);
  const { manifest } = backup;
  warnOfSettings(config, manifest);
  await inDatabase(config, async (url) => {
    await restoreBackup({ backup, url, config, protection, progress });
    summarize(folder, manifest);
    const db = await openDatabase(url, { protection, poolSize: 4 });
    try {
      const { verification, wrongNodes } = await verifyRestored(db, config, manifest, progress);
      say(`audit: ${verification.leaves} leaves, going on from the ${manifest.audit?.size ?? 0} of the backup's signed head`);
      printFaults(verification);
      if (wrongNodes > 0) say(`FAULT  ${wrongNodes} stored nodes of the tree are not what its leaves make`);
      if (verification.counts.size > 0 || wrongNodes > 0) process.exitCode = 1;
    } finally {
      await db.close();
    }
  });
  warnOfGap(manifest);
}

/** `hub backup keys FILE`: the secrets that open the backups, under a passphrase. */
export async function sealKeys(file: string, options: { passphraseFile?: string }): Promise<void> {
  const config = loadConfig();
  await assertApart(file, config);
  if (existsSync(file)) throw new Error(`${file} is there already`);
  const [secret, ...previousSecrets] = secretsOf(config);
  const text = await sealSecrets({ secret, previousSecrets }, await readPassphrase(options.passphraseFile, true));
  writeFileSync(file, text, { mode: 0o600, flag: 'wx' });
  say(`${file}: ${secretsOf(config).map(keyId).join(', ')}. Keep it apart from the backups, and the passphrase apart from it.`);
}

/** `hub backup open-keys FILE`: the settings as they belong into the configuration. */
export async function openKeys(file: string, options: { passphraseFile?: string }): Promise<void> {
  const secrets = await openSecrets(readFileSync(file, 'utf8'), await readPassphrase(options.passphraseFile, false));
  process.stdout.write(stringify(secrets));
}

/** Whoever steals backups, or the data, must not find their key beside them. */
async function assertApart(file: string, config: Config): Promise<void> {
  for (let at = dirname(resolve(file)); ; at = dirname(at)) {
    if (await isBackup(at)) throw new Error(`${at} is a backup: its keys are kept apart from it`);
    if (at === dirname(at)) break;
  }
  const inData = relative(resolve(config.dataDir), resolve(file));
  if (!inData.startsWith('..')) throw new Error(`${config.dataDir} holds the data: its keys are kept apart from it`);
}

async function inDatabase<T>(config: Config, work: (url: string) => Promise<T>): Promise<T> {
  const { url, leave } = await reachDatabase(config, progress);
  try {
    return await work(url);
  } finally {
    await leave();
  }
}

function summarize(folder: string, { at, tables, audit, keys }: Manifest): void {
  const rows = tables.reduce((sum, table) => sum + table.rows, 0);
  const bytes = tables.reduce((sum, table) => sum + table.bytes, 0);
  say(`${folder}: the state of ${at}; ${tables.length} tables, ${rows} rows, ${bytes} bytes`);
  say(
    `audit: ${audit ? `signed head of ${audit.size} leaves, ${audit.signed}` : 'no signed head'}; keys needed: ${keys.needed.join(', ')}`,
  );
}

function warnOfSettings(config: Config, { protectedSystems }: Manifest): void {
  const lacking = protectedSystems.filter((system) => !config.protectedSystems.includes(system));
  if (lacking.length > 0)
    say(`WARNING: HUB_PROTECTED_SYSTEMS lacks ${lacking.join(', ')}: values of these would not be found, nor encrypted any more`);
}

function warnOfGap({ at }: Manifest): void {
  const minutes = Math.max(0, Math.round((Date.now() - Date.parse(at)) / 60_000));
  const gap = minutes < 120 ? `${minutes} minutes` : `${Math.floor(minutes / 60)} hours`;
  say(`
WARNING: this is the state of ${at}. What was written in the ${gap} since is lost. Before people come back:
  - consents that were withdrawn, accounts that were disabled, agreements, grants and guardians that ended since are in force again: end them again
  - what hospitals' systems pushed has to be pushed again; what their archives got is read again by itself
  - heads of the audit that witnesses kept since are of a tree that is no more: tell them`);
}
