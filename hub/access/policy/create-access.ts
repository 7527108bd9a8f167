import { loadPolicy } from '../../../policies/load-policy.js';
import type { Config } from '../../config.js';
import type { Queryable } from '../../store/database.js';
import type { Caller } from '../caller.js';
import type { Access } from '../decision.js';
import { readCallerFacts } from './caller-facts.sql.js';
import { conditionsFor } from './conditions.js';
import { CallerAccess } from './caller-access.js';
import { PolicySet } from './policy-set.js';
import { vocabulary } from './vocabulary.js';

/** The policy in force. Its rules change only as a whole: a new set is built and tested aside, then takes the place of the old one. */
export interface PolicyAccess extends Access {
  /** Reads the policy again. Requests that have begun are decided by the set that they began with. @throws Error, and the old set stays, when the new one has a fault. */
  reload(folder?: URL): Promise<void>;
}

export interface AccessOptions {
  /** Told of what a decision failed on; the decision itself is a denial. */
  onFailure?: (error: unknown) => void;
}

/** Loads the policy and runs its examples. @throws Error when it has a fault: without a policy nothing starts. */
export async function createAccess(
  config: Pick<Config, 'consentRequiredFor'>,
  options: AccessOptions = {},
): Promise<PolicyAccess> {
  let current = await PolicySet.build(loadPolicy(vocabulary));
  return {
    forCaller: async (tx: Queryable, caller: Caller) => {
      const policy = current;
      const facts = await readCallerFacts(tx, caller);
      return new CallerAccess(
        policy,
        caller,
        facts,
        conditionsFor(caller, facts, config),
        options.onFailure ?? (() => undefined),
      );
    },
    reload: async (folder) => {
      current = await PolicySet.build(loadPolicy(vocabulary, folder));
    },
  };
}
