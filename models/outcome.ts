/** Why a study could not be scored. Stable codes. */
export type FailureCode =
  /** The study holds nothing that the model is made for: another modality, body part, orientation, slice thickness or coding. */
  | 'not-applicable'
  /** The study should fit but its bytes do not: damaged, incomplete, contradictory. */
  | 'malformed-input'
  /** The model's folder is not what its manifest says. */
  | 'invalid-model'
  | 'timeout'
  | 'cancelled'
  | 'out-of-memory'
  | 'crashed';

export interface Failure {
  ok: false;
  code: FailureCode;
  /** One sentence for a person; never patient data. */
  message: string;
}

/** An expected failure is a value; anything else is thrown. */
export type Outcome<T> = { ok: true; value: T } | Failure;

export const success = <T>(value: T): Outcome<T> => ({ ok: true, value });
export const failure = (code: FailureCode, message: string): Failure => ({ ok: false, code, message });
