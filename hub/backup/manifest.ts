import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { canonical } from '../store/canonical-json.js';
import { keyId } from '../store/key-ring.js';
import { otherSecret } from '../store/keys-in-use.js';
import { derivedKey, seal, unseal } from '../store/sealed.js';

const MANIFEST = 'manifest.json';
const LARGEST_MANIFEST = 16 * 1024 * 1024;

/** Names of tables, columns and sequences as the hub's migrations give them: they may stand in a statement, and in the name of a file. */
export const PLAIN_NAME = /^[a-z_][a-z0-9_]{0,62}$/;
const name = z.string().regex(PLAIN_NAME);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.int().min(0);

const schema = z.strictObject({
  format: z.literal('hub-backup/1'),
  /** The state that it holds: the database's clock, UTC. */
  at: z.iso.datetime({ precision: 6 }),
  postgres: z.string(),
  /** Migrations that the database had had, in their order: the version of its schema. */
  migrations: z.array(z.string()).min(1),
  keys: z.strictObject({
    /** Ids of the secrets without which it, or what is encrypted in it, does not open. */
    needed: z.array(z.string()).min(1),
    /** The key of this backup, sealed under the configured secret. */
    sealed: z.string(),
  }),
  /** The newest signed head of the audit's tree; null when nothing was sealed yet. */
  audit: z.strictObject({ size: count, root: sha256, signed: z.string(), jws: z.string() }).nullable(),
  /** Identifier systems that the configuration had encrypted beside the known ones. */
  protectedSystems: z.array(z.string()),
  /** In an order in which they can be filled: whatever a table refers to comes before it. */
  tables: z.array(z.strictObject({ name, columns: z.array(name), rows: count, bytes: count, sha256 })),
  sequences: z.array(z.strictObject({ name, last: count, called: z.boolean() })),
  /** HMAC-SHA-256 of all of the above under a key of this backup, hex. */
  authenticator: sha256,
});

/** What a backup says of itself; no content of a record. */
export type Manifest = z.infer<typeof schema>;
export type TableInBackup = Manifest['tables'][number];

/** Keys of one backup, all from one random key that lies in the manifest, sealed under the configured secret. */
export interface BackupKeys {
  readonly sealed: string;
  /** The key of a table's file. */
  ofTable(table: string): Buffer;
  authenticate(manifest: Omit<Manifest, 'authenticator'>): string;
}

const SEALED_AS = 'backup';

export function newBackupKeys(secret: string): BackupKeys {
  const root = randomBytes(32).toString('base64');
  return keysOf(root, seal(secret, SEALED_AS, root));
}

const keysOf = (root: string, sealed: string): BackupKeys => ({
  sealed,
  ofTable: (table) => derivedKey(root, `backup/${table}`),
  authenticate: (manifest) => createHmac('sha256', derivedKey(root, 'backup-manifest')).update(canonical(manifest)).digest('hex'),
});

export async function writeManifest(folder: string, manifest: Manifest): Promise<void> {
  const file = await open(join(folder, MANIFEST), 'wx', 0o600);
  try {
    await file.writeFile(`${JSON.stringify(manifest, undefined, 2)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Whether a folder is a backup, or what is left of one. */
export const isBackup = (folder: string): Promise<boolean> =>
  stat(join(folder, MANIFEST)).then(
    () => true,
    () => false,
  );

/**
 * Reads a backup's manifest and opens its key.
 * @param secrets the configured ones @throws Error when it is no backup, a secret that it needs is missing, or it was changed
 */
export async function openManifest(
  folder: string,
  secrets: readonly string[],
): Promise<{ manifest: Manifest; keys: BackupKeys }> {
  const manifest = await readManifest(folder);
  const ids = secrets.map(keyId);
  const missing = manifest.keys.needed.filter((id) => !ids.includes(id));
  if (missing.length > 0) throw new Error(otherSecret('the backup is encrypted', missing));
  const keys = keysOf(opened(secrets, manifest.keys.sealed), manifest.keys.sealed);
  const { authenticator, ...rest } = manifest;
  if (!timingSafeEqual(Buffer.from(keys.authenticate(rest)), Buffer.from(authenticator)))
    throw new Error(`${folder}/${MANIFEST} was changed since the backup was made`);
  return { manifest, keys };
}

function opened(secrets: readonly string[], sealed: string): string {
  try {
    return unseal(secrets, SEALED_AS, sealed);
  } catch {
    throw new Error('the key of the backup does not open under the configured secrets');
  }
}

async function readManifest(folder: string): Promise<Manifest> {
  const file = await open(join(folder, MANIFEST)).catch((error: { code?: string }) => {
    throw new Error(
      error.code === 'ENOENT'
        ? `${folder} is no backup: it has no ${MANIFEST}`
        : `${folder}/${MANIFEST} can not be read (${error.code})`,
    );
  });
  try {
    if ((await file.stat()).size > LARGEST_MANIFEST) throw new Error(`${folder}/${MANIFEST} is too large`);
    return schema.parse(JSON.parse(await file.readFile('utf8')));
  } catch (error) {
    if (error instanceof z.ZodError || error instanceof SyntaxError)
      throw new Error(`${folder}/${MANIFEST} is not one of a backup`);
    throw error;
  } finally {
    await file.close();
  }
}
