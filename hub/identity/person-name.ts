import { pinyin } from 'pinyin-pro';
import { extensions } from '../../fhir-profiles/codes.js';

/** FHIR HumanName, as far as names are compared. */
export interface HumanName {
  use?: string;
  text?: string;
  family?: string;
  given?: string[];
  prefix?: string[];
  suffix?: string[];
  extension?: { url: string; valueCode?: string }[];
}

/** How a person is called, for comparison: each form without case, order marks, spaces and punctuation. */
export interface NameForms {
  /** Chinese, Japanese or Korean characters: `王小东`. */
  characters: string[];
  /** In letters: `wangxiaodong`. */
  letters: string[];
}

const HAN = /\p{Script=Han}/u;
const CHARACTERS = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}]/u;

/**
 * FHIR names of a DICOM Person Name (PS3.5 section 6.2.1.1), one for each component group: first what is written in characters, so that it
 * is found by them, then what is written in letters, then the phonetic group, marked as such.
 */
export function humanNames(personName: string): HumanName[] {
  const groups = personName.split('=').map((group) => group.split('^').map((part) => part.trim()));
  const [first = [], second = [], phonetic = []] = groups.filter((_, i) => i < 3);
  const names = [first, second].map(nameOf);
  const shown = names.filter(({ text }, i) => text !== '' && names.findIndex((other) => other.text === text) === i);
  const written = shown.filter(({ text }) => CHARACTERS.test(text));
  return [
    ...written.map((name) => ({ use: 'usual', ...name })),
    ...shown.filter((name) => !written.includes(name)).map((name) => ({ use: 'official', ...name })),
    ...(textOf(phonetic) === ''
      ? []
      : [{ ...nameOf(phonetic), extension: [{ url: extensions.nameRepresentation, valueCode: PHONETIC }] }]),
  ];
}

/**
 * The component groups of a DICOM Person Name that the names make (PS3.18 F.2.2): letters first; what is written in characters alone stands in the
 * first group, as archives have it, so that nobody is shown without a name. Undefined where there is no name.
 */
export function personNameGroups(names: readonly HumanName[] | undefined): PersonNameGroups | undefined {
  const written = (names ?? []).map((name) => ({ name, group: groupOf(name) })).filter(({ group }) => group !== '');
  const phonetic = written.find(({ name }) => isPhonetic(name))?.group;
  const plain = written.filter(({ name }) => !isPhonetic(name)).map(({ group }) => group);
  const letters = plain.find((group) => !CHARACTERS.test(group));
  const characters = plain.find((group) => CHARACTERS.test(group));
  const first = letters ?? characters;
  if (first === undefined) return undefined;
  return {
    Alphabetic: first,
    ...(letters !== undefined && characters !== undefined ? { Ideographic: characters } : {}),
    ...(phonetic === undefined ? {} : { Phonetic: phonetic }),
  };
}

export interface PersonNameGroups {
  Alphabetic: string;
  Ideographic?: string;
  Phonetic?: string;
}

/** Family name, given, middle, prefix, suffix (PS3.5 section 6.2.1.1); a name that is not divided is the first of them. */
function groupOf({ text, family, given, prefix, suffix }: HumanName): string {
  const first = family ?? (given === undefined ? (text ?? '') : '');
  return [first, given?.[0] ?? '', given?.[1] ?? '', prefix?.[0] ?? '', suffix?.[0] ?? ''].join('^').replace(/\^+$/, '');
}

const PHONETIC = 'SYL';

const isPhonetic = ({ extension }: HumanName): boolean =>
  (extension ?? []).some(({ url, valueCode }) => url === extensions.nameRepresentation && valueCode === PHONETIC);

const nameOf = (parts: readonly string[]): HumanName & { text: string } => ({ text: textOf(parts), ...partsOf(parts) });

/** `王^小东` is read `王小东`, `Wang^XiaoDong` is read `Wang XiaoDong`. */
function textOf(parts: readonly string[]): string {
  const shown = parts.slice(0, 3).filter(Boolean);
  return shown.join(shown.some((part) => HAN.test(part)) ? '' : ' ');
}

