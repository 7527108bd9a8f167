import { type PurposeOfUse, purposesOfUse } from '../../fhir-profiles/codes.js';

/** Roles that policy knows; an account or client carries some of them, a token exactly one. */
export const ROLES = [
  'physician',
  'hospital-administrator',
  'identity-steward',
  'commission-officer',
  'auditor',
  'patient',
  'hospital-system',
  'hub-administrator',
] as const;
export type Role = (typeof ROLES)[number];

/** HL7 v3 ActReason codes under PurposeOfUse. */
export const PURPOSES = purposesOfUse;
export type Purpose = PurposeOfUse;

/** What a caller wants to do with a record; casbin groups them. */
export const ACTIONS = [
  'know',
  'read',
  'retrieve',
  'read-part',
  'write',
  'label',
  'unlabel',
  'score',
  'verify',
  'disclose',
  'administer',
  'sign',
  'link',
  'audit-read',
  'report',
  'break-glass',
  'oversee',
  'review',
  'flag',
  'be-told',
] as const;
export type Action = (typeof ACTIONS)[number];

/** Who is calling, after authentication: everything that policy and audit need, nothing that the caller could choose freely. */
export interface Caller {
  /** Namespaced, so that no id can equal a role: `Practitioner/x`, `Patient/x`, `Client/x`, `Account/x`. */
  id: string;
  /** The account of a person, whatever capacity she acts in: `Account/x`. */
  accountId?: string;
  kind: 'person' | 'system';
  name: string;
  /** Organization id; '' for a patient. */
  organizationId: string;
  role: Role;
  /** Bound to the role at the token endpoint: never taken from a request header. */
  purposeOfUse: Purpose;
  /** The Patient that a patient's login is bound to (cluster mates follow from the cross-reference). */
  patientId?: string;
  /** Of a patient's login: the RelatedPersons that it is bound to, by which it may be the guardian of others. */
  relatedPersons?: readonly string[];
  /** Practitioner id of a physician. */
  practitionerId?: string;
  clientId: string;
  /** SMART v2 scopes of the token, e.g. `system/ImagingStudy.cruds`. */
  scope: string;
  /** Seconds since the epoch. */
  authenticatedAt: number;
  /** The exceptional access (break-glass session, oversight case) that the token names: only for its one patient, and only while it is open. */
  exceptionalAccess?: string;
}

/** An auditor at his work. */
export const isAuditor = (caller: Caller): boolean => caller.role === 'auditor' && caller.purposeOfUse === 'HCOMPL';

/** A hospital's administrator at his work. */
export const isHospitalAdministrator = (caller: Caller): boolean =>
  caller.role === 'hospital-administrator' && caller.purposeOfUse === 'HOPERAT' && caller.organizationId !== '';

/** Where a request came from, for the audit. */
export interface RequestContext {
  requestId: string;
  address: string;
}
