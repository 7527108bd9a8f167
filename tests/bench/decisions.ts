import { EnforceContext } from 'casbin';
import { expand, loadPolicy, type PolicySource } from '../../policies/load-policy.js';
import { createEnforcer, type Facts, PolicySet, type Question } from '../../hub/access/policy/policy-set.js';
import { CONDITIONS, type Condition, vocabulary } from '../../hub/access/policy/vocabulary.js';

/**
 * `npm run bench -- decisions`: decisions a second on what a clinician asks for care, with random conditions holding: the policy as it runs, casbin asked
 * each time, and a closure of the same rules, written by hand. All three answer the same questions and must agree.
 */
const SECONDS = Number(process.env.BENCH_SECONDS ?? 2);
const RUNS = 3;
const PREPARED = 20_000;
const MATCH_BASIS_ONLY = new EnforceContext('r', 'p', 'e', 'm2');

interface Asked {
  question: Question;
  facts: Facts;
}
type Decide = (asked: Asked) => boolean;

export async function decisions(): Promise<void> {
  const source = loadPolicy(vocabulary);
  const built = performance.now();
  const fresh = await Promise.all(Array.from({ length: 10 }, () => PolicySet.build(source)));
  const milliseconds = (performance.now() - built) / fresh.length;
  const policy = await PolicySet.build(source);
  const asked = questions(source);
  const asPolicy: Decide = ({ question, facts }) => policy.decide(question, facts).allowed;
  const asCasbin = await casbinEachTime(source);
  assertAgreement(asked, [asPolicy, asCasbin, byHand]);
  const first = firstDecisions(fresh, asked);
  const runs = Array.from({ length: RUNS }, () => ({
    hand: perSecond(asked, byHand),
    policy: perSecond(asked, asPolicy),
    casbin: perSecond(asked, asCasbin),
  }));
  const hand = median(runs.map((r) => r.hand));
  const line = (what: string, rate: number): string => `| ${what} | ${Math.round(rate)}/s | ${(hand / rate).toFixed(1)} |`;
  console.log(
    `median of ${RUNS} runs of ${SECONDS} s each; a set of ${source.rules.length} rules is built and tested in ${milliseconds.toFixed(0)} ms\n`,
  );
  console.log('| decisions | rate | times slower than by hand |\n|---|---|---|');
  console.log(line('closure written by hand', hand));
  console.log(
    line('policy, steady state: casbin’s verdicts are remembered by the conditions that hold', median(runs.map((r) => r.policy))),
  );
  console.log(
    line('policy, the first 200 decisions of a new set: casbin is asked for conditions that were not met before', first),
  );
  console.log(line('casbin asked each time, over the rules that are left for the question', median(runs.map((r) => r.casbin))));
}

/** What clinicians ask for care, of records of the chart; every condition holds with a chance of its own. */
function questions(source: PolicySource): Asked[] {
  const roles = expand('clinician', source.groups.g, vocabulary.roles);
  const purposes = expand('care', source.groups.g2, vocabulary.purposes);
  const objects = expand('record', source.groups.g4, vocabulary.objects);
  const actions = ['know', 'read', 'retrieve', 'score', 'disclose'];
  const one = <T>(of: readonly T[]): T => of[Math.floor(Math.random() * of.length)] as T;
  return Array.from({ length: PREPARED }, () => {
    const held = new Set(CONDITIONS.filter((condition) => Math.random() < (DENIES.includes(condition) ? 0.1 : 0.3)));
    const question = { role: one(roles), purpose: one(purposes), action: one(actions), object: one(objects) };
    return { question, facts: { holds: (condition: Condition) => held.has(condition) } };
  });
}

const DENIES: readonly Condition[] = ['suspended', 'consent', 'opt-in', 'label'];
const CORRESPONDENCE: readonly string[] = ['DiagnosticReport', 'Observation'];

/** The rules of care for these questions, as one would write them without a policy. */
function byHand({ question: { action, object }, facts }: Asked): boolean {
  if (action === 'know') return facts.holds('registered');
  if (facts.holds('suspended') || facts.holds('consent') || facts.holds('opt-in') || facts.holds('label')) return false;
  if (facts.holds('own')) return true;
  if (action === 'disclose') return false;
  if (facts.holds('consortium') || facts.holds('agreement') || facts.holds('grant')) return true;
  return action === 'read' && CORRESPONDENCE.includes(object) && facts.holds('party');
}

async function casbinEachTime(source: PolicySource): Promise<Decide> {
  const enforcers = new Map<string, Awaited<ReturnType<typeof createEnforcer>>>();
  const reach = (question: Question) =>
    source.rules.filter(
      (rule) =>
        expand(rule.role, source.groups.g, vocabulary.roles).includes(question.role) &&
        expand(rule.purpose, source.groups.g2, vocabulary.purposes).includes(question.purpose) &&
        expand(rule.action, source.groups.g3, vocabulary.actions).includes(question.action) &&
        expand(rule.object, source.groups.g4, vocabulary.objects).includes(question.object),
    );
  const keyOf = (q: Question): string => `${q.role} ${q.purpose} ${q.action} ${q.object}`;
  for (const { question } of questions(source))
    if (!enforcers.has(keyOf(question))) enforcers.set(keyOf(question), await createEnforcer(source, reach(question)));
  return ({ question: q, facts }) =>
    enforcers.get(keyOf(q))?.enforceExSync(MATCH_BASIS_ONLY, q.role, q.action, q.object, q.purpose, facts)[0] === true;
}

function assertAgreement(asked: readonly Asked[], all: readonly Decide[]): void {
  const wrong = asked.find((a) => new Set(all.map((decide) => decide(a))).size > 1);
  if (wrong) throw new Error(`the three do not agree on ${JSON.stringify(wrong.question)}: the closure is to be written anew`);
}

function firstDecisions(sets: readonly PolicySet[], asked: readonly Asked[]): number {
  const rates = sets.map((set, i) => {
    const part = asked.slice(i * 200, (i + 1) * 200);
    const start = performance.now();
    for (const { question, facts } of part) set.decide(question, facts);
    return (part.length / (performance.now() - start)) * 1000;
  });
  return median(rates);
}

function perSecond(asked: readonly Asked[], decide: Decide): number {
  let [count, allowed] = [0, 0];
  const start = performance.now();
  while (performance.now() - start < SECONDS * 1000)
    for (const a of asked) {
      if (decide(a)) allowed++;
      count++;
    }
  if (allowed === 0) throw new Error('nothing was allowed');
  return (count / (performance.now() - start)) * 1000;
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
