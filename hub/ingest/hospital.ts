import { z } from 'zod';
import { extensions, systems } from '../../fhir-profiles/codes.js';
import { registerClient } from '../access/authentication/accounts.js';
import type { RequestAccess } from '../access/decision.js';
import type { AgreementDeps } from '../access/agreements/agreements.js';
import { affiliationWriter, organizationWriter } from '../access/agreements/registry-writers.js';
import type { ResourceWriter } from '../access/write-request.js';
import { insertEntries } from '../audit/insert-entries.sql.js';
import { assertRules, scoringRules } from '../jobs/scoring-rules.js';
import { conflict, invalid } from '../outcomes.js';
import type { Database, Queryable } from '../store/database.js';
import { findResource, toResource } from '../store/resources.js';
import type { FhirResource } from '../store/search-keys.js';
import { raw, sql } from '../store/sql.js';
import { sealSettings } from './credentials.js';
import { checkSettings } from './open-source.js';

const id = z.string().regex(/^[A-Za-z0-9.-]{1,64}$/, 'must be a FHIR id');

const name = z.string().trim().min(1).max(200);

const source = z.strictObject({
  id: id.optional(),
  kind: z.string(),
  /** Of its kind, see `connectorSettings`; `auth` is stored encrypted. */
  settings: z.record(z.string(), z.unknown()),
  /** Rules by which models score studies of the hospital without being asked. */
  autoScore: scoringRules.optional(),
  /** The hub may have this archive keep objects: studies that are delivered to the hospital, and what its own people store. */
  store: z.boolean().optional(),
  /** With `store`: scores of the hospital's studies are filed there as structured reports. */
  storeResults: z.boolean().optional(),
  /** What the hospital's own objects call its assigners: Issuer of Patient ID (0010,0021), and the local namespace of its accession numbers. */
  issuers: z
    .strictObject({ patientId: z.string().min(1).max(64).optional(), accessionNumber: z.string().min(1).max(64).optional() })
    .optional(),
  /** Priors of other hospitals are delivered before an appointment: at most so many, not older than so many years, so many hours before. */
  prefetch: z
    .strictObject({
      most: z.int().min(1).max(20).default(3),
      years: z.int().min(1).max(50).default(5),
      hoursBefore: z.int().min(0).max(720).default(24),
    })
    .optional(),
  /** The secret by which the archive announces that something changed in it; stored encrypted. */
  notifyToken: z
    .string()
    .regex(/^[\w.~+/=-]{24,256}$/, 'must be 24 to 256 letters, digits or . ~ + / = - _')
    .optional(),
});

const hospital = z.strictObject({
  id,
  name,
  /** Id of the consortium's Organization, which must exist; or its id and name, and it is made where there is none. */
  consortium: z.union([id, z.strictObject({ id, name })]).optional(),
  /** System (URI) of the hospital's own patient numbers. */
  assigner: z.url().max(500),
  sources: z.array(source).max(20).default([]),
  /** The hospital's system that pushes records: client id, and its public keys or their address. */
  client: z
    .strictObject({
      id: z.string(),
      jwks: z.unknown().optional(),
      jwksUri: z.string().optional(),
      roles: z.array(z.string()).default(['hospital-system']),
      scope: z.string().default('system/*.cruds'),
    })
    .optional(),
  autoScore: source.shape.autoScore,
});

/** A hospital's record, as `hub hospital add` takes it. */
export type HospitalRecord = z.input<typeof hospital>;

export interface HospitalConfig {
  /** Root secret that credentials of sources are encrypted under. */
  secret: string;
  utcOffset: string;
}

/**
 * Joins a hospital, or brings its record up to date: Organization, membership, sources and client in one transaction. Running it twice changes
 * nothing more; sources that the record leaves out stay as they are.
 * @returns the id of the membership while it waits for the signature of the hospital's administrator. @throws Refusal 400, 409 or 422 that names what is wrong.
 */
