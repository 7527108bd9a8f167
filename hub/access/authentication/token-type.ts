import { decodeProtectedHeader } from 'jose';
import { NotAuthentic } from './not-authentic.js';

/** The `typ` of a JWT's header in lower case, '' when it has none. Unverified. @throws {NotAuthentic} when it is no JWT */
export function tokenType(token: string): string {
  try {
    return String(decodeProtectedHeader(token).typ ?? '').toLowerCase();
  } catch {
    throw new NotAuthentic('malformed');
  }
}
