import { bodySiteCoding, extensions, identifierTypes, systems } from '../../fhir-profiles/index.js';
import type { FhirResource } from '../store/search-keys.js';
import { compare, type InstanceFacts, type SeriesFacts } from './study-facts.js';
import type { Claim } from './study-rows.sql.js';

/** Everything that the index holds of a study. */
export interface IndexedStudy {
  custodianId: string;
  claim: Claim;
  series: readonly SeriesFacts[];
  instances: readonly InstanceFacts[];
  /** Endpoints (FHIR references) through which the custodian's images are retrieved. */
  endpoints: readonly string[];
}

const OURS: readonly string[] = [extensions.custodian, extensions.completeness, extensions.withheldParts];

/**
 * The ImagingStudy of what is indexed. What images say is computed from the rows; every other element is that of `base`: the version
 * before, or the pushed resource. Where no instance is listed the counts are those that were pushed.
 */
export function renderStudy(base: FhirResource, study: IndexedStudy): FhirResource & { id: string } {
  const { claim, custodianId } = study;
  const held = study.instances.length;
  const series = renderSeries(base.series ?? [], study);
  const endpoint = study.endpoints.length > 0 ? study.endpoints.map((reference) => ({ reference })) : base.endpoint;
  return withoutAbsent({
    ...base,
    resourceType: 'ImagingStudy',
    id: claim.study_id,
    extension: [
      ...((base.extension ?? []) as { url: string }[]).filter((e) => !OURS.includes(e.url)),
      { url: extensions.custodian, valueReference: { reference: `Organization/${custodianId}` } },
      { url: extensions.completeness, valueCode: (claim.claimed_instances ?? 0) > held ? 'partial' : 'complete' },
    ],
    identifier: identifiers(base.identifier ?? [], claim, custodianId),
    status: held > 0 && base.status === 'registered' ? 'available' : (base.status ?? 'available'),
    modality: modalities(base, claim, series),
    subject: subjectOf(base.subject, `Patient/${claim.patient_id}`),
    started: claim.pushed.includes('started') ? base.started : (claim.started ?? base.started),
    endpoint,
    numberOfSeries: series.length || base.numberOfSeries,
    numberOfInstances: held || base.numberOfInstances,
    description: claim.pushed.includes('description') ? base.description : (claim.description ?? base.description),
    series: series.length > 0 ? series : undefined,
  });
}

/** What was said beside the reference was said of that Patient. */
const subjectOf = (before: FhirResource | undefined, reference: string): object =>
  before?.reference === undefined || before.reference === reference ? { ...before, reference } : { reference };

/** The Study Instance UID, the accession number (HL7 v2 table 0203 ACSN) with its assigner, and what was pushed beside them. */
function identifiers(base: readonly FhirResource[], claim: Claim, custodianId: string): object[] {
  const others = base.filter((i) => i.system !== systems.dicomUid && !isAccessionNumber(i));
  const type = { coding: [{ system: systems.identifierType, code: identifierTypes.accessionNumber }] };
  const assigner = { reference: `Organization/${custodianId}` };
  return [
    { system: systems.dicomUid, value: `urn:oid:${claim.study_instance_uid}` },
    ...(claim.accession_number ? [{ type, value: claim.accession_number, assigner }] : []),
    ...others,
  ];
}

/** An accession number without a system of its own is the custodian's. */
export const isAccessionNumber = (identifier: FhirResource): boolean =>
  !identifier.system &&
  (identifier.type?.coding ?? []).some((c: { code?: string }) => c.code === identifierTypes.accessionNumber);

interface RenderedSeries {
  uid: string;
  number?: number;
  modality?: { code?: string };
}

/** Modalities of the series, and those that were pushed for the study. */
function modalities(base: FhirResource, claim: Claim, series: readonly RenderedSeries[]): object[] | undefined {
  const pushed: { code?: string }[] = claim.pushed.includes('modality') ? (base.modality ?? []) : [];
  const codes = [...new Set([...pushed, ...series.map((s) => s.modality)].flatMap((m) => m?.code ?? []))].sort(compare);
  if (codes.length === 0) return pushed.length > 0 ? pushed : undefined;
  return codes.map((code) => ({ system: systems.dicomTerminology, code }));
}

function renderSeries(base: readonly FhirResource[], { series, instances }: IndexedStudy): RenderedSeries[] {
  const before = new Map(base.map((s) => [s.uid as string, s]));
  const bySeries = new Map<string, InstanceFacts[]>(series.map((s) => [s.series_instance_uid, []]));
  for (const one of inOrder(instances, (i) => i.sop_instance_uid)) bySeries.get(one.series_instance_uid)?.push(one);
  const indexed = series.map((s) => oneSeries(before.get(s.series_instance_uid), s, bySeries.get(s.series_instance_uid) ?? []));
  const listed = base.filter((s) => !bySeries.has(s.uid)).map((s) => ({ ...s, uid: s.uid as string }));
  return inOrder<RenderedSeries>([...indexed, ...listed], (s) => s.uid);
}

function oneSeries(before: FhirResource | undefined, s: SeriesFacts, instances: readonly InstanceFacts[]): RenderedSeries {
  return withoutAbsent({
    ...before,
    uid: s.series_instance_uid,
    number: s.number ?? before?.number,
    modality: s.modality ? { system: systems.dicomTerminology, code: s.modality } : (before?.modality ?? UNKNOWN),
    description: s.description ?? before?.description,
    numberOfInstances: instances.length,
    bodySite: bodySite(s) ?? before?.bodySite,
    laterality: s.laterality ? LATERALITY[s.laterality] : before?.laterality,
    started: s.started ?? before?.started,
    instance: instances.map(oneInstance),
  });
}

/** A Body Part Examined that has no code stays text: a sharing scope that is limited to body sites does not cover it. */
const bodySite = ({ body_part }: SeriesFacts): object | undefined =>
  body_part ? (bodySiteCoding(body_part) ?? { display: body_part }) : undefined;

/** The modality is required in FHIR and may be absent from a source: then the reason stands in its place. */
const UNKNOWN = { extension: [{ url: extensions.dataAbsentReason, valueCode: 'unknown' }] };

const LATERALITY = {
  R: { system: systems.snomed, code: '24028007', display: 'Right' },
  L: { system: systems.snomed, code: '7771000', display: 'Left' },
} as const;

const oneInstance = (i: InstanceFacts): object =>
  withoutAbsent({
    uid: i.sop_instance_uid,
    sopClass: { system: systems.uri, code: `urn:oid:${i.sop_class_uid}` },
    number: i.number ?? undefined,
    title: i.title ?? undefined,
  });

/** By number, those without one last; equal ones by UID, so that the same rows always render to the same resource. */
function inOrder<T extends { number?: number | null }>(rows: readonly T[], uid: (row: T) => string): T[] {
  return [...rows].sort((a, b) => numbered(a) - numbered(b) || compare(uid(a), uid(b)));
}

const numbered = ({ number }: { number?: number | null }): number => number ?? Number.MAX_SAFE_INTEGER;

function withoutAbsent<T extends object>(element: T): T {
  return Object.fromEntries(Object.entries(element).filter(([, value]) => value !== undefined)) as T;
}
