import { createHmac } from 'node:crypto';
import { decrypt, derivedKey, encrypt } from './sealed.js';

/** What a key is for: values of resources, searches in the audit, or the index by which values are found. */
export type KeyPurpose = 'content' | 'audit' | 'index';

/** A stored value that does not open: it was changed, or moved, or its key is not configured. Nothing of it is shown. */
export class IntegrityFailure extends Error {
  constructor(
    /** The record that holds the value, such as `Patient/123`. */
    readonly place: string,
  ) {
    super('a stored value can not be opened');
    this.name = 'IntegrityFailure';
  }
}

/** Keys of the configured secrets by id. What is written goes under the current one; what lies under another is still read and found. */
export interface KeyRing {
  /** Id of the key that is written with. */
  readonly current: string;
  /** All ids, the current one first. */
  readonly ids: readonly string[];
  /** `<key id>.<base64url>`: AES-256-GCM under a key of this place alone, bound to the position in it. */
  seal(purpose: KeyPurpose, place: string, position: string, plain: string): string;
  /** @throws {IntegrityFailure} when it was not sealed for this purpose, place and position under a key of the ring. */
  open(purpose: KeyPurpose, place: string, position: string, sealed: string): string;
  /** `<key id>.<132 bits of HMAC-SHA-256>` under each key, the current one first: equal for equal texts, and says nothing else of them. */
  digests(text: string): string[];
  /** The key of a purpose, to be kept under another secret when its own is given up. */
  exportKey(id: string, purpose: KeyPurpose): Buffer;
  /** A key that was kept: it opens, and is never written with. */
  addKept(id: string, purpose: KeyPurpose, key: Buffer): void;
}

/** What a secret is called where it must not be shown. */
export const keyId = (secret: string): string => derivedKey(secret, 'key-id').toString('hex').slice(0, 8);

/**
 * @param secrets the current one, then others that values may lie under: a previous one, or the next one before every process writes with it.
 */
export function createKeyRing(secrets: readonly [string, ...string[]]): KeyRing {
  const roots = new Map(secrets.map((secret) => [keyId(secret), secret]));
  const ids = [...roots.keys()];
  const current = ids[0] as string;
  const keys = new Map<string, Buffer>();
  for (const [id, secret] of roots)
    for (const purpose of ['content', 'audit', 'index'] as const)
      keys.set(`${id} ${purpose}`, derivedKey(secret, `at-rest/${purpose}`));
  const keyOf = (id: string, purpose: KeyPurpose): Buffer | undefined => keys.get(`${id} ${purpose}`);
  /** A key of its own for each place, so that the random nonces of one key never grow many. */
  const keyFor = (key: Buffer, place: string): Buffer => createHmac('sha256', key).update(place).digest();
  return {
    current,
    ids,
    seal(purpose, place, position, plain) {
      const bytes = encrypt(keyFor(keyOf(current, purpose) as Buffer, place), position, plain);
      return `${current}.${bytes.toString('base64url')}`;
    },
    open(purpose, place, position, sealed) {
      const [id = '', body = ''] = sealed.split('.');
      const key = keyOf(id, purpose);
      if (!key) throw new IntegrityFailure(place);
      try {
        return decrypt(keyFor(key, place), position, Buffer.from(body, 'base64url'));
      } catch {
        throw new IntegrityFailure(place);
      }
    },
    digests: (text) =>
      ids.map((id) => {
        const mac = createHmac('sha256', keyOf(id, 'index') as Buffer)
          .update(text)
          .digest('base64url');
        return `${id}.${mac.slice(0, 22)}`;
      }),
    exportKey(id, purpose) {
      const key = keyOf(id, purpose);
      if (!key) throw new Error('there is no such key');
      return key;
    },
    addKept(id, purpose, key) {
      if (!keys.has(`${id} ${purpose}`)) keys.set(`${id} ${purpose}`, key);
    },
  };
}
