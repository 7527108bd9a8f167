import { seal, unseal } from '../access/authentication/sealed.js';

/** Settings of connectors that are secret, whatever the kind: they are stored apart, encrypted, and never shown. */
const SECRET_SETTINGS = ['auth'] as const;

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

/** The settings together again. @throws Error when they were sealed under another secret or for another connector. */
export function openSettings(
  rootSecret: string,
  connectorId: string,
  { settings, secrets }: StoredSettings,
): Record<string, unknown> {
  if (!secrets) return settings;
  return { ...settings, ...JSON.parse(unseal(rootSecret, nameOf(connectorId), secrets.toString('base64'))) };
}

const nameOf = (connectorId: string): string => `connector/${connectorId}`;
