import { readFileSync } from 'node:fs';
import type { JWK } from 'jose';
import { loadConfig } from '../config.js';
import { DEMO_PASSWORD } from '../demo/region.js';
import { signIn, systemToken } from '../demo/sign-in.js';

interface TokenOptions {
  as?: string;
  client?: string;
  key?: string;
  role?: string;
  purpose?: string;
  scope: string;
  url?: string;
}

/** `hub token`: prints an access token of a running hub, got the way any client gets it. */
export async function printToken(options: TokenOptions): Promise<void> {
  const baseUrl = options.url ?? loadConfig().publicUrl;
  console.log(await tokenFor(options, baseUrl).catch((error) => Promise.reject(withAddress(error, baseUrl))));
}

async function tokenFor({ as, client, key, role, purpose, scope }: TokenOptions, baseUrl: string): Promise<string> {
  if (as) return signIn({ baseUrl, username: as, password: DEMO_PASSWORD, role, purpose });
  if (!client || !key) throw new Error('say --as USERNAME, or --client ID with --key FILE');
  return systemToken({ baseUrl, clientId: client, privateJwk: privateKeyIn(key), scope, role, purpose });
}

function privateKeyIn(file: string): JWK {
  const text = readFileSync(file, 'utf8');
  try {
    return JSON.parse(text) as JWK;
  } catch {
    throw new Error(`${file} holds no JSON Web Key`);
  }
}

/** `fetch` says of a hub that is down only that it failed. */
const withAddress = (error: Error, baseUrl: string): Error =>
  error instanceof TypeError && error.message === 'fetch failed' ? new Error(`no hub answers at ${baseUrl}`) : error;
