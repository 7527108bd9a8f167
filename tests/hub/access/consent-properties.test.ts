import { describe, it } from '@jest/globals';
import fc from 'fast-check';
import type { RowWithEvidence } from '../../../hub/access/decision.js';
import { consentCaller } from '../../../hub/access/policy/conditions.js';
import { compileConsent } from '../../../hub/access/consent/consent-rules.js';
import { consentSays } from '../../../hub/access/policy/consent-terms.js';
import type { ConsentRule, Seen } from '../../../hub/access/policy/terms.js';
import { BOUNDARY, type ConsentOf, type ProvisionOf, resourceOf } from './consent-world.js';
import { callerOf, consentAskers, consentWorlds, type RecordOf, SETTINGS, type World } from './world.js';

const NOW = new Date('2026-11-26T08:00:00.000Z');
const micros = (date: Date | null): number | null => (date === null ? null : date.getTime() * 1000);

function rulesOf(consents: readonly ConsentOf[]): ConsentRule[] {
  return consents.flatMap((consent, i) =>
    compileConsent(resourceOf(consent, 'p', NOW), '+08:00').map((rule) => ({
      ...rule,
      id: `c${i}`,
      version: 1,
      lifts: true,
      referred: false,
      from: micros(rule.from),
      until: micros(rule.until),
      data_from: micros(rule.data_from),
      data_until: micros(rule.data_until),
    })),
  );
}

function seen(record: RecordOf, i: number, consents: readonly ConsentRule[]): Seen {
  const from = record.sinceBoundary === null ? null : NOW.getTime() - BOUNDARY + record.sinceBoundary;
  const row = {
    type: record.type,
    id: `r${i}`,
    custodian_id: `h${record.custodian}`,
    labels: record.labels.map(({ system, code }) => `${system}|${code}`),
    date_from: from === null ? null : new Date(from),
  };
  return {
    row: row as RowWithEvidence,
    now: NOW.getTime() * 1000,
    registered: null,
    consents,
    refers: record.refers,
    authors: record.authors,
    dateUntil: from === null || record.lasts === null ? null : (from + record.lasts) * 1000,
  };
}

/** Of every asker and record how much the consents allow: 0 a denial, 1 nothing is said, 2 a permit, 3 one that names the record's label. */
function allowed(world: World, consents: readonly ConsentOf[]): number[] {
  const rules = rulesOf(consents);
  return consentAskers.flatMap((asker) => {
    const caller = consentCaller(callerOf(asker, world), SETTINGS);
    const [deny, permit, label] = [
      consentSays('deny', caller),
      consentSays('permit', caller),
      consentSays('permit', caller, true),
    ];
    return world.records.map((record, i) => {
      const one = seen(record, i, rules);
      if (deny.test(one)) return 0;
      return label.test(one) ? 3 : permit.test(one) ? 2 : 1;
    });
  });
}

const neverMore = (before: readonly number[], after: readonly number[]): boolean => before.every((much, i) => after[i]! <= much);
const neverLess = (before: readonly number[], after: readonly number[]): boolean => neverMore(after, before);

/** All provisions of a consent, from the root on. */
const provisionsOf = (consent: ConsentOf): ProvisionOf[] => {
  const all = (p: ProvisionOf): ProvisionOf[] => [p, ...(p.provision ?? []).flatMap(all)];
  return consent.provision ? all(consent.provision) : [];
};

/** The consents with one provision changed. `pick` chooses it. */
function changed(consents: readonly ConsentOf[], pick: number, change: (provision: ProvisionOf) => void): ConsentOf[] {
  const copy = structuredClone(consents) as ConsentOf[];
  const all = copy.flatMap(provisionsOf);
  const one = all[pick % Math.max(all.length, 1)];
  if (one) change(one);
  return copy;
}

const worldAnd = <T>(more: fc.Arbitrary<T>) => fc.tuple(consentWorlds, more, fc.nat(20));
const denials = consentWorlds.map(({ consents }) => provisionsOf(consents[0]!)[0] ?? {});
const RUNS = { numRuns: 300 };

describe('consents', () => {
  it('never allow more when a denial is added to one', () => {
    fc.assert(
      fc.property(worldAnd(denials), ([world, denial, pick]) => {
        const after = changed(world.consents, pick, (p) => {
          p.provision = [...(p.provision ?? []), { ...denial, type: 'deny', provision: [] }];
        });
        return neverMore(allowed(world, world.consents), allowed(world, after));
      }),
      RUNS,
    );
  });

  it('never allow more when a consent is added that only denies, nor less when it is withdrawn', () => {
    fc.assert(
      fc.property(worldAnd(denials), ([world, denial]) => {
        const more: ConsentOf = {
          person: 0,
          hospital: 0,
          herself: false,
          status: 'active',
          scope: 'patient-privacy',
          policyRule: null,
          policy: [],
          provision: { ...denial, type: 'deny', provision: [] },
        };
        const both = [...world.consents, more];
        const withdrawn = [...world.consents, { ...more, status: 'inactive' }];
        return (
          neverMore(allowed(world, world.consents), allowed(world, both)) &&
          neverLess(allowed(world, both), allowed(world, withdrawn))
        );
      }),
      RUNS,
    );
  });

  it('never allow more when one that only permits is withdrawn', () => {
    fc.assert(
      fc.property(consentWorlds, (world) => {
        const [first, ...others] = structuredClone(world.consents) as ConsentOf[];
        const permits: ConsentOf = { ...first!, policyRule: null };
        for (const p of provisionsOf(permits)) {
          p.type = 'permit';
          p.modifierExtension = undefined;
        }
        if (permits.provision === null) return true;
        return neverMore(allowed(world, [permits, ...others]), allowed(world, [{ ...permits, status: 'inactive' }, ...others]));
      }),
      RUNS,
    );
  });

  const unreadable: [string, (provision: ProvisionOf) => void][] = [
    ['a code', (p) => Object.assign(p, { code: ['something'] })],
    ['a modifier', (p) => Object.assign(p, { modifierExtension: [{ url: 'urn:not' }] })],
  ];
  it.each(unreadable)('never allow more when a provision gets %s', (_name, change) => {
    fc.assert(
      fc.property(worldAnd(fc.constant(0)), ([world, , pick]) =>
        neverMore(allowed(world, world.consents), allowed(world, changed(world.consents, pick, change))),
      ),
      RUNS,
    );
  });

  it('never allow more by a permit that can’t be read than without it', () => {
    fc.assert(
      fc.property(worldAnd(denials), ([world, given, pick]) => {
        const after = changed(world.consents, pick, (p) => {
          p.provision = [...(p.provision ?? []), { ...given, type: 'permit', code: ['something'], provision: [] }];
        });
        return neverMore(allowed(world, world.consents), allowed(world, after));
      }),
      RUNS,
    );
  });
});
