import type { PixelFailureCode } from './messages.js';

/** Why there is no answer. Messages are one sentence without patient data. */
export class PixelFailure extends Error {
  constructor(
    readonly code: PixelFailureCode,
    message: string,
  ) {
    super(message);
    this.name = 'PixelFailure';
  }
}
