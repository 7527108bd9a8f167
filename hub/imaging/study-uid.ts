import { systems } from '../../fhir-profiles/codes.js';
import { type ResourceRow, toResource } from '../store/resources.js';

/** The Study Instance UID of an ImagingStudy (FHIR R4 ImagingStudy, notes on identifier). */
export const studyInstanceUidOf = (study: ResourceRow): string | undefined =>
  (toResource(study).identifier ?? [])
    .find((i: { system?: string; value?: string }) => i.system === systems.dicomUid)
    ?.value?.replace(/^urn:oid:/, '');
