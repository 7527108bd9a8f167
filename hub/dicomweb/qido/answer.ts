import type { DicomJson } from '../../../connectors/dicom/values.js';
import type { Caller } from '../../access/caller.js';
import type { RequestAccess } from '../../access/decision.js';
import type { Shown } from '../../access/shown.js';
import { includedWith } from '../../fhir/includes.js';
import { includeOf } from '../../fhir/search-includes.js';
import type { Queryable } from '../../store/database.js';
import { toResource } from '../../store/resources.js';
import { ATTRIBUTES, type Level } from './attributes.js';
import { dataSet, patientValues, type Values } from './data-sets.js';
import { type NamedNumber, namedNumber } from './patient-keys.sql.js';
import type { QidoQuery } from './query.js';
import type { Result } from './results.js';

/** What an answer shows of whom. */
export interface Answer {
  dataSets: DicomJson[];
  /** The studies that it is of, and their Patients, as far as the caller may read them. */
  matches: Shown[];
  patients: Shown[];
}

const PATIENT = includeOf('ImagingStudy', '_include', 'ImagingStudy:patient');

/** The data sets of results; a patient whom the caller may not read, or whom his token's scope leaves out, has no attributes in them. */
export async function answerOf(
  tx: Queryable,
  access: RequestAccess,
  caller: Caller,
  query: QidoQuery,
  results: readonly Result[],
): Promise<Answer> {
  const matches = [...new Set(results.map(({ study }) => study))];
  const rows = matches.map(({ row }) => row);
  const named = namedNumber(query.keys);
  const paths = [...pathsOf(query), ...(named ? [OTHER_NUMBERS] : [])];
  const showsPatient = rows.length > 0 && paths.some((path) => path.startsWith('0010'));
  const { included: patients } = showsPatient
    ? await includedWith(tx, access, caller, [PATIENT], rows)
    : { included: [] as Shown[] };
  const byId = new Map(patients.map(({ row }) => [row.id, toResource(row)]));
  const dataSets = results.map(({ study, custodian, levels }) => {
    const patient = byId.get(study.row.patient_id);
    const ofPatient = patient ? patientValues(patient, custodian?.assigner ?? null) : new Map();
    return dataSet(paths, new Map([...ofPatient, ...otherNumber(named, ofPatient), ...levels.flatMap((values) => [...values])]));
  });
  return { dataSets, matches, patients };
}

const OTHER_NUMBERS = '00101002';

/** A study that was found by another hospital's number of its patient says so, so that a client knows it for what it asked for. */
function otherNumber(named: NamedNumber | undefined, ofPatient: Values): [string, unknown[]][] {
  if (!named || ofPatient.get('00100020')?.[0] === named.value) return [];
  const issuer = named.issuer === undefined ? {} : { '00100021': { vr: 'LO', Value: [named.issuer] } };
  return [[OTHER_NUMBERS, [{ '00100020': { vr: 'LO', Value: [named.value] }, ...issuer }]]];
}

const LEVELS: readonly Level[] = ['study', 'series', 'instance'];

/**
 * The attributes of an answer (PS3.18 section 10.6.3.3): those of its level and of the levels that the path does not name, and what is asked for of
 * any of these. Its address, and the identifiers above it that make its own one unique, are always among them.
 */
function pathsOf({ level, studyInstanceUid, seriesInstanceUid, include, keys }: QidoQuery): string[] {
  const first = seriesInstanceUid ? 2 : studyInstanceUid ? 1 : 0;
  const asked = new Set([...(include === 'all' ? [] : include), ...keys.map(({ attribute }) => attribute.path)]);
  const wanted = ATTRIBUTES.filter(({ path, level: of, isAlways }) => {
    const at = LEVELS.indexOf(of);
    return at <= LEVELS.indexOf(level) && (asked.has(path) || (at >= first && (isAlways || include === 'all')));
  });
  const addressed = ['00081190', '0020000D', ...(level === 'study' ? [] : ['0020000E'])];
  return [...new Set([...wanted.map(({ path }) => path), ...addressed])];
}
