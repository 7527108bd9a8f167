import { type Example, type PolicyTexts, readPolicyTexts } from '../../../policies/policy-texts.js';

/** The program's policy without one rule that allows, and without the examples that it decides. */
export function withoutRule(id: string, program: PolicyTexts = readPolicyTexts()): PolicyTexts {
  const given = program.examples.filter((example) => example.rule === id);
  return {
    ...program,
    rules: program.rules
      .split('\n')
      .filter((line) => !line.startsWith(`p, ${id},`))
      .join('\n'),
    examples: program.examples.filter((example) => !given.includes(example)),
    superseded: Object.fromEntries(given.map(({ name }) => [name, 'the region does without it'])),
  };
}

/** A hospital's system no longer reads its own records for operations. */
export const withoutOperations = (): PolicyTexts => withoutRule('own-operations');

/** As a proposal's body. */
export const asProposal = ({ rules, examples, superseded }: PolicyTexts, note = 'a change for the test') => ({
  note,
  rules,
  examples: Object.fromEntries(examples.map(({ name, permit: _, ...content }: Example) => [name, content])),
  superseded,
});

/** The program's policy as a version had it that did not know of these rights, nor of the action `verify`: without their rules, groups and examples, and without a word about it. */
export function ofEarlierVersion(ids: readonly string[], groups: readonly string[], program = readPolicyTexts()): PolicyTexts {
  return {
    ...program,
    rules: program.rules
      .split('\n')
      .filter((line) => !groups.includes(line) && !ids.some((id) => line.startsWith(`p, ${id},`)))
      .join('\n'),
    examples: program.examples.filter(({ rule, action }) => !ids.includes(rule) && action !== 'verify'),
  };
}
