/** Why pixels can't be decoded or shown. */
export type PixelProblemCode =
  /** A coding that nothing here decodes, or an object without pixels. */
  | 'unsupported'
  /** The bytes contradict their header, or can't be decoded. */
  | 'malformed'
  | 'too-large';

/** An expected failure of decoding; its message is one sentence without patient data. */
export class PixelProblem extends Error {
  constructor(
    readonly code: PixelProblemCode,
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.name = 'PixelProblem';
  }
}
