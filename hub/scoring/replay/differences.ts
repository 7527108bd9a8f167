import { canonical } from '../../store/canonical-json.js';

const MOST_DIFFERENCES = 50;

/** Where a value differs from what it was, such as `findings[0].score: 0.81 was 0.8`; nothing where they are equal to the last bit. */
export function differences(before: unknown, now: unknown, at: string): string[] {
  if (isTree(before) && isTree(now)) {
    const below = (name: string): string => (Array.isArray(before) ? `${at}[${name}]` : at === '' ? name : `${at}.${name}`);
    const names = [...new Set([...Object.keys(before), ...Object.keys(now)])];
    return names.flatMap((name) => differences(before[name], now[name], below(name))).slice(0, MOST_DIFFERENCES);
  }
  return canonical(before ?? null) === canonical(now ?? null) ? [] : [`${at}: ${shown(now)} was ${shown(before)}`];
}

const isTree = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

const shown = (value: unknown): string => (isTree(value) ? '{...}' : value === undefined ? 'nothing' : String(value));
