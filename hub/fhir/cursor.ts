import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import { invalid } from '../outcomes.js';

/** Where a page ended: the sort value and id of its last row. */
export interface Position {
  value: string;
  id: string;
}

/** Signs paging cursors and binds them to who asked what: another caller, purpose or search can't use them. */
export interface CursorSigner {
  sign(position: Position, binding: string): string;
  /** @throws Refusal 400 when the cursor was altered or belongs to another search. */
  open(cursor: string, binding: string): Position;
}

export function createCursorSigner(secret: string): CursorSigner {
  const key = Buffer.from(hkdfSync('sha256', secret, '', 'paging-cursor', 32));
  const mac = (payload: string, binding: string): Buffer =>
    createHmac('sha256', key).update(`${payload}\n${binding}`).digest().subarray(0, 16);
  return {
    sign(position, binding) {
      const payload = Buffer.from(JSON.stringify([position.value, position.id])).toString('base64url');
      return `${payload}.${mac(payload, binding).toString('base64url')}`;
    },
    open(cursor, binding) {
      const [payload = '', signature = ''] = cursor.split('.');
      const given = Buffer.from(signature, 'base64url');
      const expected = mac(payload, binding);
      if (cursor.length > 500 || given.length !== expected.length || !timingSafeEqual(given, expected)) {
        throw invalid('The cursor is not valid for this search.', '_cursor');
      }
      const [value, id] = JSON.parse(Buffer.from(payload, 'base64url').toString()) as [string, string];
      return { value, id };
    },
  };
}
