import { type Example, type PolicyTexts, readPolicyTexts } from '../../../policies/policy-texts.js';

/** The program's policy without this rule and what is said of it: a hospital's system no longer reads its own records for operations. */
export function withoutOperations(program: PolicyTexts = readPolicyTexts()): PolicyTexts {
  const given = program.examples.filter((example) => example.rule === 'own-operations');
  return {
    ...program,
    rules: program.rules
      .split('\n')
      .filter((line) => !line.startsWith('p, own-operations,'))
      .join('\n'),
    examples: program.examples.filter((example) => !given.includes(example)),
    superseded: Object.fromEntries(given.map(({ name }) => [name, 'operations are done without the records'])),
  };
}

/** As a proposal's body. */
export const asProposal = ({ rules, examples, superseded }: PolicyTexts, note = 'a change for the test') => ({
  note,
  rules,
  examples: Object.fromEntries(examples.map(({ name, permit: _, ...content }: Example) => [name, content])),
  superseded,
});
