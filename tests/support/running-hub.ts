import { Client as FhirClient } from 'fhir-kit-client';
import { exportJWK, generateKeyPair, type JWK } from 'jose';
import pino from 'pino';
import supertest from 'supertest';
import { extensions, systems } from '../../fhir-profiles/codes.js';
import { bindAccount, registerClient } from '../../hub/access/authentication/accounts.js';
import type { Role } from '../../hub/access/caller.js';
import { composeHub, type Hub } from '../../hub/compose.js';
import { loadConfig } from '../../hub/config.js';
import { type DemoLogin, demoIssuer, registerDemoIdentityProvider } from '../../hub/demo/identity-provider.js';
import { signAgreement } from '../../hub/demo/sign-agreement.js';
import { signIn, systemToken } from '../../hub/demo/sign-in.js';
import type { Database } from '../../hub/store/database.js';
import type { FhirResource } from '../../hub/store/search-keys.js';
import { freePort } from './free-port.js';
import { type TestDatabase, testDatabase } from './test-database.js';

export interface TestHospital {
  id: string;
  assigner: string;
}

export interface TestPerson {
  username: string;
  /** Default: the username. */
  name?: string;
  role: Role;
  organizationId?: string;
  patientId?: string;
  /** RelatedPersons that she is. */
  relatedPersons?: string[];
}

/** A whole hub on a database of its own, on a free loopback port, driven from outside as a hospital's system or a person would. */
export interface RunningHub {
  url: string;
  db: Database;
  hub: Hub;
  /** Token of the system of an organization, by private_key_jwt; the system is registered on first use. */
  system(organizationId: string, role?: Role, purpose?: string): Promise<string>;
  /** Token of a person, by authorization code and token exchange; `enrol` first. */
  person(username: string, purpose?: string): Promise<string>;
  enrol(...people: TestPerson[]): Promise<void>;
  /** A login without account, whose national identifier the issuer has checked. */
  login(username: string, nationalIdentifier: string): void;
  fhir(token: string): FhirClient;
  http(): ReturnType<typeof supertest>;
  /** Joins organizations; the members of a consortium sign their memberships. */
  join(hospitals: readonly TestHospital[], consortium?: string): Promise<void>;
  /** An administrator of each of these hospitals signs the terms of an agreement or membership as they stand. */
  sign(agreementId: string, ...hospitals: string[]): Promise<void>;
  stop(): Promise<void>;
}

