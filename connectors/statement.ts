/**
 * What a hospital's information system states of its own patients and their records, as FHIR R4 in the hospital's own terms. The hub puts its own
 * ids and the hospital's assigner in their place, validates, and takes all steps of a statement or none.
 */
import { CANONICAL_BASE } from '../fhir-profiles/codes.js';

/** Any FHIR resource as JSON. */
export interface FhirRecord {
  resourceType: string;
  // biome-ignore lint/suspicious/noExplicitAny: a resource is a tree whose shape its StructureDefinition gives
  [element: string]: any;
}

/** Identifier.system that stands for the hospital's own patient numbers: the hub puts the assigner of the hospital's record in its place. */
export const OWN_NUMBERS = `${CANONICAL_BASE}/NamingSystem/own-patient-number`;

/** System of the Observations that one report was taken apart into: the value is the report's number, the code and the place. */
export const PART_OF_REPORT = `${CANONICAL_BASE}/NamingSystem/part-of-report`;

/**
 * A record. References in it are of one of these forms: `Type/id` names the `id` of another record of this source; an `identifier` with a `type`
 * names what the hub knows by it (a Patient by `OWN_NUMBERS`, an ImagingStudy by `urn:dicom:uid` or by its accession number, type ACSN, a
 * ServiceRequest by its order number); anything else stays as it is.
 */
export interface RecordStep {
  kind: 'record';
  resource: FhirRecord;
  /** `Type/id` by which other records of this source refer to it. */
  id?: string;
  /** Only what is stated changes, the rest stays; `cleared` are elements that the hospital deletes. Without it the record is whole. */
  partial?: { cleared: readonly string[] };
  /**
   * Of a Patient: the statement is a correction, so that one of name, birth date and sex may differ from what the number is held with. Where two
   * do, or where the statement is none, the number is held by somebody else.
   */
  isCorrection?: boolean;
  /** Of a Patient: only makes sure that there is one, and that it is the same person; one that is there stays as it is. */
  onlyIfNew?: boolean;
}

/** Two numbers of the hospital are one person's: everything goes to the survivor (HL7 v2 A40; IHE PAM Merge). */
export interface MergeStep {
  kind: 'patient-merge';
  survivor: string;
  retired: string;
}

/** Numbers, with everything that is filed under them, were another patient's: they go to the one of number `to` (HL7 v2 A43). */
export interface MoveStep {
  kind: 'patient-move';
  numbers: readonly string[];
  to: string;
}

/** The same of two records of this source, `Patient/id` each, one of which the other stands for (Patient.link). */
export interface ReplacedStep {
  kind: 'patient-replaced';
  survivor: string;
  retired: string;
}

/** The source has a record no longer: it was asked for it by itself, and denied it. */
export interface GoneStep {
  kind: 'record-gone';
  /** `Type/id` at the source. */
  id: string;
  /** A person has confirmed that what is missing is gone. */
  isConfirmed?: boolean;
}

export type Step = RecordStep | MergeStep | MoveStep | ReplacedStep | GoneStep;

export interface Statement {
  /** Where it is found again, for the quarantine; at most 1,000 characters, no patient data. */
  locator: string;
  /** By what it is known when it is said again: then nothing more comes of it. Absent where repeating is harmless. */
  once?: string;
  /** In the order in which they are to be taken. */
  steps: readonly Step[];
  /** Address that the ids of its records are relative to, where it has one: what the hub does not hold is referred to there. */
  base?: string;
  /** Whether the ids of its records mean the same in the next statement of the source. */
  ids: 'of-source' | 'of-statement';
  /** What it was, for the audit: `ADT^A08`. */
  what: string;
  /** The message as it came, for a source that can't be asked again: kept with it in the quarantine, encrypted. */
  message?: Uint8Array;
}
