import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { checkNationalIdentifier, withCheckDigit } from '../../../hub/identity/national-identifier.js';

/** 17 digits with a real birth date of the past. */
const body = fc
  .tuple(
    fc.integer({ min: 110000, max: 659999 }),
    fc.integer({ min: 1900, max: 2020 }),
    fc.integer({ min: 1, max: 12 }),
    fc.integer({ min: 1, max: 28 }),
    fc.integer({ min: 0, max: 999 }),
  )
  .map(
    ([region, year, month, day, order]) =>
      `${region}${year}${String(month).padStart(2, '0')}${String(day).padStart(2, '0')}${String(order).padStart(3, '0')}`,
  );

describe('A national identifier', () => {
  it('holds with its check digit, and says birth date and sex', () => {
    // The example of GB 11643-1999.
    expect(checkNationalIdentifier('11010519491231002X')).toEqual({ valid: true, birthDate: '1949-12-31', sex: 'female' });
    expect(checkNationalIdentifier(' 11010519491231002x ')).toMatchObject({ valid: true });
    expect(withCheckDigit('44052418800101001')).toBe('440524188001010014');
    expect(checkNationalIdentifier('440524188001010014')).toEqual({ valid: true, birthDate: '1880-01-01', sex: 'male' });
  });

  it('does not hold when any one digit is another', () => {
    fc.assert(
      fc.property(body, fc.integer({ min: 0, max: 17 }), fc.integer({ min: 1, max: 9 }), (digits, at, by) => {
        const value = withCheckDigit(digits);
        expect(checkNationalIdentifier(value).valid).toBe(true);
        const old = '0123456789X'.indexOf(value[at]!);
        const next = at === 17 ? '0123456789X'[(old + by) % 11]! : String((old + by) % 10);
        expect(checkNationalIdentifier(value.slice(0, at) + next + value.slice(at + 1)).valid).toBe(false);
      }),
    );
  });

  it('does not hold when two neighbours are swapped', () => {
    fc.assert(
      fc.property(body, fc.integer({ min: 0, max: 16 }), (digits, at) => {
        const value = withCheckDigit(digits);
        fc.pre(value[at] !== value[at + 1]);
        expect(checkNationalIdentifier(value.slice(0, at) + value[at + 1] + value[at] + value.slice(at + 2)).valid).toBe(false);
      }),
    );
  });

  it.each(['11010519490230001', '11010519491331001', '11010529491231002', '01010519491231002'])(
    'of %s is none: the day, the future, the region',
    (digits) => {
      expect(checkNationalIdentifier(withCheckDigit(digits))).toEqual({ valid: false });
    },
  );

  it.each(['', '110105491231002', '11010519491231002', '1101051949123100２X', 'x'.repeat(100_000), '11010519491231002X\u0000'])(
    'is not %p',
    (value) => {
      expect(checkNationalIdentifier(value).valid).toBe(false);
    },
  );

  it('is made of 17 digits only', () => {
    expect(() => withCheckDigit('1234')).toThrow(RangeError);
  });
});
