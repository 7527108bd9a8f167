import { randomUUID } from 'node:crypto';
import { systems } from '../../fhir-profiles/codes.js';
import type { FhirResource } from '../../hub/store/search-keys.js';

/** A DICOM UID of its own (PS3.5 B.2, UUID-derived). */
export const newUid = (): string => `2.25.${BigInt(`0x${randomUUID().replaceAll('-', '')}`)}`;

export function samplePatient(assigner: string, number: string, more: Record<string, unknown> = {}): FhirResource {
  return {
    resourceType: 'Patient',
    identifier: [{ system: assigner, value: number }],
    name: [{ text: '李雷', family: '李', given: ['雷'] }],
    gender: 'male',
    birthDate: '1970-01-02',
    ...more,
  };
}

export function sampleStudy(patientId: string, more: Record<string, unknown> = {}): FhirResource {
  return {
    resourceType: 'ImagingStudy',
    status: 'available',
    identifier: [{ system: systems.dicomUid, value: `urn:oid:${newUid()}` }],
    subject: { reference: `Patient/${patientId}` },
    started: '2026-05-06T10:00:00+08:00',
    modality: [{ system: systems.dicomTerminology, code: 'CT' }],
    ...more,
  };
}

export const bundleOf = (type: 'batch' | 'transaction', entry: object[]): FhirResource => ({
  resourceType: 'Bundle',
  type,
  entry,
});
export const post = (resource: FhirResource, more: object = {}): object => ({
  resource,
  request: { method: 'POST', url: resource.resourceType, ...more },
});
