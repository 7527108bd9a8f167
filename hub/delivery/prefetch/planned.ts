import { bodyPartOfCode, systems } from '../../../fhir-profiles/index.js';
import { dateRange } from '../../store/fhir-date.js';
import { type Concept, idOf, type Reference } from '../../store/fhir-elements.js';
import type { FhirResource } from '../../store/search-keys.js';

/** What is planned for a patient, as far as prior studies are looked for by it. */
export interface Planned {
  starts: Date;
  /** DICOM modalities; none: it does not say. */
  modality: string[];
  /** SNOMED CT codes of body sites. */
  bodySite: string[];
}

/** Where a record stands: something is planned, it was called off, or neither (a draft, what is over). */
export type Standing = { is: 'planned'; planned: Planned } | { is: 'cancelled' } | { is: 'neither' };

const PLANNED: Readonly<Record<string, readonly string[]>> = {
  Appointment: ['pending', 'booked', 'arrived', 'checked-in'],
  ServiceRequest: ['active'],
};
const CANCELLED: Readonly<Record<string, readonly string[]>> = {
  Appointment: ['cancelled', 'noshow', 'entered-in-error'],
  ServiceRequest: ['revoked', 'entered-in-error'],
};

/** An Appointment, or a ServiceRequest that says when it is to be carried out at the hospital that placed it. */
export function standingOf(record: FhirResource, custodianId: string): Standing {
  const { resourceType: type, status } = record;
  if (CANCELLED[type]?.includes(status)) return { is: 'cancelled' };
  const starts = dateRange(startOf(record))?.from;
  if (!PLANNED[type]?.includes(status) || !starts || isElsewhere(record, custodianId)) return { is: 'neither' };
  return { is: 'planned', planned: { starts, ...subjectOf(record) } };
}

const startOf = (record: FhirResource): unknown =>
  record.resourceType === 'Appointment' ? record.start : (record.occurrenceDateTime ?? record.occurrencePeriod?.start);

/** A request to another organization is no appointment here. */
const isElsewhere = (record: FhirResource, custodianId: string): boolean =>
  ((record.performer ?? []) as Reference[]).some((one) => (idOf(one, 'Organization') ?? custodianId) !== custodianId);

function subjectOf(record: FhirResource): Pick<Planned, 'modality' | 'bodySite'> {
  const concepts = [record.serviceType, record.orderDetail, record.code, record.bodySite, record.category].flat() as (
    | Concept
    | undefined
  )[];
  const codings = concepts.flatMap((concept) => concept?.coding ?? []);
  const codes = (system: string) => codings.flatMap((coding) => (coding.system === system && coding.code ? [coding.code] : []));
  return {
    modality: [...new Set(codes(systems.dicomTerminology))],
    bodySite: [...new Set(codes(systems.snomed).filter((code) => bodyPartOfCode(code)))],
  };
}
