import type { PolicyTexts } from '../../../policies/policy-texts.js';

/** What one policy has and another has not; comments and order of lines aside. */
export interface PolicyDiff {
  added: string[];
  removed: string[];
}

/** Lines of the tables, and examples by name, that differ. */
export function diffOf(before: PolicyTexts, after: PolicyTexts): PolicyDiff {
  const [old, fresh] = [linesOf(before), linesOf(after)];
  return { added: [...fresh].filter((line) => !old.has(line)), removed: [...old].filter((line) => !fresh.has(line)) };
}

function linesOf({ rules, examples, superseded }: PolicyTexts): Set<string> {
  return new Set([
    ...linesOfTable(rules),
    ...examples.map(
      ({ name, subject, action, object, facts, rule }) =>
        `example ${name}: ${subject.role} ${action} ${object} for ${subject.purpose} where ${facts.join(', ') || 'nothing'} holds: ${rule || 'no rule'}`,
    ),
    ...Object.entries(superseded).map(([name, reason]) => `superseded ${name}: ${reason}`),
  ]);
}

/** Rules and groups of a table, each as `p, id, …`; comments and empty lines aside. */
export const linesOfTable = (rules: string): string[] =>
  rules
    .split(/\r?\n/)
    .filter((line) => line.trim() !== '' && !line.startsWith('#'))
    .map((line) =>
      line
        .split(',')
        .map((cell) => cell.trim())
        .join(', '),
    );
