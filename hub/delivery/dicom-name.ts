import { extensions } from '../../fhir-profiles/codes.js';
import type { HumanName } from '../identity/person-name.js';

const CHARACTERS = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}]/u;
/** Characters of a component group (PS3.5 table 6.2-1, PN). */
const LONGEST_GROUP = 64;

/**
 * The DICOM Person Name of a Patient's names (PS3.5 section 6.2.1.2): what is written in letters, in characters, and how it is read. A person who is only
 * written in characters has them in the first group, as hospitals in China write it; nobody's reading is made up.
 */
export function dicomName(names: readonly HumanName[] | undefined): string {
  const current = (names ?? []).filter(({ use }) => use !== 'old');
  const phonetic = current.find(isPhonetic);
  const spelt = current.filter((name) => !isPhonetic(name));
  const characters = groupOf(spelt.find((name) => CHARACTERS.test(wholeOf(name))));
  const letters = groupOf(spelt.find((name) => wholeOf(name) !== '' && !CHARACTERS.test(wholeOf(name))));
  const groups = letters === '' ? [characters] : [letters, characters];
  const reading = groupOf(phonetic);
  return (reading === '' ? groups : [groups[0] ?? '', groups[1] ?? '', reading]).join('=').replace(/=+$/, '');
}

const isPhonetic = ({ extension }: HumanName): boolean =>
  (extension ?? []).some(({ url, valueCode }) => url === extensions.nameRepresentation && valueCode === 'SYL');

const wholeOf = ({ text, family, given }: HumanName): string => [text, family, ...(given ?? [])].filter(Boolean).join(' ').trim();

/** `family^given^middle^prefix^suffix`; a name that is not divided is one component. */
function groupOf(name: HumanName | undefined): string {
  if (!name) return '';
  const { text, family, given = [], prefix = [], suffix = [] } = name;
  const [first, ...middle] = given;
  const parts = family || first ? [family, first, middle.join(' '), prefix.join(' '), suffix.join(' ')] : [text];
  return parts
    .map((part) => component(part))
    .join('^')
    .replace(/\^+$/, '')
    .slice(0, LONGEST_GROUP);
}

/** Without what would end a component, a group or a value. */
const component = (text: string | undefined): string =>
  (text ?? '')
    .replace(/[\\^=\p{Cc}]/gu, ' ')
    .replace(/ +/g, ' ')
    .trim();
