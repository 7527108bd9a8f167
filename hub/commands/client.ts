import { writeFileSync } from 'node:fs';
import { calculateJwkThumbprint, exportJWK, generateKeyPair } from 'jose';
import { ClientEntity } from '../store/entities.js';
import { table, withDatabase } from './operate.js';

/**
 * `hub client keygen FILE`: a key pair for a system that signs in by `private_key_jwt` (SMART Backend Services, ES384). The private key is
 * written to a new file that only its owner reads; the public key is printed as the `jwks` of a hospital's record (RFC 7517).
 */
export async function createClientKey(file: string): Promise<void> {
  const { publicKey, privateKey } = await generateKeyPair('ES384', { extractable: true });
  const publicJwk = await exportJWK(publicKey);
  const named = { kid: await calculateJwkThumbprint(publicJwk), alg: 'ES384', use: 'sig' };
  writeFileSync(file, `${JSON.stringify({ ...(await exportJWK(privateKey)), ...named })}\n`, { mode: 0o600, flag: 'wx' });
  console.log(JSON.stringify({ keys: [{ ...publicJwk, ...named }] }));
}

/** `hub client list`. */
export async function listClients(): Promise<void> {
  const clients = await withDatabase((db) => db.dataSource.getRepository(ClientEntity).find({ order: { id: 'ASC' } }));
  if (clients.length === 0) return console.log('no client is registered yet');
  console.log(
    table(
      clients.map(({ id, organizationId, roles, scope, enabled }) => ({
        id,
        organizationId,
        roles: roles.join(','),
        scope,
        enabled,
      })),
    ),
  );
}
