import type { Place } from './problem.js';

/** Elements of FHIR and the fields that they are taken from. */
const FIELDS: Readonly<Record<string, Place>> = {
  'Patient.identifier': { segment: 'PID', field: 3 },
  'Patient.name': { segment: 'PID', field: 5 },
  'Patient.birthDate': { segment: 'PID', field: 7 },
  'Patient.gender': { segment: 'PID', field: 8 },
  'Patient.address': { segment: 'PID', field: 11 },
  'Patient.telecom': { segment: 'PID', field: 13 },
  'Appointment.identifier': { segment: 'SCH', field: 2 },
  'Appointment.start': { segment: 'SCH', field: 11 },
  'Appointment.participant': { segment: 'PID', field: 3 },
};

/** The field behind the element that a sentence begins with: `Patient.identifier[0].value: ...`. */
export function fieldOf(detail: string): Place | undefined {
  const [element = ''] = /^[A-Z][A-Za-z]+\.[A-Za-z]+/.exec(detail) ?? [];
  return Object.hasOwn(FIELDS, element) ? FIELDS[element] : undefined;
}
