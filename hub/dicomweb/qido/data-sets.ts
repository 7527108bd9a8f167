import { identifierTypes } from '../../../fhir-profiles/codes.js';
import type { DicomJson } from '../../../connectors/dicom/values.js';
import { dictionaryVr } from '../../../connectors/dicom/vr.js';
import type { Shown } from '../../access/shown.js';
import { type HumanName, personNameGroups } from '../../identity/person-name.js';
import { toResource } from '../../store/resources.js';
import type { FhirResource } from '../../store/search-keys.js';
import { type Known, keyOf, type KnownOfStudy, studyUidOf } from './known-of-studies.sql.js';

/** Values by attribute path; what has none is absent. Texts and numbers as they stand in DICOM JSON. */
export type Values = ReadonlyMap<string, readonly unknown[]>;

/** A study as it is shown, with its series and their instances as far as they are; its patient stands apart. */
export interface StudyData {
  values: Values;
  series: readonly SeriesData[];
}
export interface SeriesData {
  values: Values;
  instances: readonly Values[];
}

interface Series {
  uid?: string;
  number?: number;
  modality?: { code?: string };
  description?: string;
  numberOfInstances?: number;
  laterality?: { code?: string };
  started?: string;
  instance?: { uid?: string; sopClass?: { code?: string }; number?: number }[];
}

type Given = readonly (readonly [path: string, ...values: unknown[]])[];

const valuesOf = (given: Given): Map<string, unknown[]> =>
  new Map(
    given
      .map(([path, ...values]) => [path, values.filter((v) => v !== undefined && v !== null && v !== '')] as const)
      .filter(([, values]) => values.length > 0),
  );

/**
 * The attributes of a study that a caller is shown (PS3.18 tables 10.6.3-3 to -5), from the resource as it is shown; from the rows of the index
 * comes what FHIR has no place for, of a study that is shown whole, and of those series of it that are shown.
 * @param root of the DICOMweb services.
 */
export function studyData({ row, isPart }: Pick<Shown, 'row' | 'isPart'>, known: Known, root: string): StudyData {
  const study = toResource(row);
  const uid = studyUidOf(study);
  const key = keyOf({ custodianId: row.custodian_id, studyInstanceUid: uid });
  const ofStudy = known.studies.get(key);
  const retrieval = (path: string): string => `${root}/studies/${uid}${path}?custodian=${row.custodian_id}`;
  const values = valuesOf([
    ...dateAndTime(study.started, '00080020', '00080030'),
    ['00080050', accessionNumber(study)],
    ['00080056', ofStudy?.isStored ? 'ONLINE' : 'UNAVAILABLE'],
    ['00080061', ...(study.modality ?? []).map((m: { code?: string }) => m?.code)],
    ['00080080', known.custodians.get(row.custodian_id)?.name],
    ['00080090', isPart ? undefined : referrer(ofStudy, study)],
    ['00080201', offsetOf(study.started)],
    ['00081030', study.description],
    ['00081190', ofStudy?.isStored ? retrieval('') : undefined],
    ['0020000D', uid],
    ['00200010', isPart ? undefined : ofStudy?.studyNumber],
    ['00201206', study.numberOfSeries],
    ['00201208', study.numberOfInstances],
  ]);
  const series = ((study.series ?? []) as Series[]).map((one) => seriesData(one, key, known, ofStudy, retrieval));
  return { values, series };
}