export async function startHub(
  options: { database?: TestDatabase; config?: Record<string, unknown>; password?: string; log?: pino.Logger } = {},
): Promise<RunningHub> {
  const database = options.database ?? (await testDatabase());
  const password = options.password ?? 'test-password';
  const port = await freePort();
  const publicUrl = `http://127.0.0.1:${port}`;
  const config = loadConfig(
    {},
    {
      port,
      publicUrl,
      oidcIssuer: `${publicUrl}/demo-idp`,
      outboundNetworks: ['127.0.0.0/8'],
      pollSeconds: 0.2,
      workers: 0,
      secret: 'secret-of-the-tests-only',
      researchModels: true,
      ...options.config,
    },
  );
  const people: DemoLogin[] = [];
  const log = options.log ?? pino({ level: process.env.TEST_LOG ?? 'silent' });
  const hub = await composeHub(config, {
    log,
    db: database.db,
    databaseUrl: database.url,
    extend: async (server) => void (await registerDemoIdentityProvider(server, { config, people, password })),
  });
  await hub.server.start();
  const keys = new Map<string, JWK>();
  const signatories = new Map<string, string>();
  const system = async (organizationId: string, role: Role = 'hospital-system', purpose?: string): Promise<string> => {
    const clientId = `${organizationId}.${role}`;
    const privateJwk = keys.get(clientId) ?? (await newClient(database.db, clientId, organizationId, role));
    keys.set(clientId, privateJwk);
    return systemToken({ baseUrl: publicUrl, clientId, privateJwk, scope: 'system/*.cruds', role, purpose });
  };
  const running: RunningHub = {
    url: publicUrl,
    db: database.db,
    hub,
    system,
    person: (username, purpose) => signIn({ baseUrl: publicUrl, username, password, purpose }),
    enrol: async (...given) => {
      for (const p of given) {
        people.push({ username: p.username, name: p.name ?? p.username });
        await bindAccount(database.db, {
          issuer: demoIssuer(config),
          subject: p.username,
          name: p.name ?? p.username,
          roles: [p.role],
          ...(p.organizationId ? { organizationId: p.organizationId } : {}),
          ...(p.role === 'physician' ? { practitionerId: p.username } : {}),
          ...(p.patientId ? { patientId: p.patientId } : {}),
          ...(p.relatedPersons ? { relatedPersons: p.relatedPersons } : {}),
        });
      }
    },
    login: (username, nationalIdentifier) => void people.push({ username, name: username, nationalIdentifier }),
    fhir: (token) => new FhirClient({ baseUrl: `${publicUrl}/fhir`, bearerToken: token }),
    http: () => supertest(hub.server.listener),
    join: async (hospitals, consortium) => {
      const token = await system('commission', 'hub-administrator');
      const answer = await supertest(hub.server.listener)
        .post('/fhir')
        .set('authorization', `Bearer ${token}`)
        .type('application/fhir+json')
        .send(registry(hospitals, consortium));
      if (answer.status !== 200) throw new Error(`join: ${answer.status} ${answer.text}`);
      if (consortium) for (const { id } of hospitals) await running.sign(`${consortium}.${id}`, id);
    },
    sign: async (agreementId, ...hospitals) => {
      for (const id of hospitals) {
        if (!signatories.has(id)) {
          const username = `signatory.${id}`;
          await running.enrol({ username, role: 'hospital-administrator', organizationId: id });
          signatories.set(id, await running.person(username));
        }
        await signAgreement(publicUrl, signatories.get(id) ?? '', agreementId);
      }
    },
    stop: async () => {
      await hub.stop();
      if (!options.database) await database.close();
    },
  };
  await database.db.pool.query(
    "insert into organization (id, kind, name) values ('commission', 'commission', 'commission') on conflict do nothing",
  );
  return running;
}

async function newClient(db: Database, id: string, organizationId: string, role: Role): Promise<JWK> {
  const { publicKey, privateKey } = await generateKeyPair('ES384', { extractable: true });
  await registerClient(db, {
    id,
    organizationId,
    name: id,
    jwks: { keys: [(await exportJWK(publicKey)) as never] },
    roles: [role as 'hospital-system'],
    scope: 'system/*.cruds',
  });
  return exportJWK(privateKey);
}

function registry(hospitals: readonly TestHospital[], consortium: string | undefined): FhirResource {
  const kind = (code: string) => [{ coding: [{ system: systems.organizationKind, code }] }];
  const organizations: (FhirResource & { id: string })[] = hospitals.map(({ id, assigner }) => ({
    resourceType: 'Organization',
    id,
    active: true,
    name: id,
    type: kind('hospital'),
    extension: [{ url: extensions.patientAssigner, valueUri: assigner }],
  }));
  const members: (FhirResource & { id: string })[] = hospitals.map(({ id }) => ({
    resourceType: 'OrganizationAffiliation',
    id: `${consortium}.${id}`,
    active: true,
    organization: { reference: `Organization/${consortium}` },
    participatingOrganization: { reference: `Organization/${id}` },
    code: [{ coding: [{ system: systems.affiliationKind, code: 'consortium-membership' }] }],
  }));
  const region = consortium
    ? [
        { resourceType: 'Organization', id: consortium, active: true, name: consortium, type: kind('consortium') },
        ...organizations,
        ...members,
      ]
    : organizations;
  return {
    resourceType: 'Bundle',
    type: 'transaction',
    entry: region.map((resource) => ({ resource, request: { method: 'PUT', url: `${resource.resourceType}/${resource.id}` } })),
  };
}