/** Characters that are not divided into components are a whole name, not a family name. */
function partsOf(parts: readonly string[]): Omit<HumanName, 'use' | 'text'> {
  const [family, first, middle, prefix, suffix] = parts;
  const given = [first, middle].filter((part) => part !== undefined && part !== '') as string[];
  if (CHARACTERS.test(family ?? '') && given.length === 0) return {};
  return {
    ...(family ? { family } : {}),
    ...(given.length > 0 ? { given } : {}),
    ...(prefix ? { prefix: [prefix] } : {}),
    ...(suffix ? { suffix: [suffix] } : {}),
  };
}

/** The forms of FHIR names; of a text that mixes scripts, both. What is only a reading of a name tells nobody apart. */
export function nameForms(names: readonly HumanName[] | undefined): NameForms {
  const texts = (names ?? [])
    .filter((name) => !isPhonetic(name))
    .flatMap(({ text, family, given }) => [...(text ?? '').split('='), [family ?? '', ...(given ?? [])].join(' ')]);
  const spelt = texts.map((text) => [...folded(text)]);
  const pick = (which: (character: string) => boolean): string[] => [
    ...new Set(spelt.map((all) => all.filter(which).join('')).filter(Boolean)),
  ];
  return { characters: pick((c) => CHARACTERS.test(c)), letters: pick((c) => !CHARACTERS.test(c)) };
}

/** Without case, width, accents and everything that is no letter. */
function folded(text: string): string {
  const plain = text
    .normalize('NFKD')
    .replace(/[\u0300-\u036f]/g, '')
    .normalize('NFC')
    .toLowerCase();
  return plain.replace(/[^\p{L}\p{N}]/gu, '').slice(0, 200);
}

/**
 * Whether two sets of forms can be one person's. Characters decide where both have them, otherwise letters in any order of the words;
 * characters against letters by their readings in pinyin. A name that is absent is compatible with any.
 */
export function namesCompatible(a: NameForms, b: NameForms): boolean {
  if (isAbsent(a) || isAbsent(b)) return true;
  if (a.characters.length > 0 && b.characters.length > 0) return a.characters.some((form) => b.characters.includes(form));
  if (a.letters.length > 0 && b.letters.length > 0) return a.letters.some((x) => b.letters.some((y) => sameLetters(x, y)));
  const [characters, letters] = a.characters.length > 0 ? [a.characters, b.letters] : [b.characters, a.letters];
  return characters.some((form) => letters.some((spelt) => reads(form, spelt)));
}

export const isAbsent = (forms: NameForms): boolean => forms.characters.length === 0 && forms.letters.length === 0;

/** `wangxiaodong` and `xiaodongwang`: one is the other with its words turned round. */
const sameLetters = (x: string, y: string): boolean => x.length === y.length && `${y}${y}`.includes(x);

/** Whether letters are a reading of Chinese characters, family name first or last. */
function reads(characters: string, letters: string): boolean {
  const readings = [...characters].slice(0, 20).map(readingsOf);
  const rotations = [readings, [...readings.slice(1), ...readings.slice(0, 1)], [...readings.slice(2), ...readings.slice(0, 2)]];
  return rotations.some((syllables) => canBe(syllables, letters));
}

function canBe(syllables: readonly string[][], letters: string): boolean {
  let ends = [0];
  for (const options of syllables)
    ends = [...new Set(ends.flatMap((end) => options.filter((o) => letters.startsWith(o, end)).map((o) => end + o.length)))];
  return ends.includes(letters.length);
}

function readingsOf(character: string): string[] {
  const found = [
    ...pinyin(character, { toneType: 'none', type: 'array', multiple: true }),
    ...pinyin(character, { toneType: 'none', type: 'array', mode: 'surname' }),
  ];
  return [...new Set(found.flatMap((r) => (r.includes('ü') ? ['u', 'v', 'yu'].map((u) => r.replace('ü', u)) : [r])))];
}

/** Keys by which equal names are looked up: each form, and the letters (of characters, their pinyin) in alphabetical order. */
export function nameKeys({ characters, letters }: NameForms): string[] {
  const read = characters
    .filter((form) => HAN.test(form))
    .map((form) => pinyin(form, { toneType: 'none', type: 'array', v: true }).join(''));
  const sorted = [...letters, ...read].map((form) => [...form].sort().join(''));
  return [...new Set([...characters, ...sorted])];
}
