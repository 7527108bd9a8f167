import { createHash } from 'node:crypto';
import type { Statement, Step } from '../statement.js';
import { appointmentSteps } from './appointment.js';
import { noNumber, ownNumbers } from './identifiers.js';
import { mergeSteps, moveSteps } from './merge.js';
import type { Message } from './message.js';
import { type OrderSettings, orderSteps } from './order.js';
import { patientOf, pidOf } from './person.js';
import { Hl7Problem } from './problem.js';
import { reportSteps } from './report.js';

export interface InterpretSettings extends OrderSettings {
  /** MSH-11 of the messages that are taken: those of tests and training are another one's. */
  processingId: string;
}

type Interpreter = (message: Message, settings: InterpretSettings) => Step[];

const registration: Interpreter = (message, settings) => [ownPatient(message, settings, false)];
const correction: Interpreter = (message, settings) => [ownPatient(message, settings, true)];

/**
 * What each event says. Visits are not kept here: of their events the patient is taken. A45 moves a visit, and with it what belongs to it: which of a patient's
 * records that is nobody wrote down here, so it is refused, for a person to look at.
 */
const EVENTS: Readonly<Record<string, Readonly<Record<string, Interpreter>>>> = {
  ADT: {
    ...Object.fromEntries(['A01', 'A04', 'A05', 'A28'].map((event) => [event, registration])),
    ...Object.fromEntries(['A02', 'A03', 'A06', 'A07', 'A08', 'A31'].map((event) => [event, correction])),
    A40: mergeSteps,
    A47: mergeSteps,
    A43: moveSteps,
  },
  ORM: { O01: orderSteps },
  OMG: { O19: orderSteps },
  OMI: { O23: orderSteps },
  ORU: { R01: reportSteps },
  SIU: Object.fromEntries(['S12', 'S13', 'S14', 'S15', 'S16', 'S17', 'S26'].map((event) => [event, appointmentSteps])),
};

/** The patient, under his numbers of this hospital. */
function ownPatient(message: Message, settings: InterpretSettings, isCorrection: boolean): Step {
  const pid = pidOf(message);
  if (ownNumbers(pid, 3, settings.authorities).length === 0) throw noNumber(pid, 3);
  return patientOf(pid, settings, isCorrection);
}

/**
 * What a message states. @param bytes the message as it came, for the quarantine.
 * @throws Hl7Problem for a message that is not taken here, or says too little.
 */
export function statementOf(message: Message, bytes: Buffer, settings: InterpretSettings): Statement {
  const { type, event, header } = message;
  assertForUs(message, settings);
  const ofType = Object.hasOwn(EVENTS, type) ? EVENTS[type] : undefined;
  if (!ofType) throw new Hl7Problem(200, 'unsupported', 'Messages of this type are not taken here.', header.place(9));
  const interpreter = Object.hasOwn(ofType, event) ? ofType[event] : undefined;
  if (!interpreter) throw new Hl7Problem(201, 'unsupported', 'This event is not taken here.', header.place(9, { component: 2 }));
  return {
    locator: locatorOf(message),
    once: fingerprintOf(message, bytes),
    steps: interpreter(message, settings),
    ids: 'of-statement',
    what: `${type}^${event}`,
    message: bytes,
  };
}

function assertForUs({ header, controlId }: Message, { processingId }: InterpretSettings): void {
  if (controlId === '') throw new Hl7Problem(101, 'not-hl7', 'The message has no control id.', header.place(10));
  if (header.value(11) !== processingId)
    throw new Hl7Problem(
      202,
      'unsupported',
      `The processing id of the messages that are taken is ${processingId}.`,
      header.place(11),
    );
  if (!/^2(\.|$)/.test(header.value(12) || '2'))
    throw new Hl7Problem(203, 'unsupported', 'Version 2 of HL7 is spoken here.', header.place(12));
}

/** Sender and control id: what the sender's own log is searched by. */
export function locatorOf({ header, controlId }: { header: Pick<Message['header'], 'value'>; controlId: string }): string {
  const safe = (text: string): string => text.replace(/[^\w.:@-]/g, '_').slice(0, 80);
  return `mllp/${safe(header.value(3))}/${safe(header.value(4))}/${safe(controlId)}`;
}

/**
 * The same message again: the same sender, control id and content. A sender that begins its control ids anew sends other content. The time of the message
 * (MSH-7) and its place in a sequence (MSH-13) are the sending's, not the content's.
 */
function fingerprintOf({ header }: Message, bytes: Buffer): string {
  const end = bytes.findIndex((byte) => byte === 0x0d || byte === 0x0a);
  const body = end < 0 ? Buffer.alloc(0) : bytes.subarray(end);
  const sending = [3, 4, 9, 10].map((field) => header.text(field)).join('\n');
  return createHash('sha256').update(sending).update('\0').update(body).digest('base64url');
}
