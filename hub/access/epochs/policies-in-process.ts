import { readPolicyTexts } from '../../../policies/policy-texts.js';
import { unavailable } from '../../outcomes.js';
import type { Queryable } from '../../store/database.js';
import { BoundedCache } from '../authentication/bounded-cache.js';
import { readEpoch } from './epochs.sql.js';
import type { PolicySet } from '../policy/policy-set.js';
import { digestOf, enforceablePolicy } from './sound-policy.js';

/** Sets and epochs that a process keeps: the one in force and those before it that running requests or a rollback may want. */
const KEPT = { sets: 4, epochs: 64 };
const ALWAYS = Number.POSITIVE_INFINITY;

/**
 * The sets of rules that this process has built, validated and self-tested, by epoch. An epoch never changes, so neither does its set, nor the
 * verdict that it can't be built here (a word of another version of the program, say): then every request under it fails.
 */
export class PoliciesInProcess {
  private readonly digests = new BoundedCache<string>(KEPT.epochs);
  private readonly sets = new BoundedCache<Promise<PolicySet>>(KEPT.sets);

  private readonly program = readPolicyTexts();
  private told: number | null | undefined;

  constructor(private readonly onFailure: (error: unknown) => void) {}

  /** The set of an epoch, read through `on` when it is not there yet. @throws Refusal 503 when there is none that this program may enforce */
  async of(on: Queryable, number: number | null | undefined): Promise<PolicySet> {
    if (number === null || number === undefined) throw this.refused(null, new Error('no policy is in force'));
    const digest = this.digests.get(String(number));
    const set = digest === undefined ? undefined : this.sets.get(digest);
    return (set ?? this.load(on, number)).catch((error) => {
      throw isOutage(error) ? error : this.refused(number, error);
    });
  }

  private async load(on: Queryable, number: number): Promise<PolicySet> {
    const epoch = await readEpoch(on, number);
    if (!epoch) throw new Error(`epoch ${number} of the policy is not there`);
    const digest = digestOf(epoch.texts);
    if (digest !== epoch.digest) throw new Error(`epoch ${number} of the policy is not what was published`);
    const built = this.sets.get(digest) ?? this.sets.set(digest, enforceablePolicy(epoch.texts, this.program), ALWAYS);
    this.digests.set(String(number), digest, ALWAYS);
    return built;
  }

  /** Said once: every request fails of it from now on. */
  private refused(number: number | null, cause: unknown): Error {
    if (this.told !== number) this.onFailure(cause);
    this.told = number;
    return Object.assign(unavailable(), { cause });
  }
}

/** An error of the database or of the connection to it has a code; a fault of a policy has none. */
const isOutage = (error: { code?: unknown }): boolean => error.code !== undefined;