export async function addHospital(db: Database, given: HospitalRecord, config: HospitalConfig): Promise<string | undefined> {
  const record = parsed(hospital, given);
  return db.transaction(async (tx) => {
    await put(tx, organizationWriter(registry(config.utcOffset)), await organizationOf(tx, record));
    const unsigned = record.consortium ? await enter(tx, record.id, record.consortium, config.utcOffset) : undefined;
    for (const [i, one] of record.sources.entries())
      await putSource(
        tx,
        { autoScore: record.autoScore, ...one, id: one.id ?? `${record.id}.${i + 1}`, organizationId: record.id },
        config.secret,
      );
    await assertOneStore(tx, record.id);
    if (record.client)
      await registerClient(tx, { ...record.client, name: record.name, organizationId: record.id } as Parameters<
        typeof registerClient
      >[1]);
    await recordAct(tx, 'hospital-add', record.id, [`Organization/${record.id}`]);
    return unsigned;
  });
}

/** Enters the health commission, for which its officers, auditors and the hub's administrators act. @throws Refusal 400 that names what is wrong. */
export async function addCommission(
  db: Database,
  given: { id: string; name: string },
  { utcOffset }: Pick<HospitalConfig, 'utcOffset'>,
): Promise<void> {
  const record = parsed(hospital.pick({ id: true, name: true }), given);
  await db.transaction(async (tx) => {
    await put(tx, organizationWriter(registry(utcOffset)), organizationResource(record.id, record.name, 'commission'));
    await recordAct(tx, 'commission-add', record.id, [`Organization/${record.id}`]);
  });
}

export interface NewSource extends z.input<typeof source> {
  id: string;
  organizationId: string;
}

/**
 * Adds a source of a hospital, or changes its settings; running hubs begin to read it within seconds.
 * @param secret the configured secret; needed when the settings hold credentials.
 * @throws Refusal 400 that names what is wrong, 409 when the id is another hospital's.
 */
export async function addSource(db: Database, { organizationId, ...given }: NewSource, secret?: string): Promise<void> {
  const checked = parsed(source.required({ id: true }), given);
  await db.transaction(async (tx) => {
    await putSource(tx, { ...checked, organizationId }, secret);
    await assertOneStore(tx, organizationId);
    await recordAct(tx, 'source-add', organizationId, [`Connector/${checked.id}`]);
  });
}

async function putSource(
  tx: Queryable,
  { id, organizationId, kind, settings, autoScore, store, storeResults, issuers, prefetch, notifyToken }: NewSource,
  secret?: string,
): Promise<void> {
  checkSettings(kind, settings);
  await assertRules(autoScore);
  const stored = sealSettings(secret, id, { ...settings, notifyToken });
  if (prefetch && !store) throw invalid('prefetch: priors go to the source that keeps what the hub stores (store: true)');
  if (storeResults && !store)
    throw invalid('storeResults: results go to the source that keeps what the hub stores (store: true)');
  const ofHub = compact({ autoScore, store: store || undefined, storeResults: storeResults || undefined, issuers, prefetch });
  const known = await tx.query(sql`select 1 from organization where id = ${organizationId}`);
  if (known.length === 0) throw invalid('There is no such organization.', 'organizationId');
  const rows = await tx.query(sql`
    insert into connector as c (id, organization_id, kind, settings, secrets)
    values (${id}, ${organizationId}, ${kind}, ${JSON.stringify({ ...stored.settings, ...ofHub })}, ${stored.secrets})
    on conflict (id) do update set kind = excluded.kind, settings = excluded.settings, secrets = excluded.secrets, enabled = true
    where c.organization_id = excluded.organization_id returning 1`);
  if (rows.length === 0) throw conflict(`The source ${id} is another hospital's.`);
}

const compact = (settings: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));

/** What a hospital has kept goes to one place, so that nobody has to look in two. */
async function assertOneStore(tx: Queryable, organizationId: string): Promise<void> {
  const stores = await tx.query<{ id: string }>(sql`
    select id from connector where organization_id = ${organizationId} and enabled and settings @> '{"store": true}' order by id`);
  if (stores.length > 1)
    throw invalid(`store: one source of a hospital keeps what the hub stores, not ${stores.map(({ id }) => id).join(' and ')}`);
}

