import { systems } from '../../../fhir-profiles/codes.js';
import type { Field, Writer } from './elements.js';

/** A coded concept as FHIR has it. */
export interface Concept {
  system: string;
  code: string;
  display: string;
}

/** Coding Scheme Designators (PS3.16 section 8). */
const DESIGNATORS: Readonly<Record<string, string>> = {
  [systems.dicomTerminology]: 'DCM',
  [systems.snomed]: 'SCT',
  [systems.loinc]: 'LN',
  [systems.ucum]: 'UCUM',
  'http://radlex.org': 'RADLEX',
  'http://www.nlm.nih.gov/research/umls': 'UMLS',
  'urn:ietf:bcp:47': 'RFC5646',
};

/** Schemes that DICOM has no name for get one that begins with 99 (PS3.16 section 8.2); Coding Scheme Identification Sequence says what it stands for. */
const privateDesignator = (system: string): string => (system === systems.modelOutput ? '99FEDHUB' : `99${hashed(system)}`);

const hashed = (text: string): string =>
  [...text]
    .reduce((sum, character) => (Math.imul(sum, 31) + character.codePointAt(0)!) >>> 0, 7)
    .toString(36)
    .toUpperCase();

const designatorOf = (system: string): string => DESIGNATORS[system] ?? privateDesignator(system);

export const dcm = (code: string, display: string): Concept => ({ system: systems.dicomTerminology, code, display });
export const sct = (code: string, display: string): Concept => ({ system: systems.snomed, code, display });
export const ucum = (code: string): Concept => ({ system: systems.ucum, code, display: UNITS[code] ?? code });
/** A concept of the hub's own code system for what models put out. */
export const ofModels = (code: string, display: string): Concept => ({ system: systems.modelOutput, code, display });

const UNITS: Readonly<Record<string, string>> = {
  '1': 'no units',
  '%': 'percent',
  mm: 'millimeter',
  mm3: 'cubic millimeter',
  mL: 'milliliter',
  ml: 'milliliter',
  cm3: 'cubic centimeter',
};

/** Longest Code Value (0008,0100), VR SH; a longer one is a Long Code Value (0008,0119). */
const LONGEST_CODE = 16;

/** Code Sequence Macro (PS3.3 table 8.8-1). */
export const codeItem = (writer: Writer, { system, code, display }: Concept): Field[] => [
  code.length > LONGEST_CODE ? writer.text('00080119', 'UC', code) : writer.text('00080100', 'SH', code),
  writer.text('00080102', 'SH', designatorOf(system)),
  writer.text('00080104', 'LO', display),
];

/** Coding Scheme Identification Sequence (0008,0110; PS3.3 C.12.1): the schemes of these systems that DICOM does not name. */
export function codingSchemes(writer: Writer, used: readonly string[]): Field[] {
  const unnamed = [...new Set(used)].filter((system) => !(system in DESIGNATORS)).sort();
  const item = (system: string) => [
    writer.text('00080102', 'SH', privateDesignator(system)),
    writer.text('0008010E', 'UR', system),
  ];
  return unnamed.length === 0 ? [] : [writer.sequence('00080110', unnamed.map(item))];
}
