import type { QuarantineReason } from '../connector.js';

/** Table 0357, message error condition codes. */
export type ErrorCode = 100 | 101 | 102 | 103 | 200 | 201 | 202 | 203 | 204 | 207;

/** Where in a message (ERR-2): `PID`, its first one, field 3, second repetition, component 4. */
export interface Place {
  segment: string;
  /** The how manieth of its name, from 1. */
  ordinal?: number;
  field?: number;
  repetition?: number;
  component?: number;
}

/** Why a message will never be taken as it is. The text is for a person and holds no patient data. */
export class Hl7Problem extends Error {
  constructor(
    readonly code: ErrorCode,
    readonly reason: QuarantineReason,
    message: string,
    readonly place?: Place,
  ) {
    super(message);
    this.name = 'Hl7Problem';
  }
}

/** `PID-3.4`, as people write it. */
export const placeText = ({ segment, ordinal = 1, field, component }: Place): string =>
  `${segment}${ordinal > 1 ? `[${ordinal}]` : ''}${field ? `-${field}` : ''}${component ? `.${component}` : ''}`;
