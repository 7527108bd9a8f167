import { extensions } from '../../fhir-profiles/codes.js';
import type { FhirRecord, RecordStep } from '../statement.js';
import { type Authorities, identifiersOf } from './identifiers.js';
import { DELETED, type Message, type Segment } from './message.js';
import { Hl7Problem } from './problem.js';
import { dateOf, dateTimeOf } from './time.js';

export interface PersonSettings {
  authorities: Authorities;
  defaultUtcOffset?: string;
}

/** PID segment of a message. @throws Hl7Problem when there is none, or there are several. */
export function pidOf(message: Message): Segment {
  const [pid, second] = message.all('PID');
  if (!pid) throw new Hl7Problem(100, 'not-hl7', 'There is no PID segment.', { segment: 'PID' });
  if (second) throw new Hl7Problem(100, 'unsupported', 'The message is about several patients.', second.place(3));
  return pid;
}

/** The Patient that a PID segment describes: what it does not say stays as it was, what it holds `""` for is deleted. */
export function patientOf(pid: Segment, settings: PersonSettings, isCorrection: boolean): RecordStep {
  const identifier = identifiersOf(pid, 3, settings.authorities);
  const cleared: string[] = [];
  const resource: FhirRecord = { resourceType: 'Patient', identifier };
  const put = (field: number, element: string, value: unknown): void => {
    if (pid.value(field) === DELETED) cleared.push(element);
    else if (value !== undefined && !(Array.isArray(value) && value.length === 0)) resource[element] = value;
  };
  put(5, 'name', namesOf(pid, 5));
  put(7, 'birthDate', dateOf(pid, 7));
  put(8, 'gender', genderOf(pid));
  put(11, 'address', addressesOf(pid));
  put(13, 'telecom', [...contactsOf(pid, 13, 'home'), ...contactsOf(pid, 14, 'work')]);
  const died = deathOf(pid, settings.defaultUtcOffset);
  if (died) {
    Object.assign(resource, died);
    cleared.push('deceasedDateTime' in died ? 'deceasedBoolean' : 'deceasedDateTime');
  }
  return { kind: 'record', resource, partial: { cleared }, isCorrection };
}

const HAN = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}]/u;
/** Table 0200 to FHIR NameUse. */
const NAME_USES: Readonly<Record<string, string>> = { L: 'official', D: 'usual', M: 'maiden', N: 'nickname', S: 'anonymous' };

/** Names (XPN), one a repetition. Characters that are not divided are a whole name; a reading (representation P) is marked as one. */
export function namesOf(segment: Segment, field: number): object[] {
  const names: object[] = [];
  for (let repetition = 1; repetition <= segment.repetitions(field); repetition += 1) {
    const [family = '', first = '', middle = '', suffix = '', prefix = ''] = [1, 2, 3, 4, 5].map((c) =>
      plain(segment.value(field, c, { repetition })),
    );
    const given = [first, middle].filter(Boolean);
    const shown = [family, ...given].filter(Boolean);
    if (shown.length === 0) continue;
    const text = shown.join(shown.some((part) => HAN.test(part)) ? '' : ' ');
    const isWhole = HAN.test(family) && given.length === 0;
    const use = NAME_USES[segment.value(field, 7, { repetition })];
    names.push({
      ...(segment.value(field, 8, { repetition }) === 'P'
        ? { extension: [{ url: extensions.nameRepresentation, valueCode: 'SYL' }] }
        : {}),
      ...(use ? { use } : {}),
      text,
      ...(family && !isWhole ? { family } : {}),
      ...(given.length > 0 ? { given } : {}),
      ...(prefix ? { prefix: [prefix] } : {}),
      ...(suffix ? { suffix: [suffix] } : {}),
    });
  }
  // names in characters first, so that they are what is shown
  return names.sort((a, b) => Number(HAN.test((b as { text: string }).text)) - Number(HAN.test((a as { text: string }).text)));
}

const plain = (value: string): string => (value === DELETED ? '' : value);

/** Table 0001, and GB/T 2261.1 as Chinese systems send it. */
const GENDERS: Readonly<Record<string, string>> = {
  M: 'male',
  F: 'female',
  O: 'other',
  A: 'other',
  U: 'unknown',
  N: 'unknown',
  '1': 'male',
  '2': 'female',
  '0': 'unknown',
  '9': 'unknown',
  男: 'male',
  女: 'female',
};

function genderOf(pid: Segment): string | undefined {
  const value = pid.value(8);
  if (value === '' || value === DELETED) return undefined;
  if (Object.hasOwn(GENDERS, value.toUpperCase())) return GENDERS[value.toUpperCase()];
  throw new Hl7Problem(103, 'invalid-record', 'The administrative sex is no code of table 0001.', pid.place(8));
}

function addressesOf(pid: Segment): object[] {
  const addresses: object[] = [];
  for (let repetition = 1; repetition <= pid.repetitions(11); repetition += 1) {
    const [street = '', other = '', city = '', state = '', postalCode = '', country = ''] = [1, 2, 3, 4, 5, 6].map((c) =>
      plain(pid.value(11, c, { repetition })),
    );
    const line = [street, other].filter(Boolean);
    const address = Object.fromEntries(Object.entries({ city, state, postalCode, country }).filter(([, v]) => v !== ''));
    if (line.length > 0 || Object.keys(address).length > 0) addresses.push({ ...(line.length > 0 ? { line } : {}), ...address });
  }
  return addresses;
}

function contactsOf(pid: Segment, field: number, use: string): object[] {
  const contacts: object[] = [];
  for (let repetition = 1; repetition <= pid.repetitions(field); repetition += 1) {
    const [number = '', equipment = '', email = '', unformatted = ''] = [1, 3, 4, 12].map((c) =>
      plain(pid.value(field, c, { repetition })),
    );
    const value = unformatted || number;
    const isMobile = equipment === 'CP';
    if (value) contacts.push({ system: equipment === 'FX' ? 'fax' : 'phone', value, use: isMobile ? 'mobile' : use });
    if (email) contacts.push({ system: 'email', value: email, use });
  }
  return contacts;
}

function deathOf(pid: Segment, defaultUtcOffset: string | undefined): object | undefined {
  const at = dateTimeOf(pid, 29, defaultUtcOffset);
  if (at) return { deceasedDateTime: at };
  const indicator = pid.value(30);
  return indicator === 'Y' || indicator === 'N' ? { deceasedBoolean: indicator === 'Y' } : undefined;
}
