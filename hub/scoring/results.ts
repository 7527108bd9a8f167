/** What a model found as FHIR resources: pure, so that the same score gives the same resources. */
import { systems } from '../../fhir-profiles/codes.js';
import type { BoxOnInstance, Finding, Input } from '../../models/finding.js';
import type { Manifest } from '../../models/manifest.js';
import type { Scored } from '../../models/score-messages.js';
import type { MadeBy } from './made-by.js';
import { resultDigest } from './result-digest.js';
import { newId } from '../store/resources.js';
import { MACHINE_MADE as MACHINE_MADE_CODE } from '../store/machine-made.js';
import type { FhirResource } from '../store/search-keys.js';

type Resource = FhirResource & { id: string };

/** What the results are about and whom they come from. */
export interface Scoring {
  scored: Scored;
  manifest: Manifest;
  made: MadeBy;
  patientId: string;
  /** What was scored: reference to an ImagingStudy, or to a laboratory's DiagnosticReport. */
  focus: string;
  deviceId: string;
  /** FHIR dateTime of the study or of the sample; undefined when it is not known. */
  started: string | undefined;
  /** Instant of the scoring. */
  now: string;
}

export interface Results {
  observations: Resource[];
  report: Resource;
  provenance: Resource;
}

/** Codes of what models put out beside standard codes; the code system says how each is to be read. */
const OUTPUTS = systems.modelOutput;
const code = (id: string, display: string) => ({ coding: [{ system: OUTPUTS, code: id, display }] });
const quantity = (value: number, unit: string) => ({ value: rounded(value), unit, system: systems.ucum, code: unit });
const rounded = (value: number): number => Number(value.toPrecision(6));
const interpretation = (id: 'POS' | 'NEG') => [{ coding: [{ system: systems.observationInterpretation, code: id }] }];

/** HL7 v3 ObservationValue `AIAST`: asserted by artificial intelligence. Stays on the record; a physician who decides puts his mark beside it. */
const MACHINE_MADE = {
  tag: [
    {
      system: 'http://terminology.hl7.org/CodeSystem/v3-ObservationValue',
      code: MACHINE_MADE_CODE,
      display: 'Artificial Intelligence asserted',
    },
  ],
};

/** How the text of a report begins until a physician has had his say. */
export const UNCHECKED = 'Machine-made and preliminary: no physician has checked it.';

/** One summary, one Observation for each finding, a preliminary report, and where they come from. */
export function resultsOf(scoring: Scoring): Results {
  const findings = scoring.scored.findings.map((finding) => findingObservation(scoring, finding));
  const observations = [summaryObservation(scoring), ...findings];
  const report = reportOf(scoring, observations);
  return { observations, report, provenance: provenanceOf(scoring, [report, ...observations]) };
}

const isImaging = ({ focus }: Scoring): boolean => focus.startsWith('ImagingStudy/');

/** Observation.derivedFrom takes a study or other Observations; of laboratory values it is each that was used. */
const derivedFrom = (s: Scoring): { reference: string }[] =>
  isImaging(s)
    ? [{ reference: s.focus }]
    : s.scored.inputs.flatMap((input) => ('observationId' in input ? [{ reference: `Observation/${input.observationId}` }] : []));

function observation(s: Scoring): Resource {
  return {
    resourceType: 'Observation',
    id: newId(),
    meta: MACHINE_MADE,
    status: 'preliminary',
    category: [{ coding: [{ system: systems.observationCategory, code: isImaging(s) ? 'imaging' : 'laboratory' }] }],
    subject: { reference: `Patient/${s.patientId}` },
    effectiveDateTime: s.started ?? s.now,
    issued: s.now,
    ...(isImaging(s) ? { bodySite: { coding: s.manifest.accepts.bodySite.slice(0, 1) } } : {}),
    method: { text: `${s.manifest.title} ${s.manifest.version}` },
    device: { reference: `Device/${s.deviceId}` },
    derivedFrom: derivedFrom(s),
  };
}

