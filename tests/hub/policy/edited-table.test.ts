import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { parsePolicy } from '../../../policies/load-policy.js';
import { PolicyError } from '../../../policies/policy-error.js';
import { type PolicyTexts, readPolicyTexts } from '../../../policies/policy-texts.js';
import { PolicySet } from '../../../hub/access/policy/policy-set.js';
import { soundPolicy } from '../../../hub/access/epochs/sound-policy.js';
import { CONDITIONS, vocabulary } from '../../../hub/access/policy/vocabulary.js';

const program = readPolicyTexts();
const lines = program.rules.split('\n');
const rows = lines.flatMap((line, i) => (/^(p|g\d?),/.test(line) ? [i] : []));
const denies = lines.flatMap((line, i) => (line.endsWith('deny') ? [i] : []));

/** A small slip of the pen, on one line of the table. */
type Edit = (table: string[], at: number, cell: number) => void;

const onCell =
  (change: (cell: string) => string): Edit =>
  (table, at, cell) => {
    const cells = (table[at] ?? '').split(',');
    const which = 1 + (cell % Math.max(1, cells.length - 1));
    cells[which] = ` ${change((cells[which] ?? '').trim())}`;
    table[at] = cells.join(',');
  };

const EDITS: Readonly<Record<string, Edit>> = {
  'a row is dropped': (table, at) => table.splice(at, 1),
  'an effect is turned': (table, at) => {
    table[at] = (table[at] ?? '').replace(/allow$|deny$/, (eft) => (eft === 'allow' ? 'deny' : 'allow'));
  },
  'an effect is left out': (table, at) => {
    table[at] = (table[at] ?? '').replace(/, (allow|deny)$/, '');
  },
  'a word is mis-cased': onCell((cell) => cell.charAt(0).toUpperCase() + cell.slice(1)),
  'a word is shouted': onCell((cell) => cell.toUpperCase()),
  'a word is unknown': onCell((cell) => `${cell}x`),
  'a cell is empty': onCell(() => ''),
  'a cell holds a condition of code': onCell((cell) => `${cell} || true`),
  'a row is there twice': (table, at) => table.splice(at, 0, table[at] ?? ''),
  'a mandatory deny is dropped': (table, _at, cell) => {
    const row = lines[denies[cell % denies.length] ?? 0] ?? '';
    table.splice(table.indexOf(row), table.includes(row) ? 1 : 0);
  },
  'a row is commented out': (table, at) => {
    table[at] = `#${table[at]}`;
  },
  'a rule is another’s': (table, at, cell) => {
    const [from, to] = [(table[at] ?? '').split(','), (lines[rows[cell % rows.length] ?? 0] ?? '').split(',')];
    if (from.length === to.length) table[at] = [from[0], from[1], ...to.slice(2)].join(',');
  },
};

const edits = fc.array(
  fc.record({ kind: fc.constantFrom(...Object.keys(EDITS)), at: fc.constantFrom(...rows), cell: fc.nat({ max: 97 }) }),
  { minLength: 1, maxLength: 3 },
);

function edited(given: readonly { kind: string; at: number; cell: number }[]): PolicyTexts {
  const table = [...lines];
  for (const { kind, at, cell } of given) EDITS[kind]?.(table, Math.min(at, table.length - 1), cell);
  return { ...program, rules: table.join('\n') };
}

interface Question {
  role: string;
  purpose: string;
  action: string;
  object: string;
}
const questions = fc.oneof(
  fc.record({
    role: fc.constantFrom(...vocabulary.roles),
    purpose: fc.constantFrom(...vocabulary.purposes),
    action: fc.constantFrom(...vocabulary.actions),
    object: fc.constantFrom(...vocabulary.objects),
  }),
  fc.constantFrom(...program.examples.map(({ subject, action, object }) => ({ ...subject, action, object }))),
);
const DENIES: readonly string[] = vocabulary.mandatoryDenies.bases;
const holding = fc
  .tuple(
    fc.subarray(CONDITIONS.filter((c) => !DENIES.includes(c))),
    fc.option(fc.constantFrom(...DENIES), { nil: undefined, freq: 2 }),
  )
  .map(([held, deny]): string[] => (deny ? [...held, deny] : held));

/** The table as a person reads it: what is not spelt as it should be allows nothing, and a deny that matches wins. */
function plainly(table: string, { role, purpose, action, object }: Question, held: readonly string[]): boolean {
  const cells = table.split('\n').map((line) => line.split(',').map((cell) => cell.trim()));
  const isIn = (kind: string, word: string, name: string | undefined): boolean =>
    word === name ||
    cells.some(([k, member, group]) => k === kind && group === name && member !== name && isIn(kind, word, member));
  const matching = cells.filter(
    ([kind, , r, a, o, p, basis]) =>
      kind === 'p' &&
      isIn('g', role, r) &&
      isIn('g3', action, a) &&
      isIn('g4', object, o) &&
      isIn('g2', purpose, p) &&
      held.includes(basis ?? ''),
  );
  return matching.some((row) => row[7] === 'allow') && !matching.some((row) => row[7] === 'deny');
}

/** A set of an edited table; undefined where the loader refuses it. */
async function loaded(texts: PolicyTexts): Promise<PolicySet | undefined> {
  try {
    return await PolicySet.build({ model: texts.model, ...parsePolicy(texts.rules, vocabulary), examples: [] });
  } catch (error) {
    expect(error).toBeInstanceOf(PolicyError);
    return undefined;
  }
}

describe('a table with slips of the pen', () => {
  const slips = fc.tuple(edits, fc.array(fc.tuple(questions, holding), { minLength: 150, maxLength: 150 }));
  /** How many answers of an edited table are allows, none of them one that the table read plainly denies; undefined where it is refused. */
  const allowsOf = async ([given, asked]: typeof slips extends fc.Arbitrary<infer T> ? T : never): Promise<
    number | undefined
  > => {
    const texts = edited(given);
    const policy = await loaded(texts);
    if (!policy) return undefined;
    let allows = 0;
    for (const [question, held] of asked) {
      const { allowed } = policy.decide(question, { holds: (condition) => held.includes(condition) });
      if (!allowed) continue;
      allows++;
      expect([question, held, plainly(texts.rules, question, held)]).toEqual([question, held, true]);
    }
    return allows;
  };

  it('is refused, or allows nothing that it would deny as read plainly', async () => {
    await fc.assert(
      fc.asyncProperty(slips, async (one) => void (await allowsOf(one))),
      { numRuns: 40 },
    );
  });

  it('is so of tables of which many are taken and many refused', async () => {
    const same: (number | undefined)[] = [];
    for (const one of fc.sample(slips, { numRuns: 60, seed: 20260101 })) same.push(await allowsOf(one));
    const taken = same.filter((allows) => allows !== undefined);

    expect(taken.length).toBeGreaterThan(5);
    expect(same.length - taken.length).toBeGreaterThan(20);
    expect(taken.reduce((sum, n) => sum + n, 0)).toBeGreaterThan(50);
  });

  it.each(Object.keys(EDITS))('is not published when %s', async (kind) => {
    const at = lines.findIndex((line) => line.startsWith('p, own-care,'));
    await expect(soundPolicy(edited([{ kind, at, cell: 3 }]))).rejects.toBeInstanceOf(PolicyError);
  });
});
