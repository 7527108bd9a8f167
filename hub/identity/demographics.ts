import { pinyin } from 'pinyin-pro';
import type { FhirResource } from '../store/search-keys.js';

/** What a source says of a person, as far as persons are told apart by it. */
export interface Demographics {
  /** Each name as it was written; component groups of a DICOM name (PS3.5 6.2.1) are names of their own. */
  names: string[];
  gender?: string;
  /** FHIR date of full precision. */
  birthDate?: string;
}

interface HumanName {
  text?: string;
  family?: string;
  given?: string[];
}

/** Demographics of a FHIR Patient. Names of use `old` don't count. */
export function demographicsOf(patient: FhirResource): Demographics {
  const names = ((patient.name ?? []) as (HumanName & { use?: string })[]).filter((n) => n.use !== 'old');
  return {
    names: names.map((n) => (n.family || n.given ? [n.family, ...(n.given ?? [])].filter(Boolean).join(' ') : (n.text ?? ''))).filter(Boolean),
    gender: known(patient.gender),
    birthDate: /^\d{4}-\d\d-\d\d$/.test(patient.birthDate ?? '') ? patient.birthDate : undefined,
  };
}

const known = (gender: unknown): string | undefined => (typeof gender === 'string' && gender !== 'unknown' ? gender : undefined);

/** What two descriptions of one person can't both be; empty when they can be the same person. Unknown contradicts nothing. */
export function contradictions(a: Demographics, b: Demographics): ('name' | 'gender' | 'birthDate')[] {
  const found: ('name' | 'gender' | 'birthDate')[] = [];
  if (a.names.length > 0 && b.names.length > 0 && !compatibleNames(a.names, b.names)) found.push('name');
  if (a.gender && b.gender && a.gender !== b.gender) found.push('gender');
  if (a.birthDate && b.birthDate && a.birthDate !== b.birthDate) found.push('birthDate');
  return found;
}

/**
 * Names agree when they agree in each script that both are written in; case, blanks and punctuation don't count. Without a common script
 * a Chinese name agrees with its pinyin, and other scripts can't be compared: nothing contradicts then.
 */
export function compatibleNames(a: readonly string[], b: readonly string[]): boolean {
  const [left, right] = [byScript(a), byScript(b)];
  const common = [...left.keys()].filter((script) => right.has(script));
  if (common.length > 0) return common.every((script) => intersects(left.get(script), right.get(script)));
  return pinyinAgrees(left, right) && pinyinAgrees(right, left);
}

type Script = 'han' | 'latin' | 'other';

function byScript(names: readonly string[]): Map<Script, Set<string>> {
  const scripts = new Map<Script, Set<string>>();
  for (const name of names) {
    const plain = normalized(name);
    if (!plain) continue;
    const script = /\p{Script=Han}/u.test(plain) ? 'han' : /\p{Script=Latin}/u.test(plain) ? 'latin' : 'other';
    scripts.set(script, (scripts.get(script) ?? new Set()).add(plain));
  }
  return scripts;
}

/** A name without case, width, blanks and punctuation. */
export function normalized(name: string): string {
  return name
    .normalize('NFKC')
    .toLowerCase()
    .replace(/[^\p{L}\p{M}\p{N}]/gu, '');
}

const intersects = (a: Set<string> | undefined, b: Set<string> | undefined): boolean => [...(a ?? [])].some((name) => b?.has(name));

function pinyinAgrees(left: ReadonlyMap<Script, Set<string>>, right: ReadonlyMap<Script, Set<string>>): boolean {
  const [han, latin] = [left.get('han'), right.get('latin')];
  if (!han || !latin) return true;
  return [...han].some((h) => [...latin].some((l) => isPinyinOf(h, l)));
}

/** Whether Latin letters spell a Chinese name in any reading of its characters, family name first or last (of one or two characters). */
function isPinyinOf(han: string, latin: string): boolean {
  const letters = latin.normalize('NFD').replace(/\p{M}/gu, '').replaceAll('ü', 'v');
  const characters = [...han].slice(0, 20);
  const rotations = [0, 1, 2].filter((n) => n < characters.length).map((n) => [...characters.slice(n), ...characters.slice(0, n)]);
  return rotations.some((order) => spells(order.map(readings), letters));
}

function spells([first, ...rest]: readonly string[][], letters: string): boolean {
  if (!first) return letters === '';
  return first.some((syllable) => letters.startsWith(syllable) && spells(rest, letters.slice(syllable.length)));
}

function readings(character: string): string[] {
  const all = pinyin(character, { toneType: 'none', type: 'array', multiple: true, v: true });
  return [...new Set([...all, ...all.map((r) => r.replace('v', 'u'))])].filter(Boolean);
}

/**
 * Keys under which Patients of equal demographics meet, so that candidates are found by an index: name, sex and birth date (only when all
 * three are known), and hospital number with sex. A Chinese name has a key by its pinyin too.
 */
export function meetingKeys(d: Demographics, numbers: readonly string[]): string[] {
  const forms = d.names.flatMap((name) => {
    const plain = normalized(name);
    if (!/\p{Script=Han}/u.test(plain)) return [plain];
    return [plain, pinyin(plain, { toneType: 'none', type: 'array', v: true }).join('')];
  });
  const byName = d.gender && d.birthDate ? forms.filter(Boolean).map((form) => `name|${form}|${d.gender}|${d.birthDate}`) : [];
  const byNumber = d.gender && d.names.length > 0 ? numbers.map((number) => `number|${number}|${d.gender}`) : [];
  return [...new Set([...byName, ...byNumber])].map((key) => key.slice(0, 300));
}
