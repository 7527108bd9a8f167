import { readdirSync, readFileSync } from 'node:fs';
import { z } from 'zod';

/** The words that rules may use; whoever enforces the policy gives them. */
export interface Vocabulary {
  roles: readonly string[];
  purposes: readonly string[];
  actions: readonly string[];
  /** Kinds of record: FHIR resource types. */
  objects: readonly string[];
  /** Conditions that a rule can rest on. */
  bases: readonly string[];
  /** Denies without which the policy is refused: each of these bases, for every role, object and purpose, on each of these actions. */
  mandatoryDenies: { bases: readonly string[]; actions: readonly string[] };
}

/** One `p` row. `role`, `action`, `object` and `purpose` are words of the vocabulary or groups of them. */
export interface Rule {
  id: string;
  role: string;
  action: string;
  object: string;
  purpose: string;
  basis: string;
  eft: 'allow' | 'deny';
}

/** A request that the policy must permit or deny, as the region's people review it. */
export interface Example {
  /** File name. */
  name: string;
  permit: boolean;
  description: string;
  subject: { role: string; purpose: string };
  /** Bases that hold. */
  facts: string[];
  action: string;
  object: string;
  /** Id of the rule that decides; '' where none matches. */
  rule: string;
}

/** `g`, `g2`, `g3`, `g4`: member and group. */
export type Groups = Readonly<Record<'g' | 'g2' | 'g3' | 'g4', readonly (readonly [member: string, group: string])[]>>;

export interface PolicySource {
  /** Text of the casbin model. */
  model: string;
  rules: readonly Rule[];
  groups: Groups;
  examples: readonly Example[];
}

const DENY_WINS = /^e = some\(where \(p\.eft == allow\)\) && !some\(where \(p\.eft == deny\)\)$/m;
const here = new URL('./', import.meta.url);

/** Reads and checks the policy of a folder. @throws Error that names each fault: a policy with a fault is no policy. */
export function loadPolicy(vocabulary: Vocabulary, folder: URL = here): PolicySource {
  const model = readFileSync(new URL('access-model.conf', folder), 'utf8');
  const table = readFileSync(new URL('access-policy.csv', folder), 'utf8');
  if (!DENY_WINS.test(model))
    throw new Error('policy: the effect of the model must be that an allow is needed and any deny wins');
  return { model, ...parsePolicy(table, vocabulary), examples: loadExamples(folder) };
}

/** The rules and groups of a table. @throws Error that names each fault. */
export function parsePolicy(table: string, vocabulary: Vocabulary): Pick<PolicySource, 'rules' | 'groups'> {
  const faults: string[] = [];
  const rules: Rule[] = [];
  const groups = { g: [], g2: [], g3: [], g4: [] } as Record<keyof Groups, [string, string][]>;
  for (const [i, line] of table.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const [kind = '', ...cells] = line.split(',').map((cell) => cell.trim());
    const fault = (message: string): number => faults.push(`line ${i + 1}: ${message}`);
    if (cells.some((cell) => !/^[A-Za-z0-9-]+$/.test(cell))) fault('a cell is empty or has characters that are not allowed');
    else if (kind === 'p') addRule(cells, rules, fault);
    else if (kind in groups && cells.length === 2) groups[kind as keyof Groups].push(cells as [string, string]);
    else fault(`'${kind}' with ${cells.length} cells is neither a rule nor a group`);
  }
  faults.push(...faultsOfGroups(groups, vocabulary));
  if (faults.length === 0) faults.push(...faultsOfRules(rules, groups, vocabulary));
  if (faults.length === 0) faults.push(...missingDenies(rules, groups, vocabulary));
  if (faults.length > 0) throw new Error(`policy: ${faults.join('; ')}`);
  return { rules, groups };
}

// casbin takes a rule whose effect is missing or mis-cased for an allow: nothing but these two words passes.
const EFFECTS = ['allow', 'deny'];

function addRule(cells: string[], rules: Rule[], fault: (message: string) => void): void {
  const [id = '', role = '', action = '', object = '', purpose = '', basis = '', eft = ''] = cells;
  if (cells.length !== 7) fault(`a rule has 7 cells, this one ${cells.length}`);
  else if (!EFFECTS.includes(eft)) fault(`effect '${eft}' is neither allow nor deny`);
  else if (rules.some((rule) => rule.id === id)) fault(`the id '${id}' is taken`);
  else rules.push({ id, role, action, object, purpose, basis, eft: eft as Rule['eft'] });
}

