import { EntitySchema } from 'typeorm';

/** A system that may ask for tokens (SMART Backend Services). */
export interface ClientRecord {
  id: string;
  organizationId: string;
  name: string;
  jwks: { keys: Record<string, unknown>[] } | null;
  jwksUri: string | null;
  roles: string[];
  scope: string;
  enabled: boolean;
}

/** A person, bound to an identity of the OpenID Connect issuer by an administrator. */
export interface AccountRecord {
  id: string;
  issuer: string;
  subject: string;
  name: string;
  organizationId: string | null;
  practitionerId: string | null;
  patientId: string | null;
  /** RelatedPersons that the login is. */
  relatedPersons: string[];
  roles: string[];
  enabled: boolean;
}

const text = { type: 'text' } as const;

export const ClientEntity = new EntitySchema<ClientRecord>({
  name: 'client',
  columns: {
    id: { ...text, primary: true },
    organizationId: { ...text, name: 'organization_id' },
    name: text,
    jwks: { type: 'jsonb', nullable: true },
    jwksUri: { ...text, name: 'jwks_uri', nullable: true },
    roles: { ...text, array: true },
    scope: text,
    enabled: { type: 'boolean' },
  },
});

export const AccountEntity = new EntitySchema<AccountRecord>({
  name: 'account',
  columns: {
    id: { ...text, primary: true },
    issuer: text,
    subject: text,
    name: text,
    organizationId: { ...text, name: 'organization_id', nullable: true },
    practitionerId: { ...text, name: 'practitioner_id', nullable: true },
    patientId: { ...text, name: 'patient_id', nullable: true },
    relatedPersons: { ...text, array: true, name: 'related_persons' },
    roles: { ...text, array: true },
    enabled: { type: 'boolean' },
  },
});

export const entities = [ClientEntity, AccountEntity];
