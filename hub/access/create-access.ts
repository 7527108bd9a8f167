import type { Queryable } from '../store/database.js';
import { sql } from '../store/sql.js';
import type { Caller } from './caller.js';
import { BoundedCache } from './authentication/bounded-cache.js';
import type { Access } from './access.js';
import { CallerAccess } from './policy/caller-access.js';
import { type CallerFacts, type FactStamp, factStamp, readCallerFacts, stillHold } from './policy/caller-facts.sql.js';
import type { Majority } from './guardians/guardianships.sql.js';
import { conditionsFor, type PolicySettings } from './policy/conditions.js';
import { factsUnder, rowUnder } from './policy/hypothesis.js';
import { epochInForce } from './epochs/epochs.sql.js';
import { PoliciesInProcess } from './epochs/policies-in-process.js';

/** The policy of whichever epoch a request's own snapshot shows to be in force. */
export interface PolicyAccess extends Access {
  /** Builds and tests the set of the epoch in force, so that no request has to wait for it. @returns its number @throws Refusal 503 when that can't be done */
  prepare(on: Queryable): Promise<number>;
}

export interface AccessOptions {
  /** Told of what a decision failed on; the decision itself is a denial. */
  onFailure?: (error: unknown) => void;
}

/**
 * The policy as this process enforces it. Which epoch decides is read with the caller's facts, in the request's own snapshot: a process that has
 * not built that epoch yet does so before it answers, and one that can't fails the request. Nothing else has to reach a process in time.
 */
export async function createAccess(
  config: PolicySettings & Partial<Majority>,
  options: AccessOptions = {},
): Promise<PolicyAccess> {
  const onFailure = options.onFailure ?? (() => undefined);
  const majority: Majority = { ageOfMajority: config.ageOfMajority ?? 18, utcOffset: config.utcOffset ?? '+08:00' };
  const policies = new PoliciesInProcess(onFailure);
  const memory = new BoundedCache<Remembered>(REMEMBERED);
  const accessBy = async (tx: Queryable, caller: Caller, facts: CallerFacts): Promise<CallerAccess> => {
    const policy = await policies.of(tx, facts.policyEpoch);
    const conditions = (kinds: readonly string[], purposeOfUse = caller.purposeOfUse) =>
      conditionsFor({ ...caller, purposeOfUse }, facts, config, kinds);
    return new CallerAccess(policy, facts.policyEpoch ?? 0, caller, facts, conditions, onFailure);
  };
  const read = async (tx: Queryable, caller: Caller): Promise<CallerAccess> => {
    const facts = await readCallerFacts(tx, caller, majority);
    const access = await accessBy(tx, caller, facts);
    if (isRemembered(caller)) memory.set(keyOf(caller), { facts, access }, Number.POSITIVE_INFINITY);
    return access;
  };
  const memoryOf = (caller: Caller): Remembered | undefined => (isRemembered(caller) ? memory.get(keyOf(caller)) : undefined);
  return {
    forCaller: async (tx, caller) => {
      const known = memoryOf(caller);
      const [stamp] = known ? await tx.query<FactStamp & Record<string, unknown>>(sql`select ${factStamp}`) : [];
      if (known && stamp && stillHold(known.facts, stamp)) return known.access;
      return read(tx, caller);
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
    whatIf: async (tx, caller, hypothesis) => {
      const access = await accessBy(tx, caller, factsUnder(hypothesis, await readCallerFacts(tx, caller, majority)));
      return { decide: (action, row) => access.decide(action, rowUnder(hypothesis, row)) };
    },
    prepare: async (on) => {
      const number = await epochInForce(on);
      await policies.of(on, number);
      return number ?? 0;
    },
  };
}

interface Remembered {
  facts: CallerFacts;
  access: CallerAccess;
}

/** Callers whose facts are kept at once: a caller is some person's or system's organization, practitioner, role and purpose. */
const REMEMBERED = 2_000;

/** Everything of a caller that facts and conditions depend on. */
const keyOf = ({ organizationId, practitionerId, patientId, role, purposeOfUse }: Caller): string =>
  JSON.stringify([organizationId, practitionerId, patientId, role, purposeOfUse]);

/**
 * A patient's facts hang on links between Patients, which are many and change often: they are read each time. So are those of an exceptional
 * access, which is short and ends at once.
 */
const isRemembered = (caller: Caller): boolean =>
  caller.patientId === undefined && caller.role !== 'patient' && caller.exceptionalAccess === undefined;