/** The Organization that stands, with what the record says. */
async function organizationOf(
  tx: Queryable,
  { id, name, assigner }: z.output<typeof hospital>,
): Promise<FhirResource & { id: string }> {
  const current = await findResource(tx, 'Organization', id);
  const before: FhirResource = current && !current.deleted ? toResource(current) : { resourceType: 'Organization' };
  const others = ((before.extension ?? []) as { url: string }[]).filter((e) => e.url !== extensions.patientAssigner);
  return {
    ...before,
    id,
    active: true,
    name,
    type: [{ coding: [{ system: systems.organizationKind, code: 'hospital' }] }],
    extension: [...others, { url: extensions.patientAssigner, valueUri: assigner }],
  };
}

/** Enters the hospital as a member of its consortium, and founds one that is named and not there yet. The hospital's own administrator signs the membership. */
async function enter(
  tx: Queryable,
  hospitalId: string,
  consortium: NonNullable<z.output<typeof hospital>['consortium']>,
  utcOffset: string,
): Promise<string | undefined> {
  const { id, name } = typeof consortium === 'string' ? { id: consortium, name: undefined } : consortium;
  const known = await tx.query(sql`select 1 from organization where id = ${id}`);
  if (known.length === 0 && name === undefined) throw invalid(`consortium: there is no ${id}; give its id and name to found it`);
  if (known.length === 0 && name !== undefined)
    await await put(tx, organizationWriter(registry(utcOffset)), organizationResource(id, name, 'consortium'));
  const membership = membershipOf(hospitalId, id);
  await put(tx, affiliationWriter(registry(utcOffset)), membership);
  const signed = await tx.query(sql`select from consortium_member where affiliation_id = ${membership.id}`);
  return signed.length > 0 ? undefined : membership.id;
}

const organizationResource = (id: string, name: string, kind: 'consortium' | 'commission'): FhirResource & { id: string } => ({
  resourceType: 'Organization',
  id,
  active: true,
  name,
  type: [{ coding: [{ system: systems.organizationKind, code: kind }] }],
});

const membershipOf = (hospitalId: string, consortiumId: string): FhirResource & { id: string } => ({
  resourceType: 'OrganizationAffiliation',
  id: `${consortiumId}.${hospitalId}`.slice(0, 64),
  active: true,
  organization: { reference: `Organization/${consortiumId}` },
  participatingOrganization: { reference: `Organization/${hospitalId}` },
  code: [{ coding: [{ system: systems.affiliationKind, code: 'consortium-membership' }] }],
});

/** What was signed under a charter or terms that a record changes is void, which is on record too. */
const registry = (utcOffset: string): AgreementDeps => ({
  utcOffset,
  audit: { append: async (tx, entries) => void (await tx.query(insertEntries(entries))) },
});

/** Writes a registry entry by its writer, which keeps the policy's facts in step. The operator's command line asks no policy. */
async function put(tx: Queryable, writer: ResourceWriter, resource: FhirResource & { id: string }): Promise<void> {
  const current = await findResource(tx, resource.resourceType, resource.id);
  const request = { caller: OPERATOR, context: { requestId: 'operator', address: '' }, access: NOTHING, resource };
  if (current) await writer.update(tx, { ...request, current });
  else await writer.create(tx, [request]);
}

const OPERATOR = {
  id: 'Account/operator',
  kind: 'person',
  name: 'operator',
  organizationId: '',
  role: 'hub-administrator',
  purposeOfUse: 'HOPERAT',
  clientId: 'command-line',
  scope: '',
  authenticatedAt: 0,
} as const;

const refusal = { allowed: false, mayKnow: false, rule: 'operator', evidence: [] };
const NOTHING: RequestAccess = {
  filter: () => raw('false'),
  ways: () => [],
  evidence: raw('null as evidence'),
  decide: () => refusal,
  decideGeneral: () => refusal,
};

async function recordAct(tx: Queryable, subtype: string, organizationId: string, entity: string[]): Promise<void> {
  const { id: agent, name: agentName, role } = OPERATOR;
  await tx.query(
    insertEntries([
      {
        type: 'ingest',
        subtype,
        action: 'C',
        outcome: 0,
        agent,
        agentName,
        role,
        organizationId,
        custodianId: organizationId,
        entity,
        requestId: 'operator',
      },
    ]),
  );
}

function parsed<T extends z.ZodType>(schema: T, given: unknown): z.output<T> {
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  throw invalid(result.error.issues.map((i) => [i.path.join('.'), i.message].filter(Boolean).join(': ')).join('; '));
}
