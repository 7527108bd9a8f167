/** FHIR dates are ranges of time: `2024` is the whole year. */

/** A dateTime without offset is read with a margin: it is a day somewhere on earth. */
const widestOffset = 14 * 3_600_000;

/**
 * True when `first` certainly begins after `second` has ended. Values that are no FHIR date, dateTime or instant, and such as
 * overlap because of their precision, are never certain.
 */
export function definitelyAfter(first: unknown, second: unknown): boolean {
  const [a, b] = [range(first), range(second)];
  return a !== undefined && b !== undefined && a.from >= b.to && comparable(first, second, a.from - b.to);
}

function comparable(first: unknown, second: unknown, distance: number): boolean {
  const sameKind = hasOffset(first) === hasOffset(second);
  return sameKind || distance >= widestOffset;
}

function hasOffset(value: unknown): boolean {
  return String(value).length > 10;
}

/** Half-open range in milliseconds since 1970; values without offset are read as UTC. */
function range(value: unknown): { from: number; to: number } | undefined {
  const parts = typeof value === 'string' ? /^(\d{4})(?:-(\d\d))?(?:-(\d\d))?(T.*)?$/.exec(value) : undefined;
  if (!parts) return undefined;
  const [text, year, month, day, time] = parts;
  // Date.parse knows no leap second; milliseconds are all the precision that it has.
  const from = time ? Date.parse(text.replace(/:60(?=[.Z+-])/, ':59')) : utc(Number(year), Number(month ?? 1), Number(day ?? 1));
  if (Number.isNaN(from)) return undefined;
  if (time) return { from, to: from + 1 };
  if (day) return { from, to: from + 86_400_000 };
  return { from, to: month ? utc(Number(year), Number(month) + 1, 1) : utc(Number(year) + 1, 1, 1) };
}

function utc(year: number, month: number, day: number): number {
  // Date.UTC reads years below 100 as 19xx.
  return new Date(0).setUTCFullYear(year, month - 1, day);
}
