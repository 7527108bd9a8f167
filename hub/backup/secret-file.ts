import { randomBytes, scrypt } from 'node:crypto';
import { promisify } from 'node:util';
import { z } from 'zod';
import { keyId } from '../store/key-ring.js';
import { decrypt, encrypt } from '../store/sealed.js';

const derive = promisify<string, Buffer, number, object, Buffer>(scrypt);

/** Cost of a guess: 128 MiB and about half a second (RFC 7914; N, r, p). */
const COST = { N: 2 ** 17, r: 8, p: 1 };
const MOST_MEMORY = 256 * 1024 * 1024;
const FEWEST_CHARACTERS = 12;
const FORMAT = 'hub-keys/1';

const fileSchema = z.strictObject({
  format: z.literal(FORMAT),
  /** Ids of the secrets in it. */
  keys: z.array(z.string()),
  scrypt: z.strictObject({ N: z.literal(COST.N), r: z.literal(COST.r), p: z.literal(COST.p), salt: z.base64() }),
  /** AES-256-GCM under the key that scrypt makes of the passphrase: nonce, tag, ciphertext, base64. */
  sealed: z.base64(),
});

/** Settings without which nothing that is encrypted opens. */
export interface Secrets {
  secret: string;
  previousSecrets: readonly string[];
}

const secretsSchema = z.strictObject({ secret: z.string(), previousSecrets: z.array(z.string()) });

/** @returns the secrets under a passphrase, as the text of a file @throws Error for a passphrase that is soon guessed */
export async function sealSecrets({ secret, previousSecrets }: Secrets, passphrase: string): Promise<string> {
  if ([...passphrase].length < FEWEST_CHARACTERS)
    throw new Error(`the passphrase needs ${FEWEST_CHARACTERS} characters at least`);
  const salt = randomBytes(16);
  const file: z.infer<typeof fileSchema> = {
    format: FORMAT,
    keys: [secret, ...previousSecrets].map(keyId),
    scrypt: { ...COST, salt: salt.toString('base64') } as never,
    sealed: encrypt(await keyOf(passphrase, salt), FORMAT, JSON.stringify({ secret, previousSecrets })).toString('base64'),
  };
  return `${JSON.stringify(file, undefined, 2)}\n`;
}

/** @param text of a file that `sealSecrets` wrote @throws Error when it is none, was changed, or the passphrase is another */
export async function openSecrets(text: string, passphrase: string): Promise<Secrets> {
  const file = parsed(text);
  const key = await keyOf(passphrase, Buffer.from(file.scrypt.salt, 'base64'));
  try {
    return secretsSchema.parse(JSON.parse(decrypt(key, FORMAT, Buffer.from(file.sealed, 'base64'))));
  } catch {
    throw new Error('the passphrase is another one, or the file was changed');
  }
}

function parsed(text: string): z.infer<typeof fileSchema> {
  try {
    return fileSchema.parse(JSON.parse(text));
  } catch {
    throw new Error('this is no file of keys (hub backup keys)');
  }
}

/** Texts are compared as people type them: one form of each character (NFKC). */
const keyOf = (passphrase: string, salt: Buffer): Promise<Buffer> =>
  derive(passphrase.normalize('NFKC'), salt, 32, { ...COST, maxmem: MOST_MEMORY });
