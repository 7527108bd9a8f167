import { identifierTypes, isInstant, systems } from '../../fhir-profiles/index.js';
import type { FhirRecord, Step } from '../statement.js';
import { type Concept, conceptOf, modalityOf } from './codes.js';
import { numberOf } from './identifiers.js';
import type { Message, Segment } from './message.js';
import { knownPatient, subjectOf } from './order.js';
import { type PersonSettings, pidOf } from './person.js';
import { Hl7Problem } from './problem.js';
import { dateTimeOf } from './time.js';

/** What the event says of the appointment (table 0003). */
const EVENTS: Readonly<Record<string, string>> = {
  S12: 'booked',
  S13: 'booked',
  S14: 'booked',
  S15: 'cancelled',
  S16: 'cancelled',
  S17: 'entered-in-error',
  S26: 'noshow',
};
/** SCH-25 (table 0278), where the event says only that there is an appointment. */
const STATUSES: Readonly<Record<string, string>> = {
  PENDING: 'pending',
  WAITLIST: 'waitlist',
  BOOKED: 'booked',
  OVERBOOK: 'booked',
  STARTED: 'arrived',
  COMPLETE: 'fulfilled',
  CANCELLED: 'cancelled',
  DC: 'cancelled',
  DELETED: 'entered-in-error',
  NOSHOW: 'noshow',
};
/** Units of a duration in minutes (SCH-10, AIS-8); minutes where none is said. */
const MINUTES: Readonly<Record<string, number>> = { '': 1, M: 1, MIN: 1, MINUTES: 1, S: 1 / 60, SEC: 1 / 60, H: 60, HR: 60 };

/** SIU S12 to S17 and S26: the patient, if she is not known yet, and her Appointment. What is called off keeps what was said of it before. */
export function appointmentSteps(message: Message, settings: PersonSettings): Step[] {
  const pid = pidOf(message);
  const sch = message.first('SCH');
  if (!sch) throw new Hl7Problem(100, 'not-hl7', 'There is no SCH segment.', { segment: 'SCH' });
  const identifier = [
    numberOf(sch, 2, identifierTypes.fillerOrderNumber),
    numberOf(sch, 1, identifierTypes.placerOrderNumber),
  ].filter((number) => number !== undefined);
  if (identifier.length === 0) throw new Hl7Problem(101, 'missing-identifier', 'The appointment has no number.', sch.place(2));
  const status = statusOf(message, sch);
  const isOff = status === 'cancelled' || status === 'noshow';
  const services = message.all('AIS');
  const serviceType = services.flatMap((ais) => servicesOf(ais));
  const order = numberOf(sch, 26, identifierTypes.placerOrderNumber) ?? numberOf(sch, 27, identifierTypes.fillerOrderNumber);
  const reason = isOff ? conceptOf(sch, 6) : undefined;
  const reasonCode = conceptOf(sch, 7);
  const resource: FhirRecord = {
    resourceType: 'Appointment',
    identifier,
    status,
    ...(reason ? { cancelationReason: reason } : {}),
    ...(serviceType.length > 0 ? { serviceType } : {}),
    ...(reasonCode ? { reasonCode: [reasonCode] } : {}),
    ...periodOf(message, sch, services[0], settings.defaultUtcOffset),
    ...(order ? { basedOn: [{ type: 'ServiceRequest', identifier: order }] } : {}),
    participant: [{ actor: subjectOf(pid, settings), status: 'accepted' }],
  };
  return [knownPatient(pid, settings), { kind: 'record', resource, partial: { cleared: isOff ? [] : ['cancelationReason'] } }];
}

function statusOf({ event }: Message, sch: Segment): string {
  const said = EVENTS[event] ?? 'booked';
  return said === 'booked' ? (STATUSES[sch.value(25).toUpperCase()] ?? said) : said;
}

/** The service as it is coded, and the modality that its code is, where it is one. */
function servicesOf(ais: Segment): Concept[] {
  const concept = conceptOf(ais, 3);
  const known = (concept?.coding ?? []).some(({ system }) => system === systems.dicomTerminology);
  const modality = known ? undefined : (modalityOf(ais.value(3)) ?? modalityOf(ais.value(3, 4)));
  return [
    ...(concept ? [concept] : []),
    ...(modality ? [{ coding: [{ system: systems.dicomTerminology, code: modality }] }] : []),
  ];
}

/** Begin and end: of the first service, else of the schedule (SCH-11, TQ1). An appointment of which no length is said ends when it begins. */
function periodOf(message: Message, sch: Segment, ais: Segment | undefined, offset: string | undefined): object {
  const tq1 = message.first('TQ1');
  const start = (ais && instantOf(ais, 4, offset)) ?? instantOf(sch, 11, offset, 4) ?? (tq1 && instantOf(tq1, 7, offset));
  if (start === undefined) return {};
  const minutes = (ais && minutesOf(ais, 7)) ?? minutesOf(sch, 9);
  const stated = instantOf(sch, 11, offset, 5) ?? (tq1 && instantOf(tq1, 8, offset));
  const end = stated !== undefined && Date.parse(stated) >= Date.parse(start) ? stated : undefined;
  return {
    start,
    end: end ?? new Date(Date.parse(start) + (minutes ?? 0) * 60_000).toISOString(),
    ...(minutes ? { minutesDuration: Math.max(1, Math.round(minutes)) } : {}),
  };
}

/** FHIR instant. @throws Hl7Problem for what is no date, or a date without a time. */
function instantOf(segment: Segment, field: number, offset: string | undefined, component = 1): string | undefined {
  const at = dateTimeOf(segment, field, offset, component);
  if (at === undefined || isInstant(at)) return at;
  const place = segment.place(field, component > 1 ? { component } : {});
  throw new Hl7Problem(102, 'invalid-record', 'An appointment has a time of the day.', place);
}

/** A duration and its units in the field after it (SCH-9, SCH-10; AIS-7, AIS-8). */
function minutesOf(segment: Segment, field: number): number | undefined {
  const value = segment.value(field);
  const unit = MINUTES[segment.value(field + 1).toUpperCase()];
  return /^\d{1,5}(\.\d+)?$/.test(value) && unit !== undefined ? Number(value) * unit : undefined;
}
