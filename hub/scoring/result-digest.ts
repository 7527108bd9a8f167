import { createHash } from 'node:crypto';
import type { Scored } from '../../models/score-messages.js';
import { canonical } from '../store/canonical-json.js';
import { asRecorded } from './score-record.js';

/** What a model said, without how long it took and on what. */
export function resultOf(scored: Scored) {
  const { studyInstanceUid, seriesInstanceUid, positive, findings, maps, summary } = asRecorded(scored);
  return { studyInstanceUid, seriesInstanceUid, positive, findings, maps, summary };
}

/** SHA-256 (hex) of the canonical JSON (RFC 8785) of what a model said: equal for results that are equal to the last bit. */
export const resultDigest = (scored: Scored): string =>
  createHash('sha256')
    .update(canonical(resultOf(scored)))
    .digest('hex');
