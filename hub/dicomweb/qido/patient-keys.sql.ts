import type { RequestAccess } from '../../access/decision.js';
import type { Condition } from '../../fhir/search-conditions.js';
import { conditionsSql } from '../../fhir/search-conditions.sql.js';
import { ofPersons } from '../../fhir/patient-conditions.js';
import { and, raw, type Sql, sql } from '../../store/sql.js';
import { isCalled, isCalledLike } from './name-conditions.sql.js';
import type { Key } from './query.js';
import { textMeets } from './text-conditions.sql.js';

const NUMBER = '00100020';
const ISSUER = '00100021';
const PATIENT: ReadonlySet<string> = new Set(['00100010', NUMBER, ISSUER, '00100030', '00100040']);

/** Attributes of the Patient: whoever searches by them has to be allowed to search Patients. */
export const isOfPatient = ({ attribute }: Key): boolean => PATIENT.has(attribute.path);

/** A Patient ID without wildcards, and its issuer where that is given. */
export interface NamedNumber {
  value: string;
  issuer: string | undefined;
}

export function namedNumber(keys: readonly Key[]): NamedNumber | undefined {
  const of = (path: string) => keys.find(({ attribute }) => attribute.path === path)?.match;
  const [number, issuer] = [of(NUMBER), of(ISSUER)];
  if (number?.kind !== 'one-of' || number.values[0] === undefined || (issuer && issuer.kind !== 'one-of')) return undefined;
  return { value: number.values[0].trim(), issuer: issuer?.values[0] };
}

/**
 * A Patient ID without wildcards, with its issuer where that is given, names a patient as FHIR search does: whoever knows the patient by one
 * hospital's number finds the studies of the same person elsewhere.
 */
export function namedPatient(keys: readonly Key[]): { condition?: Condition; left: readonly Key[] } {
  const named = namedNumber(keys);
  if (!named) return { left: keys };
  return {
    condition: { kind: 'patient-identifier', identifiers: [{ system: named.issuer, value: named.value }] },
    left: keys.filter(({ attribute }) => attribute.path !== NUMBER && attribute.path !== ISSUER),
  };
}

/** The study is of a person one of whose Patients, which the caller may read, meets all of these keys. */
export function ofPatientsWith(keys: readonly Key[], fuzzy: boolean, access: RequestAccess): Sql[] {
  if (keys.length === 0) return [];
  const patients = conditionsSql({ type: 'Patient', conditions: [] }, access);
  return [ofPersons(and([patients, ...keys.map((key) => patientTest(key, fuzzy)), access.filter('read', 'Patient')]))];
}

function patientTest({ attribute, match, value }: Key, fuzzy: boolean): Sql {
  switch (attribute.keyword) {
    case 'PatientName':
      return fuzzy ? isCalledLike(value) : isCalled(value);
    case 'PatientID':
      return numbered(textMeets(raw('i.value'), match));
    case 'IssuerOfPatientID':
      return numbered(textMeets(raw('i.system'), match));
    case 'PatientBirthDate':
      return textMeets(raw("replace(r.content->>'birthDate', '-', '')"), match);
    default:
      return textMeets(sql`${raw(SEX)}`, match);
  }
}

/** Numbers that a hospital gave; one that is kept as a digest is found by itself only. */
const numbered = (test: Sql): Sql =>
  sql`r.id in (select i.patient_id from patient_identifier i where i.kind = 'hospital' and i.value not like '~%' and ${test})`;

const SEX = `case r.content->>'gender' when 'male' then 'M' when 'female' then 'F' when 'other' then 'O' end`;
