import { dateRange } from '../store/fhir-date.js';

/** What a resident identity number says of its holder. */
export interface NationalIdentifier {
  valid: boolean;
  /** `YYYY-MM-DD`. */
  birthDate?: string;
  sex?: 'male' | 'female';
}

const CHECK_DIGITS = '10X98765432';
const WEIGHTS = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];

/**
 * Checks a citizen identification number (GB 11643-1999): six digits of the region, birth date, three digits of order whose last one is odd
 * for a man, and a check digit after ISO 7064 MOD 11-2. Case of the X and space around it do not matter.
 */
export function checkNationalIdentifier(value: string): NationalIdentifier {
  const text = normaliseNationalIdentifier(value);
  if (!/^[1-9]\d{16}[\dX]$/.test(text) || withCheckDigit(text.slice(0, 17)) !== text) return { valid: false };
  const birthDate = `${text.slice(6, 10)}-${text.slice(10, 12)}-${text.slice(12, 14)}`;
  const born = dateRange(birthDate)?.from;
  if (!born || born.getTime() > Date.now() || birthDate < '1800') return { valid: false };
  return { valid: true, birthDate, sex: Number(text[16]) % 2 === 1 ? 'male' : 'female' };
}

export const normaliseNationalIdentifier = (value: string): string => value.trim().toUpperCase();

/** The number of 18 characters that 17 digits make with their check digit. @throws RangeError for anything but 17 digits. */
export function withCheckDigit(digits: string): string {
  if (!/^\d{17}$/.test(digits)) throw new RangeError('17 digits are due');
  const sum = WEIGHTS.reduce((total, weight, i) => total + weight * Number(digits[i]), 0);
  return digits + CHECK_DIGITS[sum % 11];
}
