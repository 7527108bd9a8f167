import { fhirDate, fhirDateTime } from '../dicom/date-time.js';
import { Hl7Problem } from './problem.js';
import { DELETED, type Segment } from './message.js';

/** HL7 v2 DTM: `YYYY[MM[DD[HH[MM[SS[.S[S[S[S]]]]]]]]][+/-ZZZZ]`. */
const DTM = /^(\d{4}(?:\d{2}(?:\d{2})?)?)(\d{2}(?:\d{2}(?:\d{2}(?:\.\d{1,4})?)?)?)?([+-]\d{4})?$/;

/** FHIR date of a field; undefined when it is empty. @throws Hl7Problem for what is no date. */
export function dateOf(segment: Segment, field: number, component = 1): string | undefined {
  const value = segment.value(field, component);
  if (value === '' || value === DELETED) return undefined;
  const date = fhirDate(DTM.exec(value)?.[1]);
  if (date === undefined) throw noDate(segment, field, component);
  return date;
}

/** FHIR dateTime of a field, with the time where there is an offset or a default one. @throws Hl7Problem for what is no time. */
export function dateTimeOf(
  segment: Segment,
  field: number,
  defaultUtcOffset: string | undefined,
  component = 1,
): string | undefined {
  const value = segment.value(field, component);
  if (value === '' || value === DELETED) return undefined;
  const [, day, time, offset] = DTM.exec(value) ?? [];
  const dateTime = fhirDateTime(day, time, offset, defaultUtcOffset);
  if (dateTime === undefined) throw noDate(segment, field, component);
  return dateTime;
}

const noDate = (segment: Segment, field: number, component: number) =>
  new Hl7Problem(102, 'invalid-record', 'The value is no date.', segment.place(field, component > 1 ? { component } : {}));
