import type { Audit } from '../../audit/vocabulary.js';
import type { Config } from '../../config.js';
import { Refusal, tooMany } from '../../outcomes.js';
import type { RequestContext } from '../caller.js';
import { BoundedCache } from './bounded-cache.js';
import { TokenError } from './token-error.js';
import type { AccessToken } from './verify-access-token.js';

/** Whom a request is counted for: the account or client that a token names which was verified, never one that is only claimed. */
export type Bearer = Pick<AccessToken, 'issuer' | 'subject' | 'signedBy' | 'clientId'>;

export interface RateLimit {
  /** Takes the cost of a request. @throws Refusal 429 with Retry-After when the bearer has used up what he may; nothing was looked up by then. */
  charge(bearer: Bearer, cost: number, context: RequestContext): Promise<void>;
}

interface Bucket {
  left: number;
  /** When `left` was so much, and when the next refusal is recorded: milliseconds of a clock that only runs forward. */
  at: number;
  recordAfter: number;
}

/** Bearers counted at once. Only who holds a token is, so strangers can't push others out. */
const COUNTED = 20_000;
/** One refusal in this time is recorded for each bearer, so that a flood does not flood the audit. */
const WINDOW = 60_000;

/**
 * A token bucket for each account and client: `rateLimit` units a second, `rateBurst` at once. Requests weigh what they cost (request-cost.ts); one that
 * costs more than a burst passes when the bucket is full. Each hub process counts for itself.
 * @param now milliseconds, monotonic: no clock that is set shortens or lengthens anything.
 */
export function createRateLimit(
  { rateLimit, rateBurst }: Pick<Config, 'rateLimit' | 'rateBurst'>,
  audit: Pick<Audit, 'commit'>,
  now: () => number = () => performance.now(),
): RateLimit {
  if (rateLimit === 0) return { charge: async () => undefined };
  const buckets = new BoundedCache<Bucket>(COUNTED);
  return {
    charge: async (bearer, cost, context) => {
      const at = now();
      const key = JSON.stringify([bearer.issuer, bearer.subject]);
      const known = buckets.get(key, at) ?? { left: rateBurst, at, recordAfter: 0 };
      const left = Math.min(rateBurst, known.left + ((at - known.at) / 1000) * rateLimit);
      const price = Math.min(cost, rateBurst);
      const passes = price <= left;
      const isRecorded = !passes && at >= known.recordAfter;
      const bucket = { left: passes ? left - price : left, at, recordAfter: isRecorded ? at + WINDOW : known.recordAfter };
      // a full bucket without a refusal in the window is like none
      const isForgotten = Math.max(at + ((rateBurst - bucket.left) / rateLimit) * 1000 + 1, bucket.recordAfter);
      buckets.set(key, bucket, isForgotten);
      if (passes) return;
      if (isRecorded) await audit.commit([refusal(bearer, context)]);
      throw tooMany('Too many requests: wait and try again.', Math.ceil((price - left) / rateLimit));
    },
  };
}

const COST_OF_TOKEN = 5;

/** A token costs as much as a retrieval, of the same budget. @throws {TokenError} `slow_down` */
export async function chargeToken(limit: RateLimit, bearer: Bearer, context: RequestContext): Promise<void> {
  await limit.charge(bearer, COST_OF_TOKEN, context).catch((error) => {
    const agent = bearer.signedBy === 'hub' ? { agent: bearer.subject } : {};
    throw error instanceof Refusal && error.status === 429 ? new TokenError('slow_down', 'rate limit', agent) : error;
  });
}

const refusal = ({ signedBy, subject, issuer, clientId }: Bearer, context: RequestContext) =>
  ({
    type: 'access',
    subtype: 'throttled',
    action: 'E',
    outcome: 4,
    agent: signedBy === 'hub' ? subject : 'Anonymous',
    clientId,
    detail: 'throttled; further refusals are not recorded for a minute',
    ...(signedBy === 'hub' ? {} : { evidence: { issuer, subject } }),
    ...context,
  }) as const;
