import type { SeriesDescription, StudyDescription } from '../../connectors/connector.js';
import { bodyPartOfCode, isCleanText, isDateTime, systems } from '../../fhir-profiles/index.js';
import { invalid } from '../outcomes.js';
import type { FhirResource } from '../store/search-keys.js';

/** What one submission says about the series of a study: a row of `imaging_series`. */
export interface SeriesFacts {
  series_instance_uid: string;
  modality: string | null;
  number: number | null;
  description: string | null;
  /** Body Part Examined (0018,0015) as sent, e.g. `CHEST`. */
  body_part: string | null;
  laterality: 'R' | 'L' | null;
  started: string | null;
  /** Start of the Performed Procedure Step, as DA and TM. */
  performed_date: string | null;
  performed_time: string | null;
  /** Request Attributes as JSON text (`RequestAttributes[]`). */
  request_attributes: string | null;
}

/** What one submission says about an instance: a row of `imaging_instance`. */
export interface InstanceFacts {
  series_instance_uid: string;
  sop_instance_uid: string;
  sop_class_uid: string;
  transfer_syntax_uid: string | null;
  number: number | null;
  title: string | null;
  frames: number | null;
  /** SHA-256, hex; null when the object was not seen. */
  digest: string | null;
  locator: string | null;
}

/** Columns of `study_claim` that parts of a study may say. */
export interface StudyAttributes {
  claimed_instances: number | null;
  started: string | null;
  accession_number: string | null;
  description: string | null;
  /** Study ID (0020,0010). */
  study_number: string | null;
  /** Referring Physician's Name (0008,0090). */
  referring_physician: string | null;
}

/** A study of which nothing is said. */
export const NOTHING_SAID: StudyAttributes = {
  claimed_instances: null,
  started: null,
  accession_number: null,
  description: null,
  study_number: null,
  referring_physician: null,
};

/** A study taken apart: whoever sent it, the same rows. Series and instances are in order of their UIDs. */
export interface StudyFacts {
  studyInstanceUid: string;
  /** Of the study as a whole; null where the submission says nothing. */
  attributes: StudyAttributes;
  series: SeriesFacts[];
  instances: InstanceFacts[];
  /** Instances that the submission itself lists a second time with other content: the first stands. */
  repeated: InstanceFacts[];
}

/** Facts of a study that a connector found. */
export function factsOfStudy(study: StudyDescription): StudyFacts {
  const instances = study.series.flatMap((series) =>
    series.instances.map(
      (i): InstanceFacts => ({
        series_instance_uid: series.seriesInstanceUid,
        sop_instance_uid: i.sopInstanceUid,
        sop_class_uid: i.sopClassUid,
        transfer_syntax_uid: text(i.transferSyntaxUid),
        number: unsigned(i.number),
        title: text(i.title),
        frames: unsigned(i.numberOfFrames),
        digest: i.digest ?? null,
        locator: i.locator.slice(0, 1_000),
      }),
    ),
  );
  return {
    studyInstanceUid: study.studyInstanceUid,
    attributes: {
      claimed_instances: unsigned(study.claimedInstances),
      started: dateTime(study.started),
      accession_number: text(study.accessionNumber),
      description: text(study.description),
      study_number: text(study.studyId),
      referring_physician: text(study.referringPhysicianName),
    },
    series: distinctSeries(study.series.map(seriesFacts)),
    ...distinctInstances(instances),
  };
}

function seriesFacts(series: SeriesDescription): SeriesFacts {
  return {
    series_instance_uid: series.seriesInstanceUid,
    modality: modality(series.modality),
    number: unsigned(series.number),
    description: text(series.description),
    body_part: text(series.bodyPartExamined),
    laterality: series.laterality ?? null,
    started: dateTime(series.started),
    performed_date: series.performedStart?.date ?? null,
    performed_time: series.performedStart?.time ?? null,
    request_attributes: requests(series.requestAttributes),
  };
}

/**
 * Facts of a pushed ImagingStudy that has passed validation. Series without instances and what else it says of the study stay in the
 * resource alone. @throws Refusal 400 when it has no Study Instance UID.
 */
export function factsOfResource(resource: FhirResource): StudyFacts {
  const listed = ((resource.series ?? []) as FhirResource[]).filter((series) => (series.instance ?? []).length > 0);
  const instances = listed.flatMap((series) =>
    ((series.instance ?? []) as FhirResource[]).map(
      (i): InstanceFacts => ({
        series_instance_uid: series.uid,
        sop_instance_uid: i.uid,
        sop_class_uid: withoutUrn(i.sopClass?.code ?? ''),
        transfer_syntax_uid: null,
        number: unsigned(i.number),
        title: text(i.title),
        frames: null,
        digest: null,
        locator: null,
      }),
    ),
  );
  return {
    studyInstanceUid: studyInstanceUidOf(resource),
    attributes: {
      claimed_instances: unsigned(resource.numberOfInstances),
      started: null,
      accession_number: null,
      description: null,
      study_number: null,
      referring_physician: null,
    },
    series: distinctSeries(listed.map(pushedSeriesFacts)),
    ...distinctInstances(instances),
  };
}

