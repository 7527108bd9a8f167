import { identifierTypes, systems } from '../../fhir-profiles/codes.js';
import { OWN_NUMBERS } from '../statement.js';
import { Hl7Problem } from './problem.js';
import { DELETED, type Segment } from './message.js';

export interface Identifier {
  system?: string;
  value: string;
  type?: { coding: { system: string; code: string }[] };
  use?: string;
}

/** Whose numbers a hospital's system sends. */
export interface Authorities {
  /** Assigning authorities (CX-4, its namespace or universal id) of the hospital's own patient numbers. A number without one is the hospital's own. */
  own: readonly string[];
  /** Systems (URI) of other assigning authorities. */
  others: Readonly<Record<string, string>>;
}

/** Identifier types (table 0203) that are numbers of a patient in a hospital. */
const PATIENT_NUMBERS = new Set(['', 'PI', 'MR', 'PT', 'MRN']);
/** Resident identity number: national identifier, of China, social security in older interfaces. */
const NATIONAL = new Set(['NI', 'NNCHN', 'NN']);

/**
 * Identifiers of a field of CX, in their order. A number is the hospital's own when its authority is; of an authority that nobody has named it is no
 * number that a patient is found by, and is left out.
 */
export function identifiersOf(segment: Segment, field: number, authorities: Authorities): Identifier[] {
  const found: Identifier[] = [];
  for (let repetition = 1; repetition <= segment.repetitions(field); repetition += 1) {
    const value = segment.value(field, 1, { repetition });
    if (value === '' || value === DELETED) continue;
    const system = systemOf(segment, field, repetition, authorities);
    if (!system) continue;
    const code = system === OWN_NUMBERS ? identifierTypes.medicalRecordNumber : segment.value(field, 5, { repetition });
    found.push({ ...(isType(code) ? { type: { coding: [{ system: systems.identifierType, code }] } } : {}), system, value });
  }
  return [...new Map(found.map((i) => [`${i.system} ${i.value}`, i])).values()];
}

/** Table 0203 codes are short and upper case; anything else is no type. */
const isType = (code: string): boolean => /^[A-Z]{2,6}$/.test(code);

function systemOf(segment: Segment, field: number, repetition: number, { own, others }: Authorities): string | undefined {
  const type = segment.value(field, 5, { repetition });
  const named = [1, 2].map((sub) => segment.value(field, 4, { repetition, sub })).filter((name) => name !== '');
  const other = named.flatMap((name) => (Object.hasOwn(others, name) ? (others[name] as string) : []))[0];
  if (other) return other;
  if (NATIONAL.has(type)) return systems.nationalIdentifier;
  if (!PATIENT_NUMBERS.has(type)) return undefined;
  return named.length === 0 || named.some((name) => own.includes(name)) ? OWN_NUMBERS : undefined;
}

/** The hospital's own patient numbers in a field. */
export const ownNumbers = (segment: Segment, field: number, authorities: Authorities): string[] =>
  identifiersOf(segment, field, authorities)
    .filter((i) => i.system === OWN_NUMBERS)
    .map((i) => i.value);

/** The one patient number of a field. @throws Hl7Problem when there is none, or several. */
export function ownNumber(segment: Segment, field: number, authorities: Authorities): string {
  const numbers = ownNumbers(segment, field, authorities);
  const [number, second] = numbers;
  if (number === undefined) throw noNumber(segment, field);
  if (second === undefined) return number;
  throw new Hl7Problem(
    102,
    'missing-identifier',
    'There are several patient numbers of this hospital here.',
    segment.place(field),
  );
}

export const noNumber = (segment: Segment, field: number): Hl7Problem =>
  new Hl7Problem(101, 'missing-identifier', 'No patient number of this hospital is here.', segment.place(field));

/** An order number or accession number (EI, or ST): FHIR Identifier of the custodian's, with its type. */
export function numberOf(segment: Segment, field: number, code: string): Identifier | undefined {
  const value = segment.value(field);
  if (value === '' || value === DELETED) return undefined;
  return { type: { coding: [{ system: systems.identifierType, code }] }, value };
}
