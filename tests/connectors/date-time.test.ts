import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { fhirDate, fhirDateTime, fhirOffset } from '../../connectors/dicom/date-time.js';
import { isUid } from '../../connectors/dicom/uid.js';

describe('dates and times', () => {
  it.each([
    ['20240229', '2024-02-29'],
    ['2024.02.29', '2024-02-29'],
    ['202402', '2024-02'],
    ['2024', '2024'],
    ['20240230', undefined],
    ['20230229', undefined],
    ['20241301', undefined],
    ['00000000', undefined],
    ['', undefined],
    ['20240101-20240201', undefined],
  ])('the date %s is %s', (da, expected) => {
    expect(fhirDate(da)).toBe(expected);
  });

  it.each([
    ['20240102', '030405', '+0800', undefined, '2024-01-02T03:04:05+08:00'],
    ['20240102', '030405.120000', '-0330', '+08:00', '2024-01-02T03:04:05.120000-03:30'],
    ['20240102', '030405.000000', undefined, '+08:00', '2024-01-02T03:04:05+08:00'],
    ['20240102', '0304', undefined, '+08:00', '2024-01-02T03:04:00+08:00'],
    ['20240102', '03', undefined, '+08:00', '2024-01-02'],
    ['20240102', '030405', undefined, undefined, '2024-01-02'],
    ['20240102', '250000', undefined, '+08:00', '2024-01-02'],
    ['20240102', '03:04:05', undefined, '+08:00', '2024-01-02T03:04:05+08:00'],
    ['20240102', '235960', undefined, '+08:00', '2024-01-02T23:59:59+08:00'],
    ['202401', '030405', undefined, '+08:00', '2024-01'],
    ['', '030405', undefined, '+08:00', undefined],
    ['20240102', '030405', '+9900', '+08:00', '2024-01-02T03:04:05+08:00'],
  ])('%s %s with offset %s, else %s, is %s', (da, tm, offset, otherwise, expected) => {
    expect(fhirDateTime(da, tm, offset, otherwise)).toBe(expected);
  });

  it('never gives a time that FHIR refuses', () => {
    const fhir = /^\d{4}(-\d\d(-\d\d(T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?[+-]\d\d:\d\d)?)?)?$/;
    const digits = fc.string({ unit: fc.constantFrom(...'0123456789.:'), maxLength: 14 });
    fc.assert(fc.property(digits, digits, (da, tm) => fhir.test(fhirDateTime(da, tm, undefined, '+08:00') ?? '2000')));
  });

  it('knows the offsets there are', () => {
    expect(['+1400', '-1200', '+1401', '-1201', '0800', '+08'].map(fhirOffset)).toEqual([
      '+14:00',
      '-12:00',
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });
});

describe('UIDs', () => {
  it('are numbers joined by dots, at most 64 characters', () => {
    const valid = ['1.2.840.10008.1.2', '2.25.123', `1.2.${'3'.repeat(60)}`, '1.2.03'];
    const invalid = ['', '1', '1.', '.1', '1..2', '3.1', '1.2.a', '1.2 ', `1.2.${'3'.repeat(61)}`, '1.2/../3', '1.2\0'];
    expect([valid.every(isUid), invalid.some(isUid)]).toEqual([true, false]);
  });
});
