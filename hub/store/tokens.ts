import { createHash } from 'node:crypto';
import {
  blindIndexes,
  holdsNational,
  isProtected,
  looksNational,
  normalisedContact,
  normalisedIdentifier,
  type Protection,
  type ValueHolder,
} from './protection.js';
import { list } from './search-keys.js';

/** A token as it is, or an Identifier or ContactPoint whose tokens depend on whether it is protected. */
export type Token = string | { name: string; holder: ValueHolder & { value: string } };

/** Longest token that is indexed as it is, in characters. */
export const LONGEST_TOKEN = 32;

/** A token as it is indexed and searched: a long one by its digest (132 bits of SHA-256), because column and index each hold it in full. */
export const tokenKey = (token: string): string =>
  token.length <= LONGEST_TOKEN ? token : `#${createHash('sha256').update(token).digest('base64url').slice(0, 22)}`;

/** The tokens of a value by which it is found: `param=system|code`, `param=code` for any system, `param=system|` for any code, `param=|code` for none. */
export function tokensOf(name: string, value: unknown): Token[] {
  if (typeof value === 'string' || typeof value === 'boolean') return [`${name}=${value}`, `${name}=|${value}`];
  const item = value as { coding?: unknown; system?: string; code?: string; value?: string } | undefined;
  if (!item || typeof item !== 'object') return [];
  if (item.coding) return list(item.coding).flatMap((c) => tokensOf(name, c));
  if (item.code === undefined) return typeof item.value === 'string' ? [{ name, holder: item as { value: string } }] : [];
  return [`${name}=${item.system ?? ''}|${item.code}`, `${name}=${item.code}`, ...ofSystem(name, item.system)];
}

/** Any value of a system: no value is told. */
const ofSystem = (name: string, system: unknown): string[] => (system ? [`${name}=${system}|`] : []);

const CONTACTS = /^(telecom|phone)$/;

/** The tokens of a resource as they are stored: protected values by their blind index. */
export const storedTokens = (protection: Protection, tokens: readonly Token[]): string[] => [
  ...new Set(tokens.flatMap((t) => (typeof t === 'string' ? storedToken(protection, t) : heldTokens(protection, t)))),
];

function storedToken(protection: Protection, text: string): string {
  return holdsNational(text) ? (blindIndexes(protection, text)[0] as string) : tokenKey(text);
}

function heldTokens(protection: Protection, { name, holder }: Exclude<Token, string>): string[] {
  const system = typeof holder.system === 'string' ? holder.system : '';
  if (CONTACTS.test(name)) return [contactIndexes(protection, name, holder.value)[0] as string];
  if (!isProtected(protection, holder))
    return [`${name}=${system}|${holder.value}`, `${name}=${holder.value}`, ...ofSystem(name, system)].map(tokenKey);
  const value = normalisedIdentifier(holder.value);
  return [
    ...[`${name}=${system}|${value}`, `${name}=${value}`].map((form) => blindIndexes(protection, form)[0] as string),
    ...ofSystem(name, system).map(tokenKey),
  ];
}

const contactIndexes = (protection: Protection, name: string, value: string): string[] =>
  blindIndexes(protection, `${name}=${normalisedContact(value)}`);

/** Whether a search for `name=...` may have to look for a blind index too. Studies have identifiers of their own kind only. */
export const mayBeProtected = (type: string, token: string): boolean =>
  /^(telecom|phone)=/.test(token) || (token.startsWith('identifier=') && type !== 'ImagingStudy') || holdsNational(token);

/** The tokens under which `name=[system|]value` may be stored, under any key: a row that has one of them matches. */
export function searchedTokens(protection: Protection, type: string, token: string): string[] {
  if (!mayBeProtected(type, token)) return [tokenKey(token)];
  const name = token.slice(0, token.indexOf('='));
  const text = token.slice(name.length + 1);
  if (CONTACTS.test(name)) return contactIndexes(protection, name, text.slice(text.indexOf('|') + 1));
  if (name !== 'identifier') return [tokenKey(token), ...blindIndexes(protection, token)];
  const bar = text.indexOf('|');
  const system = text.slice(0, Math.max(bar, 0));
  const value = text.slice(bar + 1);
  if (value === '') return [tokenKey(token)];
  const form = `identifier=${bar < 0 ? '' : `${system}|`}${normalisedIdentifier(value)}`;
  const isCertain = bar >= 0 && protection.systems.has(system);
  return [...(isCertain || looksNational(value) ? [] : [tokenKey(token)]), ...blindIndexes(protection, form)];
}
