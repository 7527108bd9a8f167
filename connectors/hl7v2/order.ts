import { systems } from '../../fhir-profiles/codes.js';
import { OWN_NUMBERS, type FhirRecord, type Step } from '../statement.js';
import { conceptOf, modalityOf, personOf } from './codes.js';
import { ownNumbers } from './identifiers.js';
import type { Message, Segment } from './message.js';
import {
  type AccessionField,
  accessionNumber,
  fillerNumber,
  type OrderGroup,
  orderGroups,
  placerNumber,
} from './order-numbers.js';
import { type PersonSettings, patientOf, pidOf } from './person.js';
import { Hl7Problem } from './problem.js';
import { dateTimeOf } from './time.js';

export interface OrderSettings extends PersonSettings {
  accessionNumberIn: AccessionField;
}

/** ORC-1 (table 0119) to ServiceRequest.status; SC says it in ORC-5. */
const CONTROLS: Readonly<Record<string, string>> = {
  NW: 'active',
  XO: 'active',
  RL: 'active',
  PA: 'active',
  CH: 'active',
  CA: 'revoked',
  OC: 'revoked',
  DC: 'revoked',
  OD: 'revoked',
  HD: 'on-hold',
  OH: 'on-hold',
};
/** ORC-5 (table 0038). */
const STATUSES: Readonly<Record<string, string>> = {
  A: 'active',
  IP: 'active',
  SC: 'active',
  CM: 'completed',
  CA: 'revoked',
  DC: 'revoked',
  RP: 'revoked',
  HD: 'on-hold',
  ER: 'entered-in-error',
};
/** TQ1-9, OBR-27.6 (table 0485). */
const PRIORITIES: Readonly<Record<string, string>> = { S: 'stat', A: 'asap', U: 'urgent', R: 'routine' };

/** ORM^O01, OMG^O19, OMI^O23: the patient, if she is not known yet, and a ServiceRequest for each order. */
export function orderSteps(message: Message, settings: OrderSettings): Step[] {
  const pid = pidOf(message);
  const groups = orderGroups(message.segments);
  if (groups.length === 0) throw new Hl7Problem(100, 'not-hl7', 'There is no OBR segment.', { segment: 'OBR' });
  return [
    knownPatient(pid, settings),
    ...groups.map((group): Step => ({ kind: 'record', resource: orderOf(group, pid, settings), partial: { cleared: [] } })),
  ];
}

/** Makes sure that there is the patient of a message that is not about her. */
export const knownPatient = (pid: Segment, settings: PersonSettings): Step => ({
  ...patientOf(pid, settings, false),
  onlyIfNew: true,
});

/** The patient, by her number. */
export function subjectOf(pid: Segment, { authorities }: PersonSettings): object {
  const [number] = ownNumbers(pid, 3, authorities);
  if (number === undefined)
    throw new Hl7Problem(101, 'missing-identifier', 'No patient number of this hospital is here.', pid.place(3));
  return { type: 'Patient', identifier: { system: OWN_NUMBERS, value: number } };
}

function orderOf(group: OrderGroup, pid: Segment, settings: OrderSettings): FhirRecord {
  const { orc, obr, rest } = group;
  const identifier = [placerNumber(group), fillerNumber(group), accessionNumber(group, settings.accessionNumberIn)].filter(
    Boolean,
  );
  if (!placerNumber(group) && !fillerNumber(group))
    throw new Hl7Problem(101, 'missing-identifier', 'The order has no number.', obr.place(2));
  const tq1 = rest.find((s) => s.name === 'TQ1') ?? groupTiming(group);
  const ipc = rest.find((s) => s.name === 'IPC');
  const modality = modalityOf(ipc?.value(5) ?? '') ?? modalityOf(obr.value(24));
  const offset = settings.defaultUtcOffset;
  const occurrence =
    (tq1 && dateTimeOf(tq1, 7, offset)) ??
    (orc && dateTimeOf(orc, 7, offset, 4)) ??
    dateTimeOf(obr, 36, offset) ??
    dateTimeOf(obr, 27, offset, 4);
  const requester = (orc && personOf(orc, 12, { first: 2 })) ?? personOf(obr, 16, { first: 2 });
  const reason = conceptOf(obr, 31);
  const code = conceptOf(obr, 4);
  const authoredOn = orc && dateTimeOf(orc, 9, offset);
  const priority = PRIORITIES[tq1?.value(9) ?? ''] ?? PRIORITIES[obr.value(27, 6)];
  return {
    resourceType: 'ServiceRequest',
    identifier,
    status: statusOf(group),
    intent: 'order',
    category: [{ coding: [{ system: systems.snomed, code: '363679005', display: 'Imaging' }] }],
    subject: subjectOf(pid, settings),
    ...(priority ? { priority } : {}),
    ...(code ? { code } : {}),
    ...(modality ? { orderDetail: [{ coding: [{ system: systems.dicomTerminology, code: modality }] }] } : {}),
    ...(occurrence ? { occurrenceDateTime: occurrence } : {}),
    ...(authoredOn ? { authoredOn } : {}),
    ...(requester ? { requester: { display: requester } } : {}),
    ...(reason ? { reasonCode: [reason] } : {}),
  };
}

/** A TQ1 stands between ORC and OBR: then it is the last one before this OBR. */
function groupTiming({ obr, all }: OrderGroup): Segment | undefined {
  const before = all.slice(0, all.indexOf(obr)).reverse();
  const end = before.findIndex((s) => s.name === 'OBR');
  return before.slice(0, end < 0 ? before.length : end).find((s) => s.name === 'TQ1');
}

function statusOf({ orc, obr }: OrderGroup): string {
  const control = orc?.value(1) ?? 'NW';
  const status = control === 'SC' ? STATUSES[orc?.value(5) ?? ''] : CONTROLS[control];
  if (status) return status;
  throw new Hl7Problem(
    103,
    'unsupported',
    'This order control is not taken here.',
    orc?.place(control === 'SC' ? 5 : 1) ?? obr.place(2),
  );
}

/** What an order is found by when a report or an appointment names it. */
export const orderReference = (group: OrderGroup): object | undefined => {
  const identifier = placerNumber(group) ?? fillerNumber(group);
  return identifier && { type: 'ServiceRequest', identifier };
};
