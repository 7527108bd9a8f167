import type { Vocabulary } from '../../../policies/load-policy.js';
import { ACTIONS, PURPOSES, ROLES } from '../caller.js';
import type { DenialReason } from '../decision.js';

/** Conditions that rules rest on. The first are bases of an allow, the last four of a mandatory deny. */
export const CONDITIONS = [
  'own',
  'consortium',
  'agreement',
  'agreement-part',
  'agreement-score',
  'grant',
  'patient',
  'party',
  'directory',
  'break-glass',
  'oversight',
  'audit',
  'registered',
  'suspended',
  'consent',
  'opt-in',
  'label',
] as const;
export type Condition = (typeof CONDITIONS)[number];

/** Registry data: no patient's, so consent and suspension don't touch it. */
export const DIRECTORY = [
  'Organization',
  'OrganizationAffiliation',
  'Endpoint',
  'Practitioner',
  'PractitionerRole',
  'Device',
] as const;

/**
 * Kinds of record that policy decides on: FHIR resource types; a report of figures goes by the name of MeasureReport, a notice by
 * that of Communication, and the policy itself is one. */
export const OBJECTS = [
  'Patient',
  'RelatedPerson',
  'ImagingStudy',
  'DiagnosticReport',
  'Observation',
  'ServiceRequest',
  'Appointment',
  'Task',
  'Consent',
  'Provenance',
  ...DIRECTORY,
  'AuditEvent',
  'MeasureReport',
  'Communication',
  'AccessPolicy',
] as const;

/** What a caller who may know is told when this condition denies. */
export const REASON_OF_DENY: Readonly<Partial<Record<Condition, DenialReason>>> = {
  suspended: 'suspended',
  consent: 'consent',
  'opt-in': 'consent',
  label: 'label',
};

export const vocabulary: Vocabulary = {
  roles: ROLES,
  purposes: PURPOSES,
  actions: ACTIONS,
  objects: OBJECTS,
  bases: CONDITIONS,
  mandatoryDenies: {
    bases: ['suspended', 'consent', 'opt-in', 'label'],
    actions: ['read', 'retrieve', 'write', 'score', 'disclose', 'sign', 'read-part'],
  },
};
