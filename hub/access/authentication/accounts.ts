import { importJWK, type JWK } from 'jose';
import { z } from 'zod';
import { invalid } from '../../outcomes.js';
import type { AccountRecord, ClientRecord } from '../../store/entities.js';
import type { Queryable } from '../../store/database.js';
import { newId } from '../../store/resources.js';
import { sql } from '../../store/sql.js';
import { ROLES } from '../caller.js';
import { CLIENT_ID } from './client-id.js';
import { MAX_SCOPE_LENGTH, scopeCovers } from './scopes.js';

const id = z.string().regex(/^[A-Za-z0-9.-]{1,64}$/, 'must be a FHIR id');
const name = z.string().trim().min(1).max(200);

const account = z
  .strictObject({
    issuer: z.url(),
    /** OpenID Connect Core 2: at most 255 ASCII characters. */
    subject: z.string().regex(/^[\x21-\x7e]{1,255}$/),
    name,
    organizationId: id.optional(),
    practitionerId: id.optional(),
    patientId: id.optional(),
    relatedPersons: z.array(id).max(50).default([]),
    roles: z.array(z.enum(ROLES)).min(1),
    enabled: z.boolean().default(true),
  })
  .refine((a) => !a.roles.includes('hospital-system'), 'hospital-system is a role of systems')
  .refine(
    (a) => !a.roles.includes('patient') || a.patientId || a.relatedPersons.length > 0,
    'the role patient needs patientId, or relatedPersons of a guardian',
  )
  .refine((a) => a.roles.includes('patient') || a.relatedPersons.length === 0, 'relatedPersons are for the role patient')
  .refine((a) => !a.roles.includes('physician') || a.practitionerId, 'the role physician needs practitionerId')
  .refine((a) => a.roles.every((r) => r === 'patient') || a.organizationId, 'needs organizationId');

/** RFC 7517 members of public signing keys; any private or symmetric one is refused. */
const publicKey = z.discriminatedUnion('kty', [
  z.object({ kty: z.literal('RSA'), n: z.string().min(342, 'RSA keys have at least 2048 bits'), e: z.string(), ...shared() }),
  z.object({ kty: z.literal('EC'), crv: z.enum(['P-256', 'P-384']), x: z.string(), y: z.string(), ...shared() }),
]);

const client = z
  .strictObject({
    id: z.string().regex(CLIENT_ID),
    organizationId: id,
    name,
    jwks: z.object({ keys: z.array(publicKey).min(1).max(20) }).optional(),
    jwksUri: z.url({ protocol: /^https?$/ }).optional(),
    roles: z.array(z.enum(ROLES).exclude(['patient', 'physician'])).min(1),
    scope: z.string().max(MAX_SCOPE_LENGTH),
    enabled: z.boolean().default(true),
  })
  .refine((c) => Boolean(c.jwks) !== Boolean(c.jwksUri), 'needs either jwks or jwksUri')
  .refine((c) => scopeCovers('system/*.cruds', c.scope), 'scope: only system scopes of SMART v1 or v2');

/**
 * Creates or replaces the account of a person, found by (issuer, subject). An act of an administrator: the caller writes the audit entry
 * in the same transaction. @throws {Refusal} 400 that names what is wrong
 */
export async function bindAccount(tx: Queryable, given: z.input<typeof account>): Promise<AccountRecord> {
  const a = parsed(account, given);
  const [row] = await tx.query<{ id: string }>(sql`
    insert into account (id, issuer, subject, name, organization_id, practitioner_id, patient_id, related_persons, roles, enabled)
    values (${newId()}, ${a.issuer}, ${a.subject}, ${a.name}, ${a.organizationId ?? null}, ${a.practitionerId ?? null}, ${a.patientId ?? null}, ${a.relatedPersons}, ${a.roles}, ${a.enabled})
    on conflict (issuer, subject) do update set name = excluded.name, organization_id = excluded.organization_id,
      practitioner_id = excluded.practitioner_id, patient_id = excluded.patient_id,
      related_persons = excluded.related_persons, roles = excluded.roles, enabled = excluded.enabled
    returning id`);
  return {
    ...a,
    id: (row as { id: string }).id,
    organizationId: a.organizationId ?? null,
    practitionerId: a.practitionerId ?? null,
    patientId: a.patientId ?? null,
  };
}

/**
 * Registers a system, or replaces its registration, by its client id (SMART Backend Services, "Registering a client"): its public keys or
 * the address that publishes them, its roles, its scope. The caller writes the audit entry. @throws {Refusal} 400 that names what is wrong
 */
export async function registerClient(tx: Queryable, given: z.input<typeof client>): Promise<ClientRecord> {
  const c = parsed(client, given);
  for (const key of c.jwks?.keys ?? []) await assertIsKey(key);
  await tx.query(sql`
    insert into client (id, organization_id, name, jwks, jwks_uri, roles, scope, enabled)
    values (${c.id}, ${c.organizationId}, ${c.name}, ${c.jwks ? JSON.stringify(c.jwks) : null}, ${c.jwksUri ?? null}, ${c.roles}, ${c.scope}, ${c.enabled})
    on conflict (id) do update set organization_id = excluded.organization_id, name = excluded.name, jwks = excluded.jwks,
      jwks_uri = excluded.jwks_uri, roles = excluded.roles, scope = excluded.scope, enabled = excluded.enabled`);
  return { ...c, jwks: c.jwks ?? null, jwksUri: c.jwksUri ?? null };
}

async function assertIsKey(key: JWK): Promise<void> {
  const algorithm = key.kty === 'RSA' ? 'RS384' : key.crv === 'P-384' ? 'ES384' : 'ES256';
  await importJWK(key, algorithm).catch(() => {
    throw invalid('jwks.keys: not a key');
  });
}

function shared() {
  const never = z.undefined({ error: 'a private key does not belong here' }).optional();
  return {
    kid: z.string().max(200).optional(),
    use: z.literal('sig').optional(),
    alg: z.string().max(20).optional(),
    key_ops: z.array(z.string()).max(4).optional(),
    d: never,
  };
}

function parsed<T extends z.ZodType>(schema: T, given: z.input<T>): z.output<T> {
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  throw invalid(result.error.issues.map((i) => [i.path.join('.'), i.message].filter(Boolean).join(': ')).join('; '));
}
