/** A FHIR date, dateTime, instant or Period as a half-open range of instants: precision is kept, nothing is invented. */
export interface DateRange {
  /** Inclusive lower bound; undefined: open. */
  from: Date | undefined;
  /** Exclusive upper bound; undefined: open. */
  until: Date | undefined;
}

/** Offset of dates that state none: the region's, set once when the program is put together. */
let regionOffset = '+08:00';

export function setRegionOffset(offset: string): void {
  regionOffset = offset;
}

/** An instant as a dateTime in the region's own time. */
export function inRegion(instant: string): string {
  const [, sign, hours, minutes] = /^([+-])(\d\d):(\d\d)$/.exec(regionOffset) ?? [];
  if (!sign) return instant;
  const ahead = (Number(hours) * 60 + Number(minutes)) * (sign === '-' ? -60_000 : 60_000);
  return new Date(Date.parse(instant) + ahead).toISOString().replace('Z', regionOffset);
}

const FORM = /^(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?)?)?$/;

/**
 * Range of a FHIR date value (R4 2.24.0.1): `2024` covers that year, `2024-02-29` that day, a time its second or millisecond.
 * Dates without an offset are taken at `offset`, the region's. Undefined when the value is none, or not a real date (2024-02-30).
 */
export function dateRange(value: unknown, offset = regionOffset): DateRange | undefined {
  if (typeof value === 'string') return rangeOfText(value, offset);
  const period = value as { start?: string; end?: string } | undefined;
  if (!period || typeof period !== 'object' || (!period.start && !period.end)) return undefined;
  return { from: rangeOfText(period.start ?? '', offset)?.from, until: rangeOfText(period.end ?? '', offset)?.until };
}

function rangeOfText(text: string, offset: string): DateRange | undefined {
  const match = FORM.exec(text);
  if (!match) return undefined;
  const [, year, month, day, hour, minute, second, fraction, zone] = match;
  if (!isRealDay(Number(year), Number(month ?? 1), Number(day ?? 1))) return undefined;
  if (Number(hour ?? 0) > 23 || Number(minute ?? 0) > 59 || Number(second ?? 0) > 59) return undefined;
  const at = `${year}-${month ?? '01'}-${day ?? '01'}T${hour ?? '00'}:${minute ?? '00'}:${second ?? '00'}${(fraction ?? '').slice(0, 4)}${zone ?? offset}`;
  const from = new Date(at);
  if (Number.isNaN(from.getTime())) return undefined;
  return { from, until: endOf(from, { month, day, hour, second, fraction }) };
}

function endOf(from: Date, has: { month?: string; day?: string; hour?: string; second?: string; fraction?: string }): Date {
  const until = new Date(from);
  if (has.fraction) until.setTime(until.getTime() + 1);
  else if (has.second) until.setTime(until.getTime() + 1000);
  else if (has.hour) until.setTime(until.getTime() + 60_000);
  else if (has.day) until.setUTCDate(until.getUTCDate() + 1);
  else if (has.month) until.setUTCMonth(until.getUTCMonth() + 1);
  else until.setUTCFullYear(until.getUTCFullYear() + 1);
  return until;
}

function isRealDay(year: number, month: number, day: number): boolean {
  const date = new Date(Date.UTC(2000, month - 1, day));
  date.setUTCFullYear(year, month - 1, day);
  return date.getUTCFullYear() === year && date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
}
