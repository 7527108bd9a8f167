import { loadPolicy } from '../../../policies/load-policy.js';
import type { Config } from '../../config.js';
import { sql } from '../../store/sql.js';
import type { Caller } from '../caller.js';
import { BoundedCache } from '../authentication/bounded-cache.js';
import type { Access } from '../decision.js';
import { CallerAccess } from './caller-access.js';
import { type CallerFacts, type FactStamp, factStamp, readCallerFacts, stillHold } from './caller-facts.sql.js';
import { conditionsFor } from './conditions.js';
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
  let current = await policyOf();
  const remember = (caller: Caller, facts: CallerFacts): Remembered => {
    const access = new CallerAccess(
      current.policy,
      caller,
      facts,
      (kinds, purposeOfUse = caller.purposeOfUse) => conditionsFor({ ...caller, purposeOfUse }, facts, config, kinds),
      options.onFailure ?? (() => undefined),
    );
    const known = { facts, access };
    if (isRemembered(caller)) current.memory.set(keyOf(caller), known, Number.POSITIVE_INFINITY);
    return known;
  };
  const memoryOf = (caller: Caller): Remembered | undefined =>
    isRemembered(caller) ? current.memory.get(keyOf(caller)) : undefined;
  return {
    forCaller: async (tx, caller) => {
      const known = memoryOf(caller);
      const [stamp] = known ? await tx.query<FactStamp & Record<string, unknown>>(sql`select ${factStamp}`) : [];
      if (known && stamp && stillHold(known.facts, stamp)) return known.access;
      return remember(caller, await readCallerFacts(tx, caller)).access;
    },
    remembered: (caller) => {
      const known = memoryOf(caller);
      return (
        known && {
          access: known.access,
          stamp: factStamp,
          isConfirmedBy: (row) => stillHold(known.facts, row as unknown as FactStamp),
        }
      );
    },
    reload: async (folder) => {
      current = await policyOf(folder);
    },
  };
}

interface Remembered {
  facts: CallerFacts;
  access: CallerAccess;
}

/** Callers whose facts are kept at once: a caller is some person's or system's organization, practitioner, role and purpose. */
const REMEMBERED = 2_000;

/** A set of rules, and what was read for it: with new rules nothing old is remembered. */
async function policyOf(folder?: URL): Promise<{ policy: PolicySet; memory: BoundedCache<Remembered> }> {
  return { policy: await PolicySet.build(loadPolicy(vocabulary, folder)), memory: new BoundedCache(REMEMBERED) };
}

/** Everything of a caller that facts and conditions depend on. */
const keyOf = ({ organizationId, practitionerId, patientId, role, purposeOfUse }: Caller): string =>
  JSON.stringify([organizationId, practitionerId, patientId, role, purposeOfUse]);

/**
 * A patient's facts hang on links between Patients, which are many and change often: they are read each time. So are those of an exceptional
 * access, which is short and ends at once.
 */
const isRemembered = (caller: Caller): boolean =>
  caller.patientId === undefined && caller.role !== 'patient' && caller.exceptionalAccess === undefined;