const DIMENSIONS = [
  { column: 'role', group: 'g', words: 'roles' },
  { column: 'purpose', group: 'g2', words: 'purposes' },
  { column: 'action', group: 'g3', words: 'actions' },
  { column: 'object', group: 'g4', words: 'objects' },
] as const;

/** A group's name is no word of the vocabulary (nobody becomes a group by his role), and each member is a word or a group. */
function faultsOfGroups(groups: Groups, vocabulary: Vocabulary): string[] {
  return DIMENSIONS.flatMap(({ group, words }) => {
    const known = new Set([...vocabulary[words], ...groups[group].map(([, name]) => name)]);
    return groups[group].flatMap(([member, name]) => [
      ...(known.has(member) ? [] : [`${group}: '${member}' is unknown`]),
      ...(vocabulary[words].includes(name) ? [`${group}: '${name}' can't be a group`] : []),
      ...(isCircular(groups[group], name) ? [`${group}: '${name}' contains itself`] : []),
    ]);
  });
}

function isCircular(pairs: Groups['g'], start: string): boolean {
  const seen = new Set<string>();
  const reach = (name: string): void => {
    for (const [member, group] of pairs) {
      if (member !== name || seen.has(group)) continue;
      seen.add(group);
      reach(group);
    }
  };
  reach(start);
  return seen.has(start);
}

function faultsOfRules(rules: readonly Rule[], groups: Groups, vocabulary: Vocabulary): string[] {
  if (!rules.some((rule) => rule.eft === 'allow')) return ['the table has no rule that allows'];
  return rules.flatMap((rule) => [
    ...DIMENSIONS.filter(({ column, group, words }) => expand(rule[column], groups[group], vocabulary[words]).length === 0).map(
      ({ column }) => `rule '${rule.id}': ${column} '${rule[column]}' is unknown`,
    ),
    ...(vocabulary.bases.includes(rule.basis) ? [] : [`rule '${rule.id}': basis '${rule.basis}' is unknown`]),
  ]);
}

/** The words that a word or group stands for. */
export function expand(name: string, pairs: Groups['g'], words: readonly string[]): string[] {
  if (words.includes(name)) return [name];
  return [...new Set(pairs.filter(([, group]) => group === name).flatMap(([member]) => expand(member, pairs, words)))];
}

function missingDenies(rules: readonly Rule[], groups: Groups, vocabulary: Vocabulary): string[] {
  const covers = (rule: Rule, action: string): boolean =>
    DIMENSIONS.every(({ column, group, words }) => {
      const needed = column === 'action' ? [action] : vocabulary[words];
      const given = expand(rule[column], groups[group], vocabulary[words]);
      return needed.every((word) => given.includes(word));
    });
  const { bases, actions } = vocabulary.mandatoryDenies;
  return bases.flatMap((basis) =>
    actions
      .filter((action) => !rules.some((rule) => rule.eft === 'deny' && rule.basis === basis && covers(rule, action)))
      .map((action) => `the mandatory deny '${basis}' on '${action}' is missing`),
  );
}

const exampleSchema = z.strictObject({
  description: z.string().min(1),
  subject: z.strictObject({ role: z.string(), purpose: z.string() }),
  facts: z.array(z.string()),
  action: z.string(),
  object: z.string(),
  rule: z.string(),
});

function loadExamples(folder: URL): Example[] {
  const examples = (['permit', 'deny'] as const).flatMap((kind) => {
    const files = readdirSync(new URL(`examples/${kind}/`, folder)).filter((file) => file.endsWith('.json'));
    return files.sort().map((file) => ({
      name: `${kind}/${file}`,
      permit: kind === 'permit',
      ...exampleSchema.parse(JSON.parse(readFileSync(new URL(`examples/${kind}/${file}`, folder), 'utf8'))),
    }));
  });
  if (!examples.some((e) => e.permit) || !examples.some((e) => !e.permit)) throw new Error('policy: there are no examples');
  return examples;
}