function pushedSeriesFacts(series: FhirResource): SeriesFacts {
  return {
    series_instance_uid: series.uid,
    modality: modality(series.modality?.code),
    number: unsigned(series.number),
    description: text(series.description),
    body_part: bodyPartOfCode(series.bodySite?.code ?? '')?.term ?? null,
    laterality: LATERALITY[series.laterality?.code] ?? null,
    started: dateTime(series.started),
    performed_date: null,
    performed_time: null,
    request_attributes: null,
  };
}

/** SNOMED CT codes of ImagingStudy.series.laterality. */
const LATERALITY: Readonly<Record<string, 'R' | 'L'>> = { '24028007': 'R', '7771000': 'L' };

/** The UID of the identifier with system `urn:dicom:uid` (FHIR R4 ImagingStudy, notes). */
export function studyInstanceUidOf(resource: FhirResource): string {
  const identifiers: { system?: string; value?: string }[] = resource.identifier ?? [];
  const value = identifiers.find((i) => i.system === systems.dicomUid)?.value;
  if (!value) throw invalid('A study has its Study Instance UID.', 'ImagingStudy.identifier');
  return withoutUrn(value);
}

const withoutUrn = (value: string): string => value.replace(/^urn:oid:/, '');

/** Text that FHIR and PostgreSQL can hold; anything else counts as absent. */
export const text = (value: string | undefined): string | null =>
  value && isCleanText(value) ? value.trim().slice(0, 1_000) || null : null;

/** Items whose texts can be stored, in one order, so that equal ones compare equal. */
function requests(given: SeriesDescription['requestAttributes']): string | null {
  const items = (given ?? [])
    .map(({ scheduledProcedureStepId, requestedProcedureId }) => ({
      scheduledProcedureStepId: text(scheduledProcedureStepId) ?? undefined,
      requestedProcedureId: text(requestedProcedureId) ?? undefined,
    }))
    .map((item) => JSON.stringify(item))
    .filter((item) => item !== '{}');
  return items.length > 0 ? `[${[...new Set(items)].sort().join(',')}]` : null;
}

/** FHIR unsignedInt; DICOM's Integer String may be negative, which has no place in FHIR. */
const unsigned = (value: unknown): number | null =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 2_147_483_647 ? (value as number) : null;

export const dateTime = (value: string | undefined): string | null => (value && isDateTime(value) ? value : null);

/** Code string of PS3.5 section 6.2; what is none counts as unknown. */
const modality = (value: string | undefined): string | null => (value && /^[A-Z0-9_ ]{1,16}$/.test(value) ? value : null);

/** One row a series; sorted, so that parallel writers take locks in one order. */
function distinctSeries(series: readonly SeriesFacts[]): SeriesFacts[] {
  const byUid = new Map<string, SeriesFacts>();
  for (const one of series) {
    const known = byUid.get(one.series_instance_uid);
    byUid.set(one.series_instance_uid, known ? leastOf(known, one) : one);
  }
  return [...byUid.values()].sort((a, b) => compare(a.series_instance_uid, b.series_instance_uid));
}

/** Where parts disagree the lesser value stands, as in the statements: whatever the order they come in, the outcome is the same. */
export function leastOf<T extends object>(a: T, b: T): T {
  const merged = Object.entries(a).map(([name, x]) => {
    const y = (b as Record<string, unknown>)[name] ?? null;
    return [name, x === null || y === null ? (x ?? y) : y < x ? y : x];
  });
  return Object.fromEntries(merged) as T;
}

function distinctInstances(instances: readonly InstanceFacts[]): Pick<StudyFacts, 'instances' | 'repeated'> {
  const byUid = new Map<string, InstanceFacts>();
  const repeated: InstanceFacts[] = [];
  for (const one of instances) {
    const first = byUid.get(one.sop_instance_uid);
    if (!first) byUid.set(one.sop_instance_uid, one);
    else if (first.digest !== one.digest || first.series_instance_uid !== one.series_instance_uid) repeated.push(one);
  }
  return { instances: [...byUid.values()].sort((a, b) => compare(a.sop_instance_uid, b.sop_instance_uid)), repeated };
}

export const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