function seriesData(
  one: Series,
  key: string,
  known: Known,
  ofStudy: KnownOfStudy | undefined,
  retrieval: (path: string) => string,
): SeriesData {
  const row = known.series.get(`${key} ${one.uid}`);
  const requests = (row?.requestAttributes ?? []).map(({ scheduledProcedureStepId, requestedProcedureId }) => ({
    ...(scheduledProcedureStepId ? { '00400009': { vr: 'SH', Value: [scheduledProcedureStepId] } } : {}),
    ...(requestedProcedureId ? { '00401001': { vr: 'SH', Value: [requestedProcedureId] } } : {}),
  }));
  const path = `/series/${one.uid}`;
  const values = valuesOf([
    ...dateAndTime(one.started, '00080021', '00080031'),
    ['00080060', one.modality?.code],
    ['0008103E', one.description],
    ['00081190', ofStudy?.isStored ? retrieval(path) : undefined],
    ['00180015', row?.bodyPart],
    ['0020000E', one.uid],
    ['00200011', one.number],
    ['00200060', LATERALITY[one.laterality?.code ?? '']],
    ['00201209', one.numberOfInstances],
    ['00400244', row?.performedDate],
    ['00400245', row?.performedTime],
    ['00400275', ...requests],
    ['00400275.00400009', ...(row?.requestAttributes ?? []).map((r) => r.scheduledProcedureStepId)],
    ['00400275.00401001', ...(row?.requestAttributes ?? []).map((r) => r.requestedProcedureId)],
  ]);
  const instances = (one.instance ?? []).map(({ uid, sopClass, number }) => {
    const object = known.instances.get(`${key} ${uid}`);
    return valuesOf([
      ['00080016', sopClass?.code?.replace(/^urn:oid:/, '')],
      ['00080018', uid],
      ['00081190', ofStudy?.isStored ? retrieval(`${path}/instances/${uid}`) : undefined],
      ['00083002', object?.transferSyntaxUid],
      ['00200013', number],
      ['00280008', object?.frames],
    ]);
  });
  return { values, instances };
}

/** SNOMED CT codes of ImagingStudy.series.laterality. */
const LATERALITY: Readonly<Record<string, string>> = { '24028007': 'R', '7771000': 'L' };

/** The attributes of a study's patient. @param assigner system of the custodian's own numbers. */
export function patientValues(patient: FhirResource, assigner: string | null): Values {
  const identifiers = (patient.identifier ?? []) as { system?: string; value?: string }[];
  const number = identifiers.find(({ system }) => assigner !== null && system === assigner)?.value;
  const birthDate = typeof patient.birthDate === 'string' ? patient.birthDate : '';
  return valuesOf([
    ['00100010', personNameGroups(patient.name as HumanName[] | undefined)],
    ['00100020', number],
    ['00100021', number === undefined ? undefined : assigner],
    ['00100030', birthDate.length === 10 ? birthDate.replaceAll('-', '') : undefined],
    ['00100040', { male: 'M', female: 'F', other: 'O' }[patient.gender as string]],
  ]);
}

/** As in DICOM, where the index has the name of the object; else as the study was described. */
function referrer(known: KnownOfStudy | undefined, study: FhirResource): object | undefined {
  const name = known?.referringPhysician ?? (study.referrer?.display as string | undefined);
  if (!name) return undefined;
  const [Alphabetic = '', Ideographic, Phonetic] = name.split('=');
  return { Alphabetic, ...(Ideographic ? { Ideographic } : {}), ...(Phonetic ? { Phonetic } : {}) };
}

const accessionNumber = (study: FhirResource): string | undefined =>
  ((study.identifier ?? []) as { type?: { coding?: { code?: string }[] }; value?: string }[]).find((i) =>
    i.type?.coding?.some((c) => c.code === identifierTypes.accessionNumber),
  )?.value;

/** Date and time as they were stated, in the offset of the study. */
function dateAndTime(started: unknown, dateTag: string, timeTag: string): Given {
  const [, date, time] = /^(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?))?/.exec(String(started ?? '')) ?? [];
  return [
    [dateTag, date?.replaceAll('-', '')],
    [timeTag, time?.replaceAll(':', '')],
  ];
}

function offsetOf(started: unknown): string | undefined {
  const [, offset] = /T.*(Z|[+-]\d\d:\d\d)$/.exec(String(started ?? '')) ?? [];
  return offset === 'Z' ? '+0000' : offset?.replace(':', '');
}

/** The data set of an answer in the DICOM JSON model: the attributes that are wanted, those without a value too. */
export function dataSet(paths: readonly string[], values: Values): DicomJson {
  const json: DicomJson = { '00080005': { vr: 'CS', Value: ['ISO_IR 192'] } };
  for (const path of paths.filter((p) => !p.includes('.'))) {
    const value = values.get(path);
    json[path] = { vr: dictionaryVr(path), ...(value ? { Value: [...value] } : {}) };
  }
  return Object.fromEntries(Object.entries(json).sort(([a], [b]) => (a < b ? -1 : 1)));
}
