import { type PolicyTexts, readPolicyTexts } from '../../../policies/policy-texts.js';
import { linesOfTable } from './policy-diff.js';

/** What came with the program and a policy does not have. */
export interface Lacking {
  /** Rules and groups, as they stand in the program's table. */
  lines: string[];
  /** Names of examples. */
  examples: string[];
}

/** Rules by their id, groups by what they say: a rule that the region has written otherwise is its own. */
const keyOf = (line: string): string => (line.startsWith('p, ') ? line.split(', ').slice(0, 2).join(', ') : line);

/**
 * What a policy of an earlier version lacks of the program's: rights that an upgrade brought, and that nobody has until they are published. What the region has given up
 * by name (`superseded`) is no lack, nor is the rule that decides it.
 */
export function lackingOf({ rules, examples, superseded }: PolicyTexts, program: PolicyTexts = readPolicyTexts()): Lacking {
  const own = new Set(linesOfTable(rules).map(keyOf));
  const names = new Set([...examples.map(({ name }) => name), ...Object.keys(superseded)]);
  const kept = new Set(program.examples.filter(({ name }) => !Object.hasOwn(superseded, name)).map(({ rule }) => rule));
  const givenUp = (line: string): boolean => {
    const id = line.startsWith('p, ') ? line.split(', ')[1]! : '';
    return program.examples.some(({ rule }) => rule === id) && !kept.has(id);
  };
  return {
    lines: linesOfTable(program.rules).filter((line) => !own.has(keyOf(line)) && !givenUp(line)),
    examples: program.examples.filter(({ name }) => !names.has(name)).map(({ name }) => name),
  };
}

/** A policy with what it lacks of the program's; all that is its own stays as it is. */
export function withAdditions(texts: PolicyTexts, program: PolicyTexts = readPolicyTexts()): PolicyTexts {
  const { lines, examples } = lackingOf(texts, program);
  return {
    ...texts,
    rules: [texts.rules.trimEnd(), '', '# Came with a later version of the program.', ...lines, ''].join('\n'),
    examples: [...texts.examples, ...program.examples.filter(({ name }) => examples.includes(name))],
  };
}
