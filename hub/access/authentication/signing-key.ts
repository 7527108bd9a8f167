import { calculateJwkThumbprint, type CryptoKey, exportJWK, generateKeyPair, importJWK, type JWK } from 'jose';
import type { Database, Queryable } from '../../store/database.js';
import { sql } from '../../store/sql.js';
import { seal, unseal } from './sealed.js';

/** A key pair that the hub signs with. */
export interface SigningKey {
  kid: string;
  publicJwk: JWK;
  privateKey: CryptoKey;
}

export const SIGNING_ALGORITHM = 'ES256';
/** One key for each use, so that what one signs can never pass for the other. */
export type KeyName = 'token-signing-key' | 'audit-signing-key';

interface StoredKey {
  publicJwk: JWK & { kid: string };
  sealed: string;
}

/**
 * The hub's key, made on first start; however many processes start at once, all get the same one. At rest its private part is sealed
 * with the configured secret. @throws Error when the secret is not the one that it was sealed with
 */
export async function loadSigningKey(db: Database, secret: string, name: KeyName = 'token-signing-key'): Promise<SigningKey> {
  const { publicJwk, sealed } = (await find(db, name)) ?? (await create(db, secret, name));
  const privateKey = (await importJWK(open(secret, name, sealed), SIGNING_ALGORITHM)) as CryptoKey;
  return { kid: publicJwk.kid, publicJwk, privateKey };
}

function open(secret: string, name: KeyName, sealed: string): JWK {
  try {
    return JSON.parse(unseal(secret, name, sealed)) as JWK;
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
