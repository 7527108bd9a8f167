/** A physician's corrections as Observations, derived from the machine's: pure. */
import { systems } from '../../../fhir-profiles/codes.js';
import type { Manifest } from '../../../models/manifest.js';
import { refused } from '../../access/write-rules.js';
import { newId } from '../../store/resources.js';
import type { FhirResource } from '../../store/search-keys.js';
import type { Box, FindingChange, Review } from './review.js';

export type Observation = FhirResource & { id: string };

/** Who says so, and when. */
export interface By {
  practitioner: { reference: string; display: string };
  /** Instant. */
  now: string;
}

/** HL7 v3 ObservationValue: asserted by a clinician. */
export const CLINICIAN = { system: systems.observationValue, code: 'CLINAST', display: 'Clinician asserted' };

type Component = { code: { coding: { system?: string; code?: string }[]; text?: string } } & Record<string, unknown>;

/** What the physician took over from an Observation, as an Observation of his own. What is only the machine's is left behind. */
function derived(from: Observation, by: By): Observation {
  const { category, subject, effectiveDateTime, code, bodySite, derivedFrom } = from;
  const source = { reference: `Observation/${from.id}` };
  return {
    resourceType: 'Observation',
    id: newId(),
    meta: { tag: [CLINICIAN] },
    status: 'final',
    category,
    code,
    subject,
    effectiveDateTime,
    issued: by.now,
    performer: [by.practitioner],
    ...(bodySite ? { bodySite } : {}),
    derivedFrom: [...(derivedFrom ?? []).filter((r: { reference?: string }) => r.reference?.startsWith('ImagingStudy/')), source],
  };
}

const interpretation = (positive: boolean) => [
  { coding: [{ system: systems.observationInterpretation, code: positive ? 'POS' : 'NEG' }] },
];

/** What is measured of a finding, and where it lies; everything else is what the model scored it by. */
const MEASURES = ['diameter', 'volume', 'centre-x', 'centre-y', 'centre-z', 'sop-instance-uid', 'frame', 'box', 'slices'];

/** A finding as the physician sees it. Of the machine's measures those stay that the change leaves true. @param whole the Observation about the whole */
export function changedFinding(
  from: Observation,
  whole: Observation,
  change: Extract<FindingChange, { change: 'change' }>,
  by: By,
): Observation {
  const stale = [
    ...(change.box ? ['sop-instance-uid', 'frame', 'box', 'slices', 'centre-x', 'centre-y', 'centre-z', 'volume'] : []),
    ...(change.diameterMm === undefined ? [] : ['diameter', 'volume']),
  ];
  const measures = MEASURES.filter((code) => !stale.includes(code));
  const kept = ((from.component ?? []) as Component[]).filter((c) => measures.includes(codeOf(c) ?? ''));
  const site = change.box && whole.bodySite ? { bodySite: whole.bodySite } : {};
  return withMeasures({ ...derived(from, by), ...site, interpretation: interpretation(true) }, kept, change);
}

/** A finding that the machine did not report. @param like any Observation of the report, for what it is about */
export function addedFinding(
  like: Observation,
  codes: Manifest['findingCodes'],
  change: Extract<FindingChange, { change: 'add' }>,
  by: By,
): Observation {
  const { derivedFrom, ...own } = derived(like, by);
  const study = derivedFrom.filter((r: { reference: string }) => r.reference.startsWith('ImagingStudy/'));
  return withMeasures(
    { ...own, derivedFrom: study, code: { coding: codes }, interpretation: interpretation(true) } as Observation,
    [],
    change,
  );
}

function withMeasures(
  observation: Observation,
  kept: readonly Component[],
  { box, diameterMm, text }: { box?: Box | undefined; diameterMm?: number | undefined; text?: string | undefined },
): Observation {
  const component = [
    ...kept,
    ...(diameterMm === undefined ? [] : [{ code: output('diameter', 'Diameter'), valueQuantity: quantity(diameterMm, 'mm') }]),
    ...(box ? placed(box) : []),
  ];
  return { ...observation, ...(component.length > 0 ? { component } : {}), ...(text ? { note: [{ text }] } : {}) };
}

