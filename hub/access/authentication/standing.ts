import type { Database, Queryable } from '../../store/database.js';
import { type Sql, sql } from '../../store/sql.js';
import type { Caller, Role } from '../caller.js';
import { cachedFor } from './bounded-cache.js';

/** What the registry knows of a person or system: the source of every organization and role that a caller can have. */
export interface Standing {
  /** `Account/x` or `Client/x`: what the hub's own tokens name as their subject. */
  subject: string;
  kind: 'person' | 'system';
  name: string;
  organizationId: string;
  /** False when the organization is suspended or unknown. */
  organizationActive: boolean;
  practitionerId?: string;
  patientId?: string;
  /** RelatedPersons that a patient's login is bound to. */
  relatedPersons: readonly string[];
  roles: readonly Role[];
  /** A client's registered scope; '' for a person, whose scope follows from the role. */
  scope: string;
  jwks?: { keys: Record<string, unknown>[] };
  jwksUri?: string;
}

/** Looks up who is enabled; each answer may be up to two seconds old, so a withdrawn account or role ends within two seconds. */
export interface Standings {
  ofClient(clientId: string): Promise<Standing | undefined>;
  ofPerson(issuer: string, subject: string): Promise<Standing | undefined>;
  /** By the subject of a token of the hub's own. */
  ofSubject(subject: string): Promise<Standing | undefined>;
}

/** Milliseconds. */
export const STANDING_LIFETIME = 2_000;
const CACHED_STANDINGS = 10_000;

export function standings(db: Database): Standings {
  const clients = cachedFor(STANDING_LIFETIME, CACHED_STANDINGS, (id) => findClient(db, id));
  const accounts = cachedFor(STANDING_LIFETIME, CACHED_STANDINGS, (id) => findAccount(db, sql`a.id = ${id}`));
  const people = cachedFor(STANDING_LIFETIME, CACHED_STANDINGS, (key) => {
    const [issuer, subject] = JSON.parse(key) as [string, string];
    return findPerson(db, issuer, subject);
  });
  return {
    ofClient: clients,
    ofPerson: (issuer, subject) => people(JSON.stringify([issuer, subject])),
    ofSubject: async (subject) => {
      const [kind, id = ''] = subject.split('/', 2);
      if (kind === 'Client') return clients(id);
      return kind === 'Account' ? accounts(id) : undefined;
    },
  };
}

/** Whether a caller is still who he was when he was let in: account or client enabled, for the same organization, in a role that he still has. */
export async function isStanding(known: Standings, caller: Caller): Promise<boolean> {
  const standing = await known.ofSubject(caller.accountId ?? caller.id);
  return standing !== undefined && standing.organizationId === caller.organizationId && standing.roles.includes(caller.role);
}

/** An enabled account by the identity that its issuer gave; not cached. */
export function findPerson(on: Queryable, issuer: string, subject: string): Promise<Standing | undefined> {
  return findAccount(on, sql`a.issuer = ${issuer} and a.subject = ${subject}`);
}

interface Row {
  id: string;
  name: string;
  organization_id: string | null;
  organization_active: boolean | null;
  practitioner_id: string | null;
  patient_id: string | null;
  related_persons: string[];
  roles: Role[];
  scope: string;
  jwks: { keys: Record<string, unknown>[] } | null;
  jwks_uri: string | null;
}

async function findAccount(on: Queryable, condition: Sql): Promise<Standing | undefined> {
  const [row] = await on.query<Row>(sql`
    select a.id, a.name, a.organization_id, o.active as organization_active, a.practitioner_id, a.patient_id, a.related_persons, a.roles, '' as scope, null as jwks, null as jwks_uri
    from account a left join organization o on o.id = a.organization_id where a.enabled and ${condition}`);
  return row && toStanding(row, 'person', `Account/${row.id}`);
}

async function findClient(on: Queryable, id: string): Promise<Standing | undefined> {
  const [row] = await on.query<Row>(sql`
    select c.id, c.name, c.organization_id, o.active as organization_active, null as practitioner_id, null as patient_id, '{}'::text[] as related_persons, c.roles, c.scope, c.jwks, c.jwks_uri
    from client c left join organization o on o.id = c.organization_id where c.enabled and c.id = ${id}`);
  return row && toStanding(row, 'system', `Client/${row.id}`);
}

function toStanding(row: Row, kind: Standing['kind'], subject: string): Standing {
  return {
    subject,
    kind,
    name: row.name,
    organizationId: row.organization_id ?? '',
    organizationActive: row.organization_active === true,
    practitionerId: row.practitioner_id ?? undefined,
    patientId: row.patient_id ?? undefined,
    relatedPersons: row.related_persons,
    roles: row.roles,
    scope: row.scope,
    jwks: row.jwks ?? undefined,
    jwksUri: row.jwks_uri ?? undefined,
  };
}
