import { isInstant, systems } from '../../fhir-profiles/index.js';
import { type FhirRecord, PART_OF_REPORT, type Step } from '../statement.js';
import { conceptOf, modalityOf, personOf } from './codes.js';
import type { Message, Segment } from './message.js';
import { knownPatient, orderReference, type OrderSettings, subjectOf } from './order.js';
import {
  accessionNumber,
  fillerNumber,
  isStudyReference,
  type OrderGroup,
  orderGroups,
  placerNumber,
  studyReferences,
} from './order-numbers.js';
import { pidOf } from './person.js';
import { Hl7Problem } from './problem.js';
import { type Finding, findingsOf, isImpression } from './findings.js';
import { dateTimeOf } from './time.js';

/** OBR-25 (table 0123) to DiagnosticReport.status. */
const STATUSES: Readonly<Record<string, string>> = {
  O: 'registered',
  I: 'registered',
  S: 'registered',
  A: 'partial',
  P: 'preliminary',
  R: 'preliminary',
  F: 'final',
  C: 'corrected',
  X: 'cancelled',
};

/** ORU^R01: the patient, if she is not known yet, and of each OBR a DiagnosticReport with its results. */
export function reportSteps(message: Message, settings: OrderSettings): Step[] {
  const pid = pidOf(message);
  const groups = orderGroups(message.segments);
  if (groups.length === 0) throw new Hl7Problem(100, 'not-hl7', 'There is no OBR segment.', { segment: 'OBR' });
  return [knownPatient(pid, settings), ...groups.flatMap((group, i) => stepsOf(group, pid, settings, i))];
}

function stepsOf(group: OrderGroup, pid: Segment, settings: OrderSettings, place: number): Step[] {
  const { obr } = group;
  const filler = fillerNumber(group);
  if (!filler) throw new Hl7Problem(101, 'missing-identifier', 'The report has no number.', obr.place(3));
  const status = STATUSES[obr.value(25)];
  if (!status) throw new Hl7Problem(103, 'invalid-record', 'The result status is no code of table 0123.', obr.place(25));
  const subject = subjectOf(pid, settings);
  const effective = dateTimeOf(obr, 7, settings.defaultUtcOffset);
  const studies = studyReferences(group, settings.accessionNumberIn);
  const { findings, attachments } = findingsOf(
    group.rest.filter((s) => s.name === 'OBX' && !isStudyReference(s)),
    settings.defaultUtcOffset,
  );
  const observations = findings.map((finding, i) => ({
    id: `Observation/${place}-${i}`,
    resource: observationOf(finding, {
      number: filler.value,
      status,
      common: {
        subject,
        ...(effective ? { effectiveDateTime: effective } : {}),
        ...(studies.length > 0 ? { derivedFrom: studies } : {}),
      },
    }),
  }));
  const issued = dateTimeOf(obr, 22, settings.defaultUtcOffset);
  const interpreter = personOf(obr, 32, { first: 2, isSub: true });
  const section = obr.value(24);
  const order = orderReference(group);
  const conclusion = conclusionOf(findings);
  const report: FhirRecord = {
    resourceType: 'DiagnosticReport',
    identifier: [filler, placerNumber(group), accessionNumber(group, settings.accessionNumberIn)].filter(Boolean),
    status,
    category: [{ coding: [{ system: systems.diagnosticServiceSection, code: modalityOf(section) ? 'RAD' : section || 'RAD' }] }],
    code: conceptOf(obr, 4) ?? { coding: [{ system: systems.loinc, code: '18748-4', display: 'Diagnostic imaging study' }] },
    subject,
    ...(order ? { basedOn: [order] } : {}),
    ...(effective ? { effectiveDateTime: effective } : {}),
    ...(issued && isInstant(issued) ? { issued } : {}),
    ...(interpreter ? { resultsInterpreter: [{ display: interpreter }] } : {}),
    ...(observations.length > 0 ? { result: observations.map(({ id }) => ({ reference: id })) } : {}),
    ...(studies.length > 0 ? { imagingStudy: studies } : {}),
    ...(conclusion ? { conclusion } : {}),
    ...(attachments.length > 0 ? { presentedForm: attachments } : {}),
  };
  return [
    ...observations.map(({ id, resource }): Step => ({ kind: 'record', id, resource })),
    { kind: 'record', id: `DiagnosticReport/${place}`, resource: report },
  ];
}

/** What is called the impression; else the only text that there is. */
function conclusionOf(findings: readonly Finding[]): string | undefined {
  const texts = findings.filter((f) => 'valueString' in f.value && f.status !== 'entered-in-error');
  const impressions = texts.filter(isImpression);
  const shown = impressions.length > 0 ? impressions : texts.length === 1 ? texts : [];
  return shown.map((f) => (f.value as { valueString: string }).valueString).join('\n') || undefined;
}

function observationOf(finding: Finding, of: { number: string; status: string; common: object }): FhirRecord {
  return {
    resourceType: 'Observation',
    identifier: [{ system: PART_OF_REPORT, value: `${of.number}/${finding.place}` }],
    status:
      finding.status ??
      (['registered', 'preliminary', 'final', 'cancelled'].includes(of.status)
        ? of.status
        : of.status === 'corrected'
          ? 'corrected'
          : 'preliminary'),
    category: [{ coding: [{ system: systems.observationCategory, code: 'imaging' }] }],
    code: finding.code,
    ...of.common,
    ...finding.value,
    ...(finding.interpretation ? { interpretation: [finding.interpretation] } : {}),
    ...(finding.range ? { referenceRange: [{ text: finding.range }] } : {}),
  };
}