const placed = ({ sopInstanceUid, frame, x, y, width, height }: Box) => [
  { code: output('sop-instance-uid', 'SOP Instance UID'), valueString: sopInstanceUid },
  { code: output('frame', 'Frame'), valueInteger: frame },
  { code: output('box', 'Box'), valueString: [x, y, width, height].join(' ') },
];

const output = (code: string, display: string) => ({ coding: [{ system: systems.modelOutput, code, display }] });
const quantity = (value: number, unit: string) => ({ value, unit, system: systems.ucum, code: unit });
const codeOf = (c: Component): string | undefined => c.code?.coding?.[0]?.code;

/**
 * The values about the whole as the physician leaves them. Values that he does not give stay the machine's, but where findings have changed:
 * then what was counted or measured over them is no longer true, and is left out.
 * @throws Refusal 422 for a value that the Observation does not have, or that can't be one.
 */
export function correctedSummary(from: Observation, { values, positive, findings }: Review, stated: Stated, by: By): Observation {
  const own = ([{ code: from.code, ...valueIn(from) }, ...(from.component ?? [])] as Component[]).filter(isOfTheWhole(stated));
  const known = own.map(codeOf);
  for (const [i, { code }] of values.entries())
    if (!known.includes(code)) throw refused(`The report has no value ${code}.`, `values[${i}].code`);
  const [first, ...rest] = own.map((c) => {
    const at = values.findIndex(({ code }) => code === codeOf(c));
    if (at >= 0) return { code: c.code, ...restated(c, values[at]!, stated, `values[${at}].value`) };
    return findings.length > 0 ? { code: c.code, ...ABSENT } : c;
  });
  return {
    ...derived(from, by),
    ...first,
    interpretation: interpretation(positive === true),
    ...(rest.length > 0 ? { component: rest } : {}),
  } as Observation;
}

/** Thresholds, and what the score was made of, are the machine's. */
const isOfTheWhole =
  (stated: Stated) =>
  (c: Component): boolean =>
    stated ? Object.values(stated).some((s) => s.code.code === codeOf(c)) : codeOf(c) !== 'threshold';

/** What the model's manifest says of its values; absent where the model is no longer carried. */
export type Stated = Manifest['summary'] | undefined;

type Quantity = Extract<Manifest['summary'][string], { unit: string }>;

/** v3 data-absent-reason: nobody has said. */
const ABSENT = {
  dataAbsentReason: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/data-absent-reason', code: 'unknown' }] },
};

const valueIn = ({ valueQuantity, valueCodeableConcept, dataAbsentReason }: FhirResource) => ({
  ...(valueQuantity ? { valueQuantity } : {}),
  ...(valueCodeableConcept ? { valueCodeableConcept } : {}),
  ...(dataAbsentReason ? { dataAbsentReason } : {}),
});

/** @param element where in the review the value stands. */
function restated(c: Component, { code, value }: Review['values'][number], stated: Stated, element: string) {
  if (value === null) return ABSENT;
  const as = Object.values(stated ?? {}).find((s) => s.code.code === code);
  if (typeof value === 'number') {
    const unit = (c['valueQuantity'] as { code?: string } | undefined)?.code ?? (as && 'unit' in as ? as.unit : undefined);
    if (unit === undefined) throw refused(`${code} is no number.`, element);
    if (as && 'unit' in as) assertWithin(as, value, element);
    return { valueQuantity: quantity(value, unit) };
  }
  const coding = as && 'values' in as ? as.values.find((v) => v.code === value) : undefined;
  if (!coding) throw refused(`${code} does not take the code ${value}.`, element);
  return { valueCodeableConcept: { coding: [coding] } };
}

function assertWithin({ code, minimum, maximum, integer }: Quantity, value: number, element: string): void {
  const [least, most] = [minimum ?? Number.NEGATIVE_INFINITY, maximum ?? Number.POSITIVE_INFINITY];
  if (value >= least && value <= most && (!integer || Number.isInteger(value))) return;
  const bounds = [
    ...(integer ? ['a whole number'] : []),
    ...(minimum === undefined ? [] : [`at least ${minimum}`]),
    ...(maximum === undefined ? [] : [`at most ${maximum}`]),
  ];
  throw refused(`${code.code} is ${bounds.join(', ')}.`, element);
}