/** The values about the whole study; the first that the manifest names is the Observation's own, the others are its components. */
function summaryObservation(s: Scoring): Resource {
  const [first, ...rest] = Object.entries(s.manifest.summary).map(([name, stated]) => ({
    code: { coding: [stated.code] },
    ...statedValue(stated, s.scored.summary[name] ?? null),
  }));
  const thresholds = Object.entries(s.scored.thresholds).map(([name, value]) => ({
    code: { ...code('threshold', 'Threshold'), text: name },
    valueQuantity: quantity(value, '1'),
  }));
  // without the main value there is nothing that could be called negative
  const isMeasured = !('dataAbsentReason' in first!);
  return {
    ...observation(s),
    ...first,
    ...(s.scored.positive || isMeasured ? { interpretation: interpretation(s.scored.positive ? 'POS' : 'NEG') } : {}),
    component: [...rest, ...thresholds, ...contributions(s)],
  };
}

/** What each input adds, by its name: under the input's own code it would read as its value. */
const contributions = ({ scored }: Scoring) =>
  (scored.contributions ?? []).map(({ code: input, value }) => ({
    code: { ...code('contribution', 'Contribution to the score, log odds'), text: `${input.display} (${input.code})` },
    valueQuantity: quantity(value, '1'),
  }));

function statedValue(stated: Manifest['summary'][string], value: number | null) {
  if (value === null) return ABSENT;
  if ('unit' in stated) return { valueQuantity: quantity(value, stated.unit) };
  const coded = stated.values[value];
  if (!coded) throw new Error('a coded value that the manifest does not name');
  return { valueCodeableConcept: { coding: [coded] } };
}

const ABSENT = {
  dataAbsentReason: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/data-absent-reason', code: 'not-applicable' }] },
};

function findingObservation(s: Scoring, finding: Finding): Resource {
  const threshold = s.scored.thresholds.score;
  const { diameterMm, volumeMm3, centreMm, site, siteText, evidence = {} } = finding;
  return {
    ...observation(s),
    code: { coding: s.manifest.findingCodes },
    valueQuantity: quantity(finding.score, '1'),
    interpretation: interpretation('POS'),
    ...(threshold === undefined
      ? {}
      : { referenceRange: [{ high: quantity(threshold, '1'), text: 'Lower scores are not reported' }] }),
    ...(site ? { bodySite: { coding: [site], ...(siteText ? { text: siteText } : {}) } } : {}),
    component: [
      ...measured('diameter', 'Diameter', diameterMm, 'mm'),
      ...measured('volume', 'Volume', volumeMm3, 'mm3'),
      ...measured('centre-x', 'Centre x', centreMm?.[0], 'mm'),
      ...measured('centre-y', 'Centre y', centreMm?.[1], 'mm'),
      ...measured('centre-z', 'Centre z', centreMm?.[2], 'mm'),
      ...Object.entries(s.manifest.findingValues).flatMap(([name, stated]) =>
        evidence[name] === undefined
          ? []
          : [{ code: { coding: [stated.code] }, valueQuantity: quantity(evidence[name], stated.unit) }],
      ),
      { code: code('sop-instance-uid', 'SOP Instance UID'), valueString: finding.sopInstanceUid },
      { code: code('frame', 'Frame'), valueInteger: finding.frame },
      { code: code('box', 'Box'), valueString: boxOf(finding) },
      {
        code: code('slices', 'Slices'),
        valueString: finding.slices.map((slice) => `${slice.sopInstanceUid} ${slice.frame} ${boxOf(slice)}`).join('\n'),
      },
    ].filter((c) => !('valueString' in c) || c.valueString !== ''),
  };
}

const measured = (id: string, display: string, value: number | undefined, unit: string) =>
  value === undefined ? [] : [{ code: code(id, display), valueQuantity: quantity(value, unit) }];

const boxOf = ({ box }: BoxOnInstance): string => [box.x, box.y, box.width, box.height].map(rounded).join(' ');

const IMAGING_REPORT = { code: '18748-4', display: 'Diagnostic imaging study' };
const LABORATORY_REPORT = { code: '11502-2', display: 'Laboratory report' };

