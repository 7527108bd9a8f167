import {
  protectedContactSystems,
  protectedIdentifierSystems,
  protectedIdentifierTypes,
  systems,
} from '../../fhir-profiles/codes.js';
import { createKeyRing, type KeyRing } from './key-ring.js';

/** What is encrypted at rest, and the keys for it. */
export interface Protection {
  readonly keys: KeyRing;
  /** Identifier systems whose values are encrypted. */
  readonly systems: ReadonlySet<string>;
  /** Finds what may have to be encrypted in the JSON text of a resource; also PostgreSQL understands it. */
  readonly suspicion: RegExp;
}

/** The settings that protection is made of (hub/config.ts). */
export interface ProtectionSettings {
  secret: string;
  previousSecrets?: readonly string[];
  protectedSystems?: readonly string[];
}

/** Eighteen characters that have a birth date where a resident identity number (GB 11643) has it; the check digit is not asked, a mistyped number is one too. */
const NATIONAL = String.raw`[1-9]\d{5}(?:18|19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dXx]`;
/** A mobile number of mainland China, however it is grouped. */
const MOBILE = String.raw`(?:\+?86[ -]?)?1[3-9]\d[ -]?\d{4}[ -]?\d{4}`;
// UIDs hold long runs of digits, and so do version 7 UUIDs: a number stands alone
const STANDING = (number: string): string => String.raw`(?<![\w.-])${number}(?![\w-]|\.\d)`;

const wholeNational = new RegExp(`^${NATIONAL}$`);
const nationalInText = new RegExp(STANDING(NATIONAL));
const numberInText = new RegExp(`${STANDING(NATIONAL)}|${STANDING(MOBILE)}`);
const numbersInText = new RegExp(numberInText, 'g');

export function createProtection({ secret, previousSecrets = [], protectedSystems = [] }: ProtectionSettings): Protection {
  const all = new Set([...protectedIdentifierSystems, ...protectedSystems]);
  const quoted = (text: string): string => JSON.stringify(text).replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
  const codes = protectedIdentifierTypes.source.slice(1, -1);
  const contacts = protectedContactSystems.source.slice(1, -1);
  const parts = [
    '"telecom":',
    '"div":',
    '"data":"',
    `"system":"${contacts}"`,
    `"code":"${codes}"`,
    ...[...all].map(quoted),
    STANDING(NATIONAL),
    STANDING(MOBILE),
    SEALED_MARK,
  ];
  return { keys: createKeyRing([secret, ...previousSecrets]), systems: all, suspicion: new RegExp(parts.join('|')) };
}

/** What a sealed text begins with. A text that a client begins so is sealed itself, so that none can be forged. */
export const SEALED_MARK = '~sealed:';

/** FHIR Identifier and ContactPoint, as far as protection looks inside. */
export interface ValueHolder {
  system?: unknown;
  value?: unknown;
  type?: { coding?: { system?: string; code?: string }[] };
}

/** Whether the value of an Identifier or a ContactPoint is encrypted: by its system, its type, or because it looks like a resident identity number. */
export function isProtected({ systems: protectedSystems }: Protection, holder: ValueHolder): boolean {
  const { system, value, type } = holder;
  if (typeof system === 'string' && (protectedSystems.has(system.trim()) || protectedContactSystems.test(system))) return true;
  if (looksNational(value)) return true;
  const coding = Array.isArray(type?.coding) ? type.coding : [];
  return coding.some((c) => c?.system === systems.identifierType && protectedIdentifierTypes.test(c.code ?? ''));
}

export const looksNational = (value: unknown): boolean =>
  typeof value === 'string' && wholeNational.test(value.normalize('NFKC').trim());

/** Whether a text holds a number that no element announces: an identity number, a mobile number. */
export const holdsNumber = (text: string): boolean => text.length >= 11 && numberInText.test(text);
export const holdsNational = (text: string): boolean => text.length >= 18 && nationalInText.test(text);

/** Two values are the same one when these are equal: case, width and space around do not matter. */
export const normalisedIdentifier = (value: string): string => value.normalize('NFKC').trim().toUpperCase();

/** Telephone numbers by their digits, without the country code of China; other contacts like identifiers. */
export function normalisedContact(value: string): string {
  const text = normalisedIdentifier(value);
  if (!/^[+()\d\s./-]+$/.test(text)) return text;
  const digits = text.replace(/\D/g, '');
  return digits.replace(/^(0086|86)(?=1[3-9]\d{9}$)/, '');
}

/** What stands for a protected value where it is looked up: the keyed digest under each key, the current one first. */
export const blindIndexes = ({ keys }: Protection, what: string): string[] => keys.digests(what).map((digest) => `~${digest}`);

/** A text that has to stay readable and searchable, with each number in it as its keyed digest. */
export const masked = (protection: Protection, text: string): string =>
  holdsNumber(text)
    ? text.replace(numbersInText, (found) => blindIndexes(protection, `number=${normalisedContact(found)}`)[0] as string)
    : text;
