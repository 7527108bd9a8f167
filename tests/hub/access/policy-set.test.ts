import { beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Enforcer } from 'casbin';
import { createEnforcer, PolicySet } from '../../../hub/access/policy/policy-set.js';
import { CONDITIONS, type Condition, vocabulary } from '../../../hub/access/policy/vocabulary.js';
import { loadPolicy, type PolicySource } from '../../../policies/load-policy.js';

let source: PolicySource;
let policy: PolicySet;
let whole: Enforcer;

beforeAll(async () => {
  source = loadPolicy(vocabulary);
  policy = await PolicySet.build(source);
  whole = await createEnforcer(source, source.rules);
});

const holding = (held: readonly Condition[]) => ({ holds: (condition: Condition) => held.includes(condition) });
const questions = fc.record({
  role: fc.constantFrom(...vocabulary.roles),
  purpose: fc.constantFrom(...vocabulary.purposes),
  action: fc.constantFrom(...vocabulary.actions),
  object: fc.constantFrom(...vocabulary.objects),
});

describe('the set of rules', () => {
  it('has 15 to 60 rules', () => {
    expect(source.rules.length).toBeGreaterThanOrEqual(15);
    expect(source.rules.length).toBeLessThanOrEqual(60);
  });

  it('has examples of what it permits and of what it denies', () => {
    const byRule = new Set(source.examples.map((example) => example.rule));
    expect(source.rules.filter((rule) => !byRule.has(rule.id)).map((rule) => rule.id)).toEqual([]);
    expect(source.examples.filter((e) => !e.permit).length).toBeGreaterThan(15);
  });

  it.each(loadPolicy(vocabulary).examples)('$name: $description', (example) => {
    const question = { ...example.subject, action: example.action, object: example.object };
    const verdict = policy.decide(question, holding(example.facts as Condition[]));
    expect({ permit: verdict.allowed, rule: verdict.rule?.id ?? '' }).toEqual({ permit: example.permit, rule: example.rule });
  });

  it('decides like casbin over the whole table and its groups', () => {
    fc.assert(
      fc.property(questions, fc.subarray([...CONDITIONS]), (question, held) => {
        const { role, action, object, purpose } = question;
        const [allowed, row] = whole.enforceExSync(role, action, object, purpose, holding(held));
        const verdict = policy.decide(question, holding(held));
        expect(verdict.allowed).toBe(allowed);
        if (verdict.allowed) expect(verdict.rule?.id).toBe(row?.[0]);
      }),
      { numRuns: 2000 },
    );
  });

  it('says for the SQL form what casbin says of each condition', () => {
    fc.assert(
      fc.property(questions, fc.subarray([...CONDITIONS]), (question, held) => {
        const { allow, deny } = policy.outcomes(question);
        const bySets = allow.some((c) => held.includes(c)) && !deny.some((c) => held.includes(c));
        expect(bySets).toBe(policy.decide(question, holding(held)).allowed);
      }),
      { numRuns: 2000 },
    );
  });

  it('allows nothing to a question with a word that it does not know', () => {
    const everything = holding(CONDITIONS.filter((c) => !vocabulary.mandatoryDenies.bases.includes(c)));
    const known = { role: 'physician', purpose: 'TREAT', action: 'read', object: 'ImagingStudy' };
    expect(policy.decide(known, everything).allowed).toBe(true);
    for (const change of [
      { role: 'anyone' },
      { role: '' },
      { purpose: 'any' },
      { purpose: 'treat' },
      { action: 'use' },
      { object: 'anything' },
      { object: '' },
    ])
      expect(policy.decide({ ...known, ...change }, everything)).toEqual({ allowed: false });
  });

  it('takes nothing but a true answer of a condition for one that holds', () => {
    const question = { role: 'physician', purpose: 'TREAT', action: 'read', object: 'ImagingStudy' };
    for (const answer of [undefined, null, 1, 'own', {}, Promise.resolve(true)])
      expect(policy.decide(question, { holds: (c: Condition) => (c === 'own' ? answer : false) as boolean }).allowed).toBe(false);
  });

  it.each([
    [
      'an example comes out otherwise',
      (s: PolicySource) => ({ ...s, examples: s.examples.map((e) => ({ ...e, permit: !e.permit })) }),
    ],
    [
      'an example names another rule',
      (s: PolicySource) => ({ ...s, examples: s.examples.map((e) => ({ ...e, rule: 'grant-care' })) }),
    ],
    ['the model is no model', (s: PolicySource) => ({ ...s, model: 'nonsense' })],
    ['the matcher is always true', (s: PolicySource) => ({ ...s, model: s.model.replace(/^m2 = .*$/m, 'm2 = true') })],
    ['a deny has become an allow', (s: PolicySource) => ({ ...s, rules: s.rules.map((r) => ({ ...r, eft: 'allow' as const })) })],
  ])('is not built when %s', async (_name, change) => {
    await expect(PolicySet.build(change(source))).rejects.toThrow();
  });
});