/** The text says what a reader must know before he believes it. */
function reportOf(s: Scoring, observations: readonly Resource[]): Resource {
  const { manifest, scored } = s;
  const id = newId();
  return {
    resourceType: 'DiagnosticReport',
    id,
    meta: MACHINE_MADE,
    status: 'preliminary',
    category: [{ coding: [{ system: systems.diagnosticServiceSection, code: isImaging(s) ? 'RAD' : 'LAB' }] }],
    code: { coding: [{ system: systems.loinc, ...(isImaging(s) ? IMAGING_REPORT : LABORATORY_REPORT) }], text: manifest.title },
    subject: { reference: `Patient/${s.patientId}` },
    effectiveDateTime: s.started ?? s.now,
    issued: s.now,
    ...(isImaging(s) ? { imagingStudy: [{ reference: s.focus }] } : {}),
    result: observations.map((o) => ({ reference: `Observation/${o.id}` })),
    conclusion: [
      UNCHECKED,
      ...(manifest.licence.use === 'research-only'
        ? ['For research only: the model’s licence allows no other use of this result.']
        : []),
      `${manifest.title}: the threshold is ${scored.positive ? '' : 'not '}reached${manifest.task === 'detection' ? `, ${scored.findings.length} found` : ''}.`,
      ...Object.entries(manifest.summary).map(([name, stated]) => summaryLine(stated, scored.summary[name] ?? null)),
      ...scored.findings.map((finding, i) => `${i + 1}: ${findingLine(finding)}`),
      `Model ${scored.model.name} ${scored.model.version} (sha256 ${scored.model.sha256}).`,
      `Limits of use: ${manifest.limitsOfUse.join(' ')}`,
    ].join('\n'),
    ...(scored.studyInstanceUid ? { presentedForm: [structuredReportAt(id, s.now)] } : {}),
  };
}

/** The same as a DICOM object; the address is on the hub's own host. */
const structuredReportAt = (reportId: string, now: string) => ({
  contentType: 'application/dicom',
  url: `/scoring/reports/${reportId}/structured-report`,
  title: 'Structured report (DICOM TID 1500), preliminary and not verified',
  creation: now,
});

function summaryLine(stated: Manifest['summary'][string], value: number | null): string {
  const { display } = stated.code;
  if (value === null) return `${display}: nothing to measure.`;
  if ('values' in stated) return `${display}: ${stated.values[value]?.display}.`;
  return `${display}: ${rounded(value)}${stated.unit === '1' ? '' : ` ${stated.unit}`}.`;
}

const findingLine = ({ diameterMm, site, siteText, score }: Finding): string =>
  [
    ...(site ? [siteText ?? site.display] : []),
    ...(diameterMm === undefined ? [] : [`diameter ${diameterMm.toFixed(1)} mm`]),
    `score ${score.toFixed(2)}.`,
  ].join(', ');

/** What the entity of a Provenance is called that has the digest of the result. */
export const RESULT = 'Result, SHA-256 of its canonical JSON';

/** The model as an agent, its runtime, the digest of each file that went in, and of everything that the result depends on: by it a replay is judged. */
function provenanceOf(s: Scoring, targets: readonly Resource[]): Resource {
  const { model, runtime, inputs } = s.scored;
  const agentType = (id: string) => ({ coding: [{ system: systems.provenanceParticipantType, code: id }] });
  const source = (what: object) => ({ role: 'source', what });
  const digest = (sha256: string, display: string, role = 'source') => ({
    role,
    what: { identifier: { system: systems.uri, value: `urn:sha256:${sha256}` }, display },
  });
  return {
    resourceType: 'Provenance',
    id: newId(),
    target: targets.map((t) => ({ reference: `${t.resourceType}/${t.id}` })),
    occurredDateTime: s.now,
    recorded: s.now,
    agent: [
      { type: agentType('assembler'), who: { reference: `Device/${s.deviceId}`, display: `${model.name} ${model.version}` } },
      {
        type: agentType('performer'),
        who: {
          display: `onnxruntime ${runtime.onnxruntime}, Node.js ${runtime.node}, ${runtime.threads} threads, ${s.made.cpu}`,
        },
      },
    ],
    entity: [
      source({ reference: s.focus }),
      digest(model.sha256, `Model ${model.name} ${model.version}`),
      ...Object.entries(s.manifest.furtherGraphs).map(([name, graph]) => digest(graph.sha256, `Further graph ${name}`)),
      digest(s.made.manifestSha256, 'Manifest'),
      digest(s.made.codeSha256, 'Code that reads the images and runs the graphs'),
      ...Object.entries(s.scored.thresholds).map(([name, value]) => source({ display: `Threshold ${name} = ${value}` })),
      digest(resultDigest(s.scored), RESULT, 'derivation'),
      ...inputs.map((input) => source({ ...whatOf(input), display: `sha256 ${input.sha256}` })),
    ],
  };
}

const whatOf = (input: Input) =>
  'sopInstanceUid' in input
    ? { identifier: { system: systems.dicomUid, value: `urn:oid:${input.sopInstanceUid}` } }
    : { reference: `Observation/${input.observationId}` };
