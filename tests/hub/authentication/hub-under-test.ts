import Hapi, { type Server } from '@hapi/hapi';
import { exportJWK, generateKeyPair, type JWK } from 'jose';
import pino from 'pino';
import { bindAccount, registerClient } from '../../../hub/access/authentication/accounts.js';
import { callerOfRequest } from '../../../hub/access/authentication/bearer-scheme.js';
import { registerAuthentication } from '../../../hub/access/authentication/register-authentication.js';
import { type AuditWriter, openAudit } from '../../../hub/audit/record.js';
import type { Audit } from '../../../hub/audit/vocabulary.js';
import { type Config, loadConfig } from '../../../hub/config.js';
import { type DemoLogin, demoIssuer, registerDemoIdentityProvider } from '../../../hub/demo/identity-provider.js';
import { outcome, Refusal } from '../../../hub/outcomes.js';
import type { Database } from '../../../hub/store/database.js';
import { sql } from '../../../hub/store/sql.js';
import { freePort } from '../../support/free-port.js';
import { testDatabase } from '../../support/test-database.js';

export interface HubUnderTest {
  server: Server;
  config: Config;
  db: Database;
  audit: AuditWriter;
  baseUrl: string;
  close(): Promise<void>;
}

/** A listening hub with authentication and one protected route, `GET /whoami`, which answers the caller. */
export async function startHub(
  options: {
    config?: Record<string, unknown>;
    oidcIssuer?: string;
    people?: DemoLogin[];
    audit?: Partial<Audit>;
    secret?: string;
  } = {},
): Promise<HubUnderTest> {
  const { db, url, close } = await testDatabase();
  const port = await freePort();
  const publicUrl = `http://127.0.0.1:${port}`;
  const oidcIssuer = options.people ? demoIssuer({ publicUrl }) : options.oidcIssuer;
  const config = loadConfig({}, { port, publicUrl, oidcIssuer, outboundNetworks: ['127.0.0.0/8'], ...options.config });
  const audit = await openAudit(db, url);
  const server = Hapi.server({ host: '127.0.0.1', port, debug: false });
  server.ext('onPreResponse', ({ response }, h) =>
    response instanceof Refusal ? h.response(outcome(response.issues)).code(response.status) : h.continue,
  );
  const log = pino({ level: 'silent' });
  await registerAuthentication(server, { config, db, audit: { ...audit, ...options.audit }, log, keySetCooldown: 0 });
  server.route({ method: 'GET', path: '/whoami', handler: (request) => ({ ...callerOfRequest(request) }) });
  if (options.people) await registerDemoIdentityProvider(server, { config, people: options.people, password: 'demo' });
  await server.start();
  return {
    server,
    config,
    db,
    audit,
    baseUrl: publicUrl,
    close: async () => {
      await server.stop({ timeout: 100 });
      await audit.close();
      await close();
    },
  };
}

export async function addOrganization(db: Database, id: string, active = true): Promise<void> {
  await db.query(sql`insert into organization (id, kind, name, active) values (${id}, 'hospital', ${id}, ${active})`);
}

/** A key pair as JWKs, with a `kid`. */
export async function newKeys(alg: string, kid = 'key-1'): Promise<{ privateJwk: JWK; publicJwk: JWK }> {
  const pair = await generateKeyPair(alg, { extractable: true });
  const named = (jwk: JWK) => ({ ...jwk, kid, alg });
  return { privateJwk: named(await exportJWK(pair.privateKey)), publicJwk: named(await exportJWK(pair.publicKey)) };
}

export async function addPhysician(hub: HubUnderTest, issuer: string, subject: string, organizationId: string): Promise<void> {
  await bindAccount(hub.db, { issuer, subject, name: subject, organizationId, practitionerId: subject, roles: ['physician'] });
}

export async function addClient(hub: HubUnderTest, id: string, organizationId: string, alg = 'ES384') {
  const keys = await newKeys(alg);
  await registerClient(hub.db, {
    id,
    organizationId,
    name: id,
    // biome-ignore lint/suspicious/noExplicitAny: the registration checks the keys' shape itself
    jwks: { keys: [keys.publicJwk as any] },
    roles: ['hospital-system'],
    scope: 'system/ImagingStudy.cruds system/Patient.rs',
  });
  return keys;
}

/** Newest first. */
export function auditEntries(
  hub: HubUnderTest,
): Promise<{ type: string; outcome: number; agent: string; detail: string; entity: string[] }[]> {
  return hub.db.query(sql`select type, outcome, agent, detail, entity from audit_event order by id desc`);
}
