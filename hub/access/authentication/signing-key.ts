import { calculateJwkThumbprint, type CryptoKey, exportJWK, generateKeyPair, importJWK, type JWK } from 'jose';
import type { Database, Queryable } from '../../store/database.js';
import { sql } from '../../store/sql.js';
import { seal, unseal } from './sealed.js';

/** The key pair that signs the hub's own access tokens. */
export interface SigningKey {
  kid: string;
  publicJwk: JWK;
  privateKey: CryptoKey;
}

export const SIGNING_ALGORITHM = 'ES256';
const NAME = 'token-signing-key';

interface StoredKey {
  publicJwk: JWK & { kid: string };
  sealed: string;
}

/**
 * The hub's key, made on first start; however many processes start at once, all get the same one. At rest its private part is sealed
 * with the configured secret. @throws Error when the secret is not the one that it was sealed with
 */
export async function loadSigningKey(db: Database, secret: string): Promise<SigningKey> {
  const { publicJwk, sealed } = (await find(db)) ?? (await create(db, secret));
  const privateKey = (await importJWK(open(secret, sealed), SIGNING_ALGORITHM)) as CryptoKey;
  return { kid: publicJwk.kid, publicJwk, privateKey };
}

function open(secret: string, sealed: string): JWK {
  try {
    return JSON.parse(unseal(secret, NAME, sealed)) as JWK;
  } catch {
    throw new Error(
      `the ${NAME} in hub_secret was sealed with another secret: set that one, or delete the row to have a new key made`,
    );
  }
}

async function find(on: Queryable): Promise<StoredKey | undefined> {
  const [row] = await on.query<{ value: StoredKey }>(sql`select value from hub_secret where name = ${NAME}`);
  return row?.value;
}

async function create(db: Database, secret: string): Promise<StoredKey> {
  const pair = await generateKeyPair(SIGNING_ALGORITHM, { extractable: true });
  const publicJwk = await exportJWK(pair.publicKey);
  const kid = await calculateJwkThumbprint(publicJwk);
  const key: StoredKey = {
    publicJwk: { ...publicJwk, kid, use: 'sig', alg: SIGNING_ALGORITHM },
    sealed: seal(secret, NAME, JSON.stringify(await exportJWK(pair.privateKey))),
  };
  await db.query(sql`insert into hub_secret (name, value) values (${NAME}, ${JSON.stringify(key)}) on conflict do nothing`);
  return (await find(db)) as StoredKey;
}
