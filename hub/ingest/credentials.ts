import type { Queryable } from '../store/database.js';
import { seal, unseal } from '../store/sealed.js';
import { sql } from '../store/sql.js';

/** Settings of connectors that are secret, whatever the kind: they are stored apart, encrypted, and never shown. */
const SECRET_SETTINGS = ['auth', 'endpoints', 'notifyToken'] as const;

/** Settings as stored in two places: open ones as they are, secret ones as ciphertext (AES-256-GCM, see `seal`). */
export interface StoredSettings {
  settings: Record<string, unknown>;
  secrets: Buffer | null;
}

/** Parts settings and encrypts what is secret of them for this connector alone. @throws Error when there is a secret and no key. */
export function sealSettings(
  rootSecret: string | undefined,
  connectorId: string,
  given: Record<string, unknown>,
): StoredSettings {
  const isSecret = (name: string): boolean => (SECRET_SETTINGS as readonly string[]).includes(name);
  const entries = Object.entries(given).filter(([, value]) => value !== undefined);
  const secret = entries.filter(([name]) => isSecret(name));
  const settings = Object.fromEntries(entries.filter(([name]) => !isSecret(name)));
  if (secret.length === 0) return { settings, secrets: null };
  if (!rootSecret) throw new Error('credentials of a source need the configured secret');
  const sealed = seal(rootSecret, nameOf(connectorId), JSON.stringify(Object.fromEntries(secret)));
  return { settings, secrets: Buffer.from(sealed, 'base64') };
}

/** The settings together again. @param rootSecrets the current one, and others that they may lie under. @throws Error when they were sealed under none of them or for another connector. */
export function openSettings(
  rootSecrets: readonly string[],
  connectorId: string,
  { settings, secrets }: StoredSettings,
): Record<string, unknown> {
  if (!secrets) return settings;
  return { ...settings, ...JSON.parse(unseal(rootSecrets, nameOf(connectorId), secrets.toString('base64'))) };
}

/** All stored credentials under the first of the secrets. */
export async function sealSecretsAgain(tx: Queryable, rootSecrets: readonly string[]): Promise<void> {
  const rows = await tx.query<{ id: string; secrets: Buffer }>(
    sql`select id, secrets from connector where secrets is not null order by id for update`,
  );
  for (const { id, secrets } of rows) {
    const plain = unseal(rootSecrets, nameOf(id), secrets.toString('base64'));
    const again = Buffer.from(seal(rootSecrets[0] as string, nameOf(id), plain), 'base64');
    await tx.query(sql`update connector set secrets = ${again} where id = ${id}`);
  }
}

const nameOf = (connectorId: string): string => `connector/${connectorId}`;
