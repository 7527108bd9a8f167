import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';

const NONCE = 12;
const TAG = 16;

/**
 * Encrypts for the hub's own eyes: AES-256-GCM under a key that HKDF-SHA256 derives from the configured secret for this `name`, which
 * is also authenticated, so that one sealed value can't be put in the place of another. @returns base64 of nonce, tag and ciphertext
 */
export function seal(secret: string, name: string, plain: string): string {
  const nonce = randomBytes(NONCE);
  const cipher = createCipheriv('aes-256-gcm', keyFor(secret, name), nonce).setAAD(Buffer.from(name));
  const body = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), body]).toString('base64');
}

/** @throws Error when the value was sealed with another secret or name, or was changed. */
export function unseal(secret: string, name: string, sealed: string): string {
  const bytes = Buffer.from(sealed, 'base64');
  const decipher = createDecipheriv('aes-256-gcm', keyFor(secret, name), bytes.subarray(0, NONCE), { authTagLength: TAG });
  decipher.setAAD(Buffer.from(name)).setAuthTag(bytes.subarray(NONCE, NONCE + TAG));
  return Buffer.concat([decipher.update(bytes.subarray(NONCE + TAG)), decipher.final()]).toString('utf8');
}

function keyFor(secret: string, name: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, '', `hub/${name}`, 32));
}
