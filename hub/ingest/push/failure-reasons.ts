import type { QuarantineReason } from '../../../connectors/connector.js';

/** Failure Reason (0008,1197) of PS3.18 table I.2-2. */
export const PROCESSING_FAILURE = 0x0110;
/** Duplicate SOP Instance (PS3.7 annex C): the first object with the identifier stands. */
const DUPLICATE = 0x0111;
const OUT_OF_RESOURCES = 0xa700;
/** Data Set does not match SOP Class. */
const NO_MATCH = 0xa900;
const CANNOT_UNDERSTAND = 0xc000;

/** The request names another study. */
export const OF_ANOTHER_STUDY = NO_MATCH;

const REASONS: Readonly<Partial<Record<QuarantineReason, number>>> = {
  'not-dicom': CANNOT_UNDERSTAND,
  truncated: CANNOT_UNDERSTAND,
  malformed: CANNOT_UNDERSTAND,
  'missing-identifier': NO_MATCH,
  'invalid-uid': NO_MATCH,
  'too-large': OUT_OF_RESOURCES,
  'sop-instance-conflict': DUPLICATE,
};

export const failureOf = (reason: QuarantineReason): number => REASONS[reason] ?? PROCESSING_FAILURE;

/** Warning Reasons (0008,1196) of PS3.18 table I.2-1: coercion, elements discarded, data set does not match SOP class. */
export const isWarningReason = (status: number): boolean => [0xb000, 0xb006, 0xb007].includes(status);
