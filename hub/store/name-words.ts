import { pinyin } from 'pinyin-pro';

const HAN = /\p{Script=Han}/u;
const BREAKS = /[\s^=,;·]+/;
/** Longest word that is indexed, in characters. */
const LONGEST = 200;

/**
 * Words of a name in lower case, by whose beginnings it is found: as written, part by part, and with its parts joined (`wangxiaodong`); Chinese
 * names also by their pinyin, whole and by syllable, a family name as it is read as one (单 is `shan`).
 */
export function wordsOf(value: unknown): string[] {
  const name = value as { text?: string; family?: string; given?: string[] } | string | undefined;
  const parts = typeof name === 'string' ? [name] : [name?.text, name?.family, ...(name?.given ?? [])];
  return [...new Set(parts.filter((p): p is string => typeof p === 'string').flatMap(wordsOfText))];
}

function wordsOfText(text: string): string[] {
  const plain = text.normalize('NFKC').toLowerCase();
  const words = plain.split(BREAKS).filter(Boolean);
  const read = words
    .filter((w) => HAN.test(w))
    .flatMap((w) => [pinyin(w, { toneType: 'none', type: 'string' }), ...readingsOf(w)]);
  const folded = withoutMarks(words.join(''));
  return [plain, ...words, folded, ...read].filter(Boolean).map((w) => w.slice(0, LONGEST));
}

/** What Chinese characters are read as, in letters without tones or spaces: `ü` also as it is typed, `v`, and as it is written in passports, `u`. */
export function readingsOf(characters: string): string[] {
  const plain = pinyin(characters, { toneType: 'none', type: 'array' }).join('');
  const asName = pinyin(characters, { toneType: 'none', type: 'array', surname: 'head' }).join('');
  const spelt = [plain, asName].flatMap((reading) => [reading, reading.replaceAll('ü', 'v'), withoutMarks(reading)]);
  return [...new Set(spelt)];
}

/** A name that somebody looks for, however it is written: its words in letters without tones, and its characters. */
export interface SoughtName {
  /** `wang`, `xiaodong` of `Wáng XiǎoDōng`; `wangxiaodong` of `WangXiaoDong`. */
  letters: string[];
  /** `王小东` of `王 小东`; '' where there are none. */
  characters: string;
}

/** Marks, case, digits that stand for tones, and wildcards say nothing of a name that is looked for by likeness. */
export function soughtName(text: string): SoughtName {
  const words = text
    .normalize('NFKC')
    .toLowerCase()
    .split(/[\s^=,;·*?'’-]+/)
    .filter(Boolean);
  return {
    letters: words.filter((word) => !HAN.test(word)).map((word) => withoutMarks(word).replace(/(?<=[a-z])[1-5](?=[a-z]|$)/g, '')),
    characters: words.filter((word) => HAN.test(word)).join(''),
  };
}

const withoutMarks = (text: string): string =>
  text
    .normalize('NFKD')
    .replace(/[\u0300-\u036f]/g, '')
    .normalize('NFC');
