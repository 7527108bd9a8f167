import type { QuarantineReason } from '../connector.js';

/** Why an object can't be read. Thrown inside this folder only; its public functions return it as a value. */
export class DicomProblem extends Error {
  constructor(
    readonly reason: QuarantineReason,
    detail: string,
    options?: { cause?: unknown },
  ) {
    super(detail, options);
    this.name = 'DicomProblem';
  }
}

/** Bounds on what one object may make the reader do. */
export interface DicomLimits {
  /** Bytes of the data set before the pixel data that are held at once. */
  maxHeaderBytes: number;
  /** Values longer than this stay on disk; they are absent from the metadata. */
  maxInlineBytes: number;
  maxElements: number;
  /** Nesting depth of sequences. */
  maxDepth: number;
  /** Size of a deflated data set (1.2.840.10008.1.2.1.99) after inflation. */
  maxInflatedBytes: number;
}

export const defaultLimits: DicomLimits = {
  maxHeaderBytes: 16 * 1024 * 1024,
  maxInlineBytes: 256 * 1024,
  maxElements: 200_000,
  maxDepth: 32,
  maxInflatedBytes: 256 * 1024 * 1024,
};
