import { EntitySchema } from 'typeorm';

/** A hospital's way in: one record a source. Secrets are AES-256-GCM ciphertext, never returned. */
export interface ConnectorRecord {
  id: string;
  organizationId: string;
  kind: string;
  settings: Record<string, unknown>;
  secrets: Buffer | null;
  enabled: boolean;
  cursor: string | null;
  lastSuccess: Date | null;
  lastError: string | null;
  lastErrorAt: Date | null;
}

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
  roles: string[];
  enabled: boolean;
}

/** Row of the Organization registry that policy reads. */
export interface OrganizationRecord {
  id: string;
  kind: 'commission' | 'consortium' | 'hospital' | 'other';
  name: string;
  assignerSystem: string | null;
  active: boolean;
}

const text = { type: 'text' } as const;

export const ConnectorEntity = new EntitySchema<ConnectorRecord>({
  name: 'connector',
  columns: {
    id: { ...text, primary: true },
    organizationId: { ...text, name: 'organization_id' },
    kind: text,
    settings: { type: 'jsonb' },
    secrets: { type: 'bytea', nullable: true },
    enabled: { type: 'boolean' },
    cursor: { ...text, nullable: true },
    lastSuccess: { type: 'timestamptz', name: 'last_success', nullable: true },
    lastError: { ...text, name: 'last_error', nullable: true },
    lastErrorAt: { type: 'timestamptz', name: 'last_error_at', nullable: true },
  },
});

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
    roles: { ...text, array: true },
    enabled: { type: 'boolean' },
  },
});

export const OrganizationEntity = new EntitySchema<OrganizationRecord>({
  name: 'organization',
  columns: {
    id: { ...text, primary: true },
    kind: text,
    name: text,
    assignerSystem: { ...text, name: 'assigner_system', nullable: true },
    active: { type: 'boolean' },
  },
});

export const entities = [ConnectorEntity, ClientEntity, AccountEntity, OrganizationEntity];
