/** DICOM dates and times (PS3.5 section 6.2, VR DA and TM) to FHIR, with the precision that the source has. */

/**
 * FHIR date of a DA value; `YYYY` and `YYYYMM` are taken with their precision, and so is the retired form `YYYY.MM.DD`.
 * Undefined for what is no day of the calendar, such as 20240230 or 00000000.
 */
export function fhirDate(da: string | undefined): string | undefined {
  const match = /^(\d{4})(?:[.-]?(\d{2})(?:[.-]?(\d{2}))?)?$/.exec(da?.trim() ?? '');
  if (!match) return undefined;
  const [, year = '', month, day] = match;
  const date = new Date(`${year}-${month ?? '01'}-${day ?? '01'}T00:00:00Z`);
  const isReal = Number(year) > 0 && !Number.isNaN(date.getTime()) && date.getUTCDate() === Number(day ?? '01');
  return isReal ? [year, month, day].filter((part) => part !== undefined).join('-') : undefined;
}

/**
 * FHIR dateTime of a DA and a TM value. FHIR demands an offset with a time: it is Timezone Offset From UTC (0008,0201, `+0800`),
 * else `defaultUtcOffset` (`+08:00`), else the time is left out, for a time zone is never invented.
 * Minutes that the source hasn't got leave the time out too; missing seconds are zero, as FHIR R4 2.24.0.1 allows.
 */
export function fhirDateTime(
  da: string | undefined,
  tm: string | undefined,
  utcOffset?: string,
  defaultUtcOffset?: string,
): string | undefined {
  const date = fhirDate(da);
  const offset = fhirOffset(utcOffset) ?? fhirOffset(defaultUtcOffset);
  if (date?.length !== 10 || offset === undefined) return date;
  const match = /^(\d{2}):?(\d{2})(?::?(\d{2})(?:\.(\d{1,6}))?)?$/.exec(tm?.trim() ?? '');
  if (!match) return date;
  const [, hours = '', minutes = '', seconds = '00', fraction = ''] = match;
  if (Number(hours) > 23 || Number(minutes) > 59 || Number(seconds) > 60) return date;
  // Second 60 is a leap second, which FHIR servers and databases refuse.
  const time = `${hours}:${minutes}:${seconds === '60' ? '59' : seconds}`;
  return `${date}T${time}${Number(fraction) > 0 ? `.${fraction}` : ''}${offset}`;
}

/** `+0800` or `+08:00` to `+08:00`; undefined outside -12:00 to +14:00. */
export function fhirOffset(offset: string | undefined): string | undefined {
  const match = /^([+-])(\d{2}):?([0-5]\d)$/.exec(offset?.trim() ?? '');
  if (!match) return undefined;
  const [, sign, hours, minutes] = match;
  const total = Number(hours) * 60 + Number(minutes);
  return total <= (sign === '-' ? 12 : 14) * 60 ? `${sign}${hours}:${minutes}` : undefined;
}
