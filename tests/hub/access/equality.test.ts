import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { createAccess, type PolicyAccess } from '../../../hub/access/create-access.js';
import { type TestDatabase, testDatabase } from '../../support/test-database.js';
import { compare, compareConsents } from './agreement.js';
import { askers, consentWorlds, crowdedWorlds, SETTINGS } from './world.js';
import { inWorld, openInstant } from './world-database.js';

let database: TestDatabase;
let instant: Awaited<ReturnType<typeof openInstant>>;
let access: PolicyAccess;
const failures: unknown[] = [];

/** Callers and records that are asked about at the least, each for every action. */
const PAIRS = 100_000;

beforeAll(async () => {
  database = await testDatabase();
  instant = await openInstant(database.db);
  access = await createAccess(SETTINGS, { onFailure: (error) => failures.push(error) });
});
afterAll(async () => {
  await instant.close();
  await database.close();
});

describe('the policy in its two forms', () => {
  it('decides each record like the plain reading of the rules, by casbin and by SQL', async () => {
    let [pairs, asked, allowed] = [0, 0, 0];
    await fc.assert(
      fc.asyncProperty(crowdedWorlds, async (world) => {
        const result = await inWorld(instant.tx, world, () => compare(instant.tx, access, world));
        pairs += result.pairs;
        asked += result.asked;
        allowed += result.allowed;
        expect(result.differences).toEqual([]);
      }),
      { numRuns: Math.ceil(PAIRS / (170 * askers.length)), endOnFailure: true },
    );
    expect(pairs).toBeGreaterThanOrEqual(PAIRS);
    // worlds in which nobody may do anything would agree about everything
    expect(allowed).toBeGreaterThan(asked / 50);
    expect(failures).toEqual([]);
  }, 400_000);

  it('reads consents like the plain reading of their provisions, for breaking the glass too', async () => {
    const said = { asked: 0, allowed: 0 };
    await fc.assert(
      fc.asyncProperty(consentWorlds, async (world) => {
        const result = await inWorld(instant.tx, world, () => compareConsents(instant.tx, world));
        said.asked += result.asked;
        said.allowed += result.allowed;
        expect(result.differences).toEqual([]);
      }),
      { numRuns: 40 },
    );
    expect(said.allowed).toBeGreaterThan(said.asked / 20);
  });
});
