import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { isDate, isDateTime, isInstant, validateResource } from '../../fhir-profiles/index.js';

describe('dates', () => {
  it.each(['2024', '2024-02', '2024-02-29', '2000-02-29', '0001-01-01', '9999-12-31'])('%s is a date', (date) => {
    expect(isDate(date)).toBe(true);
    expect(isDateTime(date)).toBe(true);
  });

  it.each([
    '2024-02-30',
    '2023-02-29',
    '1900-02-29',
    '2024-04-31',
    '2024-13',
    '2024-00',
    '2024-01-00',
    '0000',
    '24',
    '2024-1-1',
    '20240101',
    '2024-01-01 ',
  ])('%s is no date', (date) => {
    expect(isDate(date)).toBe(false);
    expect(isDateTime(date)).toBe(false);
  });

  it.each(['2024-02-29T23:59:59Z', '2024-02-29T10:00:00.123+08:00', '2016-12-31T23:59:60Z', '2024-01-01T00:00:00-14:00'])(
    '%s is an instant',
    (instant) => {
      expect(isInstant(instant)).toBe(true);
      expect(isDateTime(instant)).toBe(true);
    },
  );

  it.each([
    '2024-02-30T10:00:00Z',
    '2024-02-29T24:00:00Z',
    '2024-02-29T10:60:00Z',
    '2024-02-29T10:00:00',
    '2024-02-29T10:00Z',
    '2024-02-29T10:00:00+15:00',
    '2024-02-29T10:00:00+8:00',
    '2024-02T10:00:00Z',
    '2024-02-29 10:00:00Z',
    '2024-02-29T10:00:00ZZ',
  ])('%s is no dateTime', (text) => {
    expect(isDateTime(text)).toBe(false);
  });

  it('agrees with the calendar of JavaScript on every day', () => {
    const day = fc.record({
      y: fc.integer({ min: 1, max: 9999 }),
      m: fc.integer({ min: 1, max: 12 }),
      d: fc.integer({ min: 1, max: 31 }),
    });
    fc.assert(
      fc.property(day, ({ y, m, d }) => {
        const text = `${String(y).padStart(4, '0')}-${String(m).padStart(2, '0')}-${String(d).padStart(2, '0')}`;
        const date = new Date(0);
        date.setUTCFullYear(y, m - 1, d);
        expect(isDate(text)).toBe(date.toISOString().startsWith(text));
      }),
    );
  });
});

/** Issues of a Parameters resource with one value: every primitive type has its `value[x]` there. */
function issuesOf(type: string, value: unknown): string[] {
  const issues = validateResource({ resourceType: 'Parameters', parameter: [{ name: 'it', [`value${type}`]: value }] });
  return issues.map((issue) => `${issue.code} ${issue.expression}`);
}

describe('values of primitive types', () => {
  it.each([
    ['Base64Binary', 'AAEC'],
    ['Boolean', false],
    ['Canonical', 'http://hl7.org/fhir/ValueSet/x|4.0.1'],
    ['Code', 'in progress'],
    ['Decimal', -1.5e10],
    ['Id', 'a-1.B'],
    ['Integer', -2147483648],
    ['Markdown', 'line\r\n\tline'],
    ['Oid', 'urn:oid:1.2.840'],
    ['PositiveInt', 1],
    ['String', '王小东 𠮷'],
    ['Time', '23:59:60.5'],
    ['UnsignedInt', 0],
    ['Uri', 'urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7'],
    ['Url', 'https://example.org/a?b=c'],
    ['Uuid', 'urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7'],
  ])('%s takes %j', (type, value) => {
    expect(issuesOf(type, value)).toEqual([]);
  });

  it.each([
    ['Base64Binary', 'AAE'],
    ['Base64Binary', 'A=AA'],
    ['Canonical', 'http://a b'],
    ['Code', ' padded'],
    ['Code', 'two  blanks'],
    ['Decimal', Number.POSITIVE_INFINITY],
    ['Id', 'under_score'],
    ['Id', 'x'.repeat(65)],
    ['Integer', 2147483648],
    ['Integer', 1.5],
    ['Markdown', 'bell\u0007'],
    ['Oid', '1.2.840'],
    ['Oid', 'urn:oid:3.1'],
    ['Oid', 'urn:oid:1.02'],
    ['PositiveInt', 0],
    ['String', 'nul\u0000'],
    ['String', 'half \ud800 pair'],
    ['String', '   '],
    ['Time', '24:00:00'],
    ['Time', '10:00'],
    ['UnsignedInt', -1],
    ['Uri', 'urn:oid:1.2.x'],
    ['Uri', 'urn:uuid:53FEFA32-FCBB-4FF8-8A92-55EE120877B7'],
    ['Url', 'https://example.org/\u0000'],
    ['Uuid', '53fefa32-fcbb-4ff8-8a92-55ee120877b7'],
  ])('%s refuses %j', (type, value) => {
    expect(issuesOf(type, value)).toEqual(['value Parameters.parameter[0].value']);
  });

  it.each([
    ['Boolean', 'true'],
    ['Decimal', '1.5'],
    ['String', 5],
    ['String', ''],
    ['String', null],
    ['String', ['a']],
    ['String', { a: 1 }],
    ['String', { toString: 1 }],
    ['Coding', 'CT'],
    ['Coding', {}],
    ['Coding', { id: 'only' }],
  ])('%s refuses the JSON of %j', (type, value) => {
    expect(issuesOf(type, value)).toEqual(['structure Parameters.parameter[0].value']);
  });

  it('refuses a string over 1 MB, but not such base64', () => {
    const long = 'x'.repeat(1024 * 1024 + 4);
    expect(issuesOf('String', long)).toEqual(['too-long Parameters.parameter[0].value']);
    expect(issuesOf('Base64Binary', long)).toEqual([]);
  });
});
