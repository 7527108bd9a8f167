import type {
  InstanceDescription,
  PatientDescription,
  QuarantineReason,
  RequestAttributes,
  SeriesDescription,
  StudyDescription,
} from '../connector.js';
import { copiedFrom } from './copy-mark.js';
import { fhirDate, fhirDateTime } from './date-time.js';
import { isUid } from './uid.js';
import type { DicomJson, PersonName } from './values.js';

/** The unique identifiers that an object states, as far as it states them. */
export interface KnownUids {
  studyInstanceUid?: string;
  seriesInstanceUid?: string;
  sopInstanceUid?: string;
}

/** A problem as a value: why an object is not taken, and what is known of it. */
export interface Refused extends KnownUids {
  ok: false;
  reason: QuarantineReason;
  /** One sentence; never patient data. */
  detail: string;
  digest?: string;
}

/** What the attributes alone don't tell. */
export interface Provenance {
  digest?: string;
  locator: string;
  transferSyntaxUid?: string;
  /** `+08:00`: for sources that don't state Timezone Offset From UTC. */
  defaultUtcOffset?: string;
}

const mandatoryUids = [
  ['0020000D', 'Study Instance UID'],
  ['0020000E', 'Series Instance UID'],
  ['00080018', 'SOP Instance UID'],
  ['00080016', 'SOP Class UID'],
] as const;
const maxText = 1024;

/** The attributes of one instance as a study that holds this instance alone (PS3.3 C.7.1.1, C.7.2.1, C.7.3.1, C.12.1). */
export function describeInstance(json: DicomJson, provenance: Provenance): { ok: true; study: StudyDescription } | Refused {
  for (const [tag, name] of mandatoryUids) {
    const uid = text(json, tag);
    if (uid === undefined) return { ok: false, reason: 'missing-identifier', detail: `${name} is missing.`, ...knownUids(json) };
    if (!isUid(uid)) return { ok: false, reason: 'invalid-uid', detail: `${name} is not a valid UID.`, ...knownUids(json) };
  }
  const series = { ...describeSeries(json, provenance), instances: [describeObject(json, provenance)] };
  return { ok: true, study: { ...describeStudy(json, provenance), series: [series] } };
}

/** General Study and Patient attributes, also of a QIDO-RS study result; no series. */
export function describeStudy(json: DicomJson, { defaultUtcOffset }: Pick<Provenance, 'defaultUtcOffset'>): StudyDescription {
  return compact({
    studyInstanceUid: text(json, '0020000D') ?? '',
    patient: describePatient(json),
    started: fhirDateTime(text(json, '00080020'), text(json, '00080030'), text(json, '00080201'), defaultUtcOffset),
    accessionNumber: text(json, '00080050'),
    description: text(json, '00081030'),
    studyId: text(json, '00200010'),
    referringPhysicianName: personName(json, '00080090'),
    series: [],
    claimedInstances: count(json, '00201208'),
  });
}

/** The UIDs that are stated and valid. */
export function knownUids(json: DicomJson): KnownUids {
  const valid = (tag: string) => {
    const uid = text(json, tag);
    return uid !== undefined && isUid(uid) ? uid : undefined;
  };
  return compact({
    studyInstanceUid: valid('0020000D'),
    seriesInstanceUid: valid('0020000E'),
    sopInstanceUid: valid('00080018'),
  });
}

/** First value of an attribute as text, trimmed; undefined when it is absent, empty or something else than text or a number. */
export function text(json: DicomJson, tag: string): string | undefined {
  const value = firstValue(json, tag);
  if (typeof value !== 'string' && typeof value !== 'number') return undefined;
  // NUL and half characters can be stored in no database text, and other controls never belong to these attributes.
  const clean = String(value)
    .replace(/[\0-\x08\x0b-\x1f\x7f]/g, '')
    .trim()
    .slice(0, maxText);
  const trimmed = clean.replace(/\p{Surrogate}/gu, '\ufffd');
  return trimmed === '' ? undefined : trimmed;
}

function describePatient(json: DicomJson): PatientDescription {
  return compact({
    patientId: text(json, '00100020'),
    issuerOfPatientId: text(json, '00100021'),
    name: personName(json, '00100010'),
    birthDate: fullDate(text(json, '00100030')),
    sex: sexes[text(json, '00100040')?.toUpperCase() ?? ''],
  });
}

