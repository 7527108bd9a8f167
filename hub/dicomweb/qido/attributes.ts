import { get_element } from '@iwharris/dicom-data-dictionary';

/** Levels of QIDO-RS (PS3.18 table 10.6.1-1). */
export type Level = 'study' | 'series' | 'instance';

/** How the value of a key is matched (PS3.4 C.2.2.2): a list of UIDs, text with wildcards, a range, a number. */
export type Matching = 'uid' | 'code' | 'text' | 'folded-text' | 'name' | 'date' | 'time' | 'number';

/** An attribute that a search can be asked for. */
export interface Attribute {
  /** `GGGGEEEE`, for an attribute of a sequence's items after the sequence and a dot. */
  path: string;
  keyword: string;
  level: Level;
  /** Is part of every answer (PS3.18 tables 10.6.3-3 to -5); others where they are asked for. */
  isAlways: boolean;
  /** Absent: it is answered and can't be matched. */
  matching?: Matching;
}

const attribute =
  (level: Level, isAlways: boolean) =>
  (path: string, keyword: string, matching?: Matching): Attribute => ({
    path,
    keyword,
    level,
    isAlways,
    ...(matching ? { matching } : {}),
  });

const study = attribute('study', true);
const series = attribute('series', true);
const instance = attribute('instance', true);
const moreOfStudy = attribute('study', false);
const moreOfSeries = attribute('series', false);

/** What the index knows of studies, series and instances: everything that PS3.18 table 10.6.1-5 has matched, and what viewers ask for beside it. */
export const ATTRIBUTES: readonly Attribute[] = [
  study('00080020', 'StudyDate', 'date'),
  study('00080030', 'StudyTime', 'time'),
  study('00080050', 'AccessionNumber', 'text'),
  study('00080056', 'InstanceAvailability'),
  study('00080061', 'ModalitiesInStudy', 'code'),
  study('00080080', 'InstitutionName'),
  study('00080090', 'ReferringPhysicianName', 'name'),
  study('00080201', 'TimezoneOffsetFromUTC'),
  moreOfStudy('00081030', 'StudyDescription', 'folded-text'),
  study('00081190', 'RetrieveURL'),
  study('00100010', 'PatientName', 'name'),
  study('00100020', 'PatientID', 'text'),
  study('00100021', 'IssuerOfPatientID', 'text'),
  study('00100030', 'PatientBirthDate', 'date'),
  study('00100040', 'PatientSex', 'code'),
  moreOfStudy('00101002', 'OtherPatientIDsSequence'),
  study('0020000D', 'StudyInstanceUID', 'uid'),
  study('00200010', 'StudyID', 'text'),
  study('00201206', 'NumberOfStudyRelatedSeries'),
  study('00201208', 'NumberOfStudyRelatedInstances'),
  moreOfSeries('00080021', 'SeriesDate'),
  moreOfSeries('00080031', 'SeriesTime'),
  series('00080060', 'Modality', 'code'),
  series('0008103E', 'SeriesDescription', 'folded-text'),
  moreOfSeries('00180015', 'BodyPartExamined', 'code'),
  series('0020000E', 'SeriesInstanceUID', 'uid'),
  series('00200011', 'SeriesNumber', 'number'),
  moreOfSeries('00200060', 'Laterality'),
  series('00201209', 'NumberOfSeriesRelatedInstances'),
  series('00400244', 'PerformedProcedureStepStartDate', 'date'),
  series('00400245', 'PerformedProcedureStepStartTime', 'time'),
  series('00400275', 'RequestAttributesSequence'),
  series('00400275.00400009', 'ScheduledProcedureStepID', 'text'),
  series('00400275.00401001', 'RequestedProcedureID', 'text'),
  instance('00080016', 'SOPClassUID', 'uid'),
  instance('00080018', 'SOPInstanceUID', 'uid'),
  instance('00083002', 'AvailableTransferSyntaxUID'),
  instance('00200013', 'InstanceNumber', 'number'),
  instance('00280008', 'NumberOfFrames'),
];

const byPath = new Map(ATTRIBUTES.map((one) => [one.path, one]));

/** The attribute of the index at a path of tags. */
export const attributeAt = (path: string): Attribute | undefined => byPath.get(path);

/**
 * The path of tags that an attribute is named by in a request: `PatientID`, `00100020`, `RequestAttributesSequence.RequestedProcedureID`.
 * @returns undefined for what PS3.6 does not know. Private attributes are taken as they are, by their tag.
 */
export function pathOf(name: string): string | undefined {
  const tags = name.split('.').map(tagOf);
  return tags.length <= MOST_STEPS && tags.every((tag) => tag !== undefined) ? tags.join('.') : undefined;
}

const MOST_STEPS = 4;

function tagOf(name: string): string | undefined {
  if (/^[0-9A-Fa-f]{8}$/.test(name)) {
    const tag = name.toUpperCase();
    const isPrivate = Number.parseInt(tag.slice(0, 4), 16) % 2 === 1;
    return isPrivate || get_element(tag) ? tag : undefined;
  }
  if (!/^[A-Z][A-Za-z0-9]{1,63}$/.test(name)) return undefined;
  return get_element(name)?.tag.replace(/[(),]/g, '').toUpperCase();
}
