import { calculateJwkThumbprint, type CryptoKey, exportJWK, generateKeyPair, importJWK, type JWK } from 'jose';
import type { Database, Queryable } from '../../store/database.js';
import { sql } from '../../store/sql.js';
import { seal, unseal } from '../../store/sealed.js';

/** A key pair that the hub signs with. */
export interface SigningKey {
  kid: string;
  publicJwk: JWK;
  privateKey: CryptoKey;
}

export const SIGNING_ALGORITHM = 'ES256';
/** One key for each use, so that what one signs can never pass for the other. */
export type KeyName = 'token-signing-key' | 'audit-signing-key';

/** The configured secret, or it and others that a key may still be sealed with. */
export type Secrets = string | readonly [string, ...string[]];

interface StoredKey {
  publicJwk: JWK & { kid: string };
  sealed: string;
}

/**
 * The hub's key, made on first start; however many processes start at once, all get the same one. At rest its private part is sealed
 * with the configured secret.
 * @throws Error when none is the one that it was sealed with
 */
export async function loadSigningKey(db: Database, secrets: Secrets, name: KeyName = 'token-signing-key'): Promise<SigningKey> {
  const current = typeof secrets === 'string' ? secrets : secrets[0];
  const { publicJwk, sealed } = (await find(db, name)) ?? (await create(db, current, name));
  const privateKey = (await importJWK(open(secrets, name, sealed), SIGNING_ALGORITHM)) as CryptoKey;
  return { kid: publicJwk.kid, publicJwk, privateKey };
}

function open(secrets: Secrets, name: KeyName, sealed: string): JWK {
  try {
    return JSON.parse(unseal(secrets, name, sealed)) as JWK;
  } catch {
    throw new Error(
      `the ${name} in hub_secret was sealed with another secret: set that one, or delete the row to have a new key made`,
    );
  }
}

async function find(on: Queryable, name: KeyName): Promise<StoredKey | undefined> {
  const [row] = await on.query<{ value: StoredKey }>(sql`select value from hub_secret where name = ${name}`);
  return row?.value;
}

async function create(db: Database, secret: string, name: KeyName): Promise<StoredKey> {
  const pair = await generateKeyPair(SIGNING_ALGORITHM, { extractable: true });
  const publicJwk = await exportJWK(pair.publicKey);
  const kid = await calculateJwkThumbprint(publicJwk);
  const key: StoredKey = {
    publicJwk: { ...publicJwk, kid, use: 'sig', alg: SIGNING_ALGORITHM },
    sealed: seal(secret, name, JSON.stringify(await exportJWK(pair.privateKey))),
  };
  await db.query(sql`insert into hub_secret (name, value) values (${name}, ${JSON.stringify(key)}) on conflict do nothing`);
  return (await find(db, name)) as StoredKey;
}
