import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';

const NONCE = 12;
const TAG = 16;

/**
 * Encrypts for the hub's own eyes: AES-256-GCM under a key that HKDF-SHA256 derives from the configured secret for this `name`, which
 * is also authenticated, so that one sealed value can't be put in the place of another. @returns base64 of nonce, tag and ciphertext
 */
export function seal(secret: string, name: string, plain: string): string {
  return encrypt(derivedKey(secret, name), name, plain).toString('base64');
}

/**
 * @param secrets the one that it was sealed with, or those that it may have been sealed with (the current one and others).
 * @throws Error when the value was sealed with another secret or name, or was changed.
 */
export function unseal(secrets: string | readonly string[], name: string, sealed: string): string {
  const bytes = Buffer.from(sealed, 'base64');
  const [first = '', ...more] = typeof secrets === 'string' ? [secrets] : secrets;
  try {
    return decrypt(derivedKey(first, name), name, bytes);
  } catch (error) {
    if (more.length === 0) throw error;
    return unseal(more, name, sealed);
  }
}

/** A key of 32 bytes for one use of the secret. */
export const derivedKey = (secret: string, name: string): Buffer =>
  Buffer.from(hkdfSync('sha256', secret, '', `hub/${name}`, 32));

/** AES-256-GCM under a fresh random nonce. @returns nonce, tag and ciphertext */
export function encrypt(key: Buffer, authenticated: string, plain: string): Buffer {
  const nonce = randomBytes(NONCE);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(authenticated));
  const body = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), body]);
}

/** @throws Error when anything of it was changed, or the key or what was authenticated is another. */
export function decrypt(key: Buffer, authenticated: string, bytes: Buffer): string {
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, NONCE), { authTagLength: TAG });
  decipher.setAAD(Buffer.from(authenticated)).setAuthTag(bytes.subarray(NONCE, NONCE + TAG));
  return Buffer.concat([decipher.update(bytes.subarray(NONCE + TAG)), decipher.final()]).toString('utf8');
}
