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
  const { role, purpose } = options;
  if (options.as) {
    console.log(await signIn({ baseUrl, username: options.as, password: DEMO_PASSWORD, role, purpose }));
    return;
  }
  if (!options.client || !options.key) throw new Error('say --as USERNAME, or --client ID with --key FILE');
  const privateJwk = JSON.parse(readFileSync(options.key, 'utf8')) as JWK;
  console.log(await systemToken({ baseUrl, clientId: options.client, privateJwk, scope: options.scope, role, purpose }));
}
