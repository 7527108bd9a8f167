import type { Role } from '../access/caller.js';
import { raw, type Sql } from '../store/sql.js';

/** What the face offers for one resource type. */
export interface TypeRule {
  /** Who may create and update; empty: the hub alone. */
  writers: readonly Role[];
  /** An administrator may choose the id (update as create), for registry entries with stable names. */
  clientIds?: boolean;
}

const CLINICAL: readonly Role[] = ['hospital-system', 'physician'];
const REGISTRY: TypeRule = { writers: ['hub-administrator'], clientIds: true };
const HUB_ALONE: TypeRule = { writers: [] };

/** The resource types of the hub, and which roles may ask to write them at all; policy decides on each record. */
export const typeRules: Readonly<Record<string, TypeRule>> = {
  Patient: { writers: ['hospital-system', 'identity-steward'] },
  RelatedPerson: { writers: ['hospital-system', 'hospital-administrator'] },
  ImagingStudy: { writers: ['hospital-system'] },
  DiagnosticReport: { writers: CLINICAL },
  Observation: { writers: CLINICAL },
  ServiceRequest: { writers: CLINICAL },
  Appointment: { writers: ['hospital-system'] },
  Task: { writers: [...CLINICAL, 'hospital-administrator'] },
  Consent: { writers: ['hospital-system', 'hospital-administrator', 'patient'] },
  Organization: REGISTRY,
  OrganizationAffiliation: REGISTRY,
  Endpoint: REGISTRY,
  Practitioner: REGISTRY,
  PractitionerRole: REGISTRY,
  Device: HUB_ALONE,
  Provenance: HUB_ALONE,
  AuditEvent: HUB_ALONE,
};

/** The type as it stands in a statement's text. @throws Error for what is no type of the hub: input never becomes text of a statement */
export function typeLiteral(type: string): Sql {
  if (!Object.hasOwn(typeRules, type)) throw new Error('not a type of the hub');
  return raw(`'${type}'`);
}

/** Own names only: `constructor` is no type. */
export const isType = (name: string): boolean => Object.hasOwn(typeRules, name);

/** Order in which a transaction writes: what is referred to comes before what refers. */
export const writeOrder: readonly string[] = Object.keys(typeRules);
