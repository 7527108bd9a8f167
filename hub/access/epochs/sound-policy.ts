import { createHash } from 'node:crypto';
import { parseTexts } from '../../../policies/load-policy.js';
import { PolicyError, type PolicyFault } from '../../../policies/policy-error.js';
import { type PolicyTexts, readPolicyTexts } from '../../../policies/policy-texts.js';
import { PolicySet } from '../policy/policy-set.js';
import { vocabulary } from '../policy/vocabulary.js';

/** Characters that a policy's table may have. */
const LONGEST_TABLE = 64 * 1024;

/**
 * The set of a policy that this program may enforce: the table is sound in its vocabulary, the casbin model is the program's own, the policy's examples come
 * out as they say, and so do those of the program. A permit among the latter may be given up by name and with a reason; what they deny stays
 * denied, because widening that is for a release of the program, not for its operation.
 * @throws PolicyError that names each fault, with its line where it has one
 */
export const soundPolicy = (texts: PolicyTexts, program = readPolicyTexts()): Promise<PolicySet> =>
  checkedPolicy(texts, program, () => true);

/**
 * The set of a policy that is in force already, and may be from before this version of the program: what its own examples do not know of, the program's need not
 * permit. So an upgrade that brings a right stops nobody; those who are to have it wait until it is published. What the program denies is denied at once.
 * @throws PolicyError that names each fault
 */
export const enforceablePolicy = (texts: PolicyTexts, program = readPolicyTexts()): Promise<PolicySet> => {
  const known = new Set(texts.examples.map(({ name }) => name));
  return checkedPolicy(texts, program, ({ name, permit }) => !permit || known.has(name));
};

/** @param holds which of the program's examples have to come out as they say. */
async function checkedPolicy(
  texts: PolicyTexts,
  program: PolicyTexts,
  holds: (example: PolicyTexts['examples'][number]) => boolean,
): Promise<PolicySet> {
  const early = [...faultsOfText(texts, program), ...faultsOfSuperseding(texts, program)];
  if (early.length > 0) throw new PolicyError(early);
  const set = await PolicySet.build(parseTexts(texts, vocabulary));
  const wrong = program.examples
    .filter((example) => !Object.hasOwn(texts.superseded, example.name) && holds(example))
    .flatMap((example) => set.faultOf(example, true) ?? [])
    .map((message) => ({ message: `of the program's own, ${message}` }));
  if (wrong.length > 0) throw new PolicyError(wrong);
  return set;
}

/** The matcher is code: it comes with the program, a policy brings rules. */
function faultsOfText({ model, rules }: PolicyTexts, program: PolicyTexts): PolicyFault[] {
  return [
    ...(bare(model) === bare(program.model) ? [] : [{ message: "the casbin model is not the program's" }]),
    ...(rules.length > LONGEST_TABLE ? [{ message: `the table is longer than ${LONGEST_TABLE} characters` }] : []),
  ];
}

/** Without comments and empty lines. */
const bare = (model: string): string =>
  model
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .join('\n');

function faultsOfSuperseding({ superseded }: PolicyTexts, program: PolicyTexts): PolicyFault[] {
  return Object.keys(superseded).flatMap((name) => {
    const example = program.examples.find((e) => e.name === name);
    if (!example) return [{ message: `superseded.json: the program has no example ${name}` }];
    return example.permit ? [] : [{ message: `superseded.json: ${name} is a denial, which a policy can't give up` }];
  });
}

/** SHA-256 of a policy, in hexadecimal: the same for the same policy, however its examples were ordered. */
export function digestOf({ model, rules, examples, superseded }: PolicyTexts): string {
  const inOrder = <T>(entries: readonly [string, T][]): [string, T][] => [...entries].sort(([a], [b]) => (a < b ? -1 : 1));
  const parts = [
    bare(model),
    rules,
    inOrder(
      examples.map(({ name, permit, description, subject, facts, action, object, rule }) => [
        name,
        [permit, description, subject.role, subject.purpose, facts, action, object, rule],
      ]),
    ),
    inOrder(Object.entries(superseded)),
  ];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}
