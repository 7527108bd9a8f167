import type { FhirResource } from './search-keys.js';

/** HL7 v3 ObservationValue `AIAST`, asserted by artificial intelligence: the meta.tag of records that a model made. */
export const MACHINE_MADE = 'AIAST';

export const isMachineMade = ({ meta }: FhirResource): boolean => meta?.tag?.some(({ code }) => code === MACHINE_MADE) ?? false;