const sexes: Record<string, PatientDescription['sex']> = { M: 'male', F: 'female', O: 'other', U: 'unknown' };

function describeSeries(json: DicomJson, { defaultUtcOffset }: Provenance): SeriesDescription {
  const laterality = text(json, '00200060')?.toUpperCase();
  return compact({
    seriesInstanceUid: text(json, '0020000E') ?? '',
    modality: text(json, '00080060')?.toUpperCase(),
    number: integer(json, '00200011'),
    description: text(json, '0008103E'),
    bodyPartExamined: text(json, '00180015')?.toUpperCase(),
    laterality: laterality === 'R' || laterality === 'L' ? laterality : undefined,
    started: fhirDateTime(text(json, '00080021'), text(json, '00080031'), text(json, '00080201'), defaultUtcOffset),
    performedStart: performedStart(json),
    requestAttributes: requestAttributes(json),
    instances: [],
  });
}

function describeObject(json: DicomJson, { digest, locator, transferSyntaxUid }: Provenance): InstanceDescription {
  return compact({
    sopInstanceUid: text(json, '00080018') ?? '',
    sopClassUid: text(json, '00080016') ?? '',
    transferSyntaxUid: transferSyntaxUid ?? text(json, '00083002'),
    number: integer(json, '00200013'),
    title: text(json, '00420010') ?? codeMeaning(json, '0040A043'),
    numberOfFrames: count(json, '00280008'),
    digest,
    copyOf: copiedFrom(json),
    locator,
  });
}

function performedStart(json: DicomJson): SeriesDescription['performedStart'] {
  const [date, time] = [text(json, '00400244'), text(json, '00400245')];
  if (date === undefined || !fullDate(date)) return undefined;
  return compact({ date, time: time !== undefined && /^\d\d(\d\d(\d\d(\.\d{1,6})?)?)?$/.test(time) ? time : undefined });
}

/** The first items: a series answers to one request, rarely to several. */
const maxRequests = 10;

function requestAttributes(json: DicomJson): RequestAttributes[] | undefined {
  const items = json['00400275']?.Value;
  const requests = (Array.isArray(items) ? items.slice(0, maxRequests) : [])
    .filter((item) => item !== null && typeof item === 'object')
    .map((item) =>
      compact({
        scheduledProcedureStepId: text(item as DicomJson, '00400009'),
        requestedProcedureId: text(item as DicomJson, '00401001'),
      }),
    )
    .filter((request) => Object.keys(request).length > 0);
  return requests.length > 0 ? requests : undefined;
}

/** Title of a structured report: the meaning of its Concept Name Code (0040,A043). */
function codeMeaning(json: DicomJson, tag: string): string | undefined {
  const code = firstValue(json, tag);
  return code !== null && typeof code === 'object' ? text(code as DicomJson, '00080104') : undefined;
}

/** All component groups, joined as in the data set. */
function personName(json: DicomJson, tag: string): string | undefined {
  const value = firstValue(json, tag);
  if (value === null || typeof value !== 'object') return text(json, tag);
  const { Alphabetic, Ideographic, Phonetic } = value as PersonName;
  const groups = [Alphabetic, Ideographic, Phonetic].map((group) => (typeof group === 'string' ? group : undefined));
  const stated = groups.slice(0, groups.findLastIndex((group) => group !== undefined) + 1);
  const name = stated.map((group) => group ?? '').join('=');
  return /^=*$/.test(name) ? undefined : text({ [tag]: { vr: 'PN', Value: [name] } }, tag);
}

function fullDate(da: string | undefined): string | undefined {
  const date = fhirDate(da);
  return date?.length === 10 ? date : undefined;
}

function integer(json: DicomJson, tag: string): number | undefined {
  const value = Number(text(json, tag) ?? Number.NaN);
  return Number.isInteger(value) && Math.abs(value) < 2 ** 31 ? value : undefined;
}

function count(json: DicomJson, tag: string): number | undefined {
  const value = integer(json, tag);
  return value !== undefined && value > 0 ? value : undefined;
}

function firstValue(json: DicomJson, tag: string): unknown {
  const values = json[tag]?.Value;
  return Array.isArray(values) ? values[0] : undefined;
}

function compact<T extends object>(object: T): T {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as T;
}
