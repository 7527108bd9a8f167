/** Days of the calendar as numbers: days since 1970-01-01. */
export type Day = number;

/** Days from first to last, both included. */
export interface Span {
  from: Day;
  to: Day;
}

const dayMs = 24 * 60 * 60 * 1000;

/** Before and after every study: a span that reaches one of them is open at that end. */
export const earliest: Day = dayOf('19000101')!;
export const latest: Day = dayOf('21991231')!;

/** The day of a DA value (PS3.5 6.2), also in its retired form with dots; undefined for what is none. */
export function dayOf(da: string | undefined): Day | undefined {
  const match = /^(\d{4})\.?(\d{2})\.?(\d{2})$/.exec(da?.trim() ?? '');
  const time = match ? Date.parse(`${match[1]}-${match[2]}-${match[3]}T00:00:00Z`) : Number.NaN;
  return Number.isNaN(time) ? undefined : time / dayMs;
}

/** Today where the PACS stands. @param utcOffset such as `+08:00`. */
export function today(now: number, utcOffset = '+00:00'): Day {
  const [, sign, hours, minutes] = /^([+-])(\d{2}):(\d{2})$/.exec(utcOffset) ?? [];
  const shift = (Number(hours ?? 0) * 60 + Number(minutes ?? 0)) * 60_000 * (sign === '-' ? -1 : 1);
  return Math.floor((now + shift) / dayMs);
}

/** Range matching of Study Date (PS3.4 C.2.2.2.5). */
export function dateRange({ from, to }: Span): string {
  if (from === to) return da(from);
  return `${from <= earliest ? '' : da(from)}-${to >= latest ? '' : da(to)}`;
}

/** Two halves of a span, the later one first; undefined for a single day. */
export function halves({ from, to }: Span): [Span, Span] | undefined {
  if (from >= to) return undefined;
  const middle = Math.floor((from + to) / 2);
  return [
    { from: middle + 1, to },
    { from, to: middle },
  ];
}

const da = (day: Day): string => new Date(day * dayMs).toISOString().slice(0, 10).replaceAll('-', '');
