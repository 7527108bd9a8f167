import { systems } from '../../fhir-profiles/codes.js';
import { DELETED, type Segment } from './message.js';

/** Coding systems (table 0396) that FHIR knows by an address. Of local codes the code and its words stay, without a system. */
const CODING_SYSTEMS: Readonly<Record<string, string>> = {
  LN: systems.loinc,
  LOINC: systems.loinc,
  SCT: systems.snomed,
  SNM: systems.snomed,
  DCM: systems.dicomTerminology,
  UCUM: systems.ucum,
  I10: 'http://hl7.org/fhir/sid/icd-10',
  RADLEX: 'http://radlex.org',
};

export interface Concept {
  coding?: { system?: string; code: string; display?: string }[];
  text?: string;
}

/** A coded element (CE, CWE) with its alternate; undefined when it is empty. */
export function conceptOf(segment: Segment, field: number, repetition = 1): Concept | undefined {
  const part = (component: number): string => {
    const value = segment.value(field, component, { repetition });
    return value === DELETED ? '' : value;
  };
  const coding = [1, 4].flatMap((first) => {
    const [code = '', display = '', name = ''] = [0, 1, 2].map((i) => part(first + i));
    if (!/^\S+( \S+)*$/.test(code)) return [];
    const system = CODING_SYSTEMS[name.toUpperCase()];
    return [{ ...(system ? { system } : {}), code, ...(display ? { display } : {}) }];
  });
  const text = part(9) || part(2) || part(5) || part(1);
  if (coding.length === 0 && !text) return undefined;
  return { ...(coding.length > 0 ? { coding } : {}), ...(text ? { text } : {}) };
}

/** Modalities that are asked for and reported on. */
const MODALITIES = new Set([
  'BMD',
  'CR',
  'CT',
  'DX',
  'ES',
  'IO',
  'MG',
  'MR',
  'NM',
  'OP',
  'OCT',
  'PT',
  'PX',
  'RF',
  'SM',
  'US',
  'XA',
  'XC',
]);
/** Diagnostic service sections (table 0074) that are a modality by another name. */
const SECTIONS: Readonly<Record<string, string>> = {
  NMR: 'MR',
  MRI: 'MR',
  NMS: 'NM',
  RUS: 'US',
  OUS: 'US',
  RX: 'RF',
  CUS: 'US',
  DR: 'DX',
};

/** The DICOM modality that a code means, where it means one. */
export function modalityOf(code: string): string | undefined {
  const named = code.toUpperCase();
  const modality = SECTIONS[named] ?? named;
  return MODALITIES.has(modality) ? modality : undefined;
}

/** A person as text (XCN, CNN): `王 小东`, or what is there. */
export function personOf(
  segment: Segment,
  field: number,
  { first, isSub = false }: { first: number; isSub?: boolean },
): string | undefined {
  const part = (place: number): string => (isSub ? segment.value(field, 1, { sub: place }) : segment.value(field, place));
  const [family = '', given = ''] = [part(first), part(first + 1)];
  const shown = [family, given].filter((name) => name !== '' && name !== DELETED);
  if (shown.length === 0) return part(first - 1) || undefined;
  return shown.join(/\p{Script=Han}/u.test(family) ? '' : ' ');
}
