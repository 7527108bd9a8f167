import { PolicyError, type PolicyFault } from './policy-error.js';
import { type Example, type PolicyTexts, readPolicyTexts } from './policy-texts.js';

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

/** Each process builds the set before it answers under it: what it takes is bounded. Casbin follows groups of groups ten levels deep, no further. */
const MOST = { rules: 100, groups: 300, levels: 8 };

/** Reads and checks the policy of a folder. @throws PolicyError that names each fault: a policy with a fault is no policy. */
export const loadPolicy = (vocabulary: Vocabulary, folder?: URL): PolicySource => parseTexts(readPolicyTexts(folder), vocabulary);

/** The rules of a policy's texts. @throws PolicyError that names each fault with its line */
export function parseTexts({ model, rules, examples }: PolicyTexts, vocabulary: Vocabulary): PolicySource {
  if (!DENY_WINS.test(model))
    throw new PolicyError([{ message: 'the effect of the model must be that an allow is needed and any deny wins' }]);
  return { model, ...parsePolicy(rules, vocabulary), examples };
}

/** Where rules and groups stand, for the faults that they turn out to have. */
type Lines = Map<object, number>;

/** The rules and groups of a table. @throws PolicyError that names each fault with its line */
export function parsePolicy(table: string, vocabulary: Vocabulary): Pick<PolicySource, 'rules' | 'groups'> {
  const faults: PolicyFault[] = [];
  const rules: Rule[] = [];
  const groups = { g: [], g2: [], g3: [], g4: [] } as Record<keyof Groups, [string, string][]>;
  const lines: Lines = new Map();
  for (const [i, text] of table.split(/\r?\n/).entries()) {
    if (text.trim() === '' || text.startsWith('#')) continue;
    const line = i + 1;
    const [kind = '', ...cells] = text.split(',').map((cell) => cell.trim());
    const fault = (message: string): void => void faults.push({ line, message });
    if (cells.some((cell) => !/^[A-Za-z0-9-]{1,64}$/.test(cell)))
      fault('a cell is empty, too long, or has characters that are not allowed');
    else if (kind === 'p') addRule(cells, rules, lines, line, fault);
    else if (Object.hasOwn(groups, kind) && cells.length === 2) {
      const pair = cells as [string, string];
      groups[kind as keyof Groups].push(pair);
      lines.set(pair, line);
    } else fault(`'${kind}' with ${cells.length} cells is neither a rule nor a group`);
  }
  if (rules.length > MOST.rules) throw new PolicyError([{ message: `there are more than ${MOST.rules} rules` }]);
  if (lines.size - rules.length > MOST.groups) throw new PolicyError([{ message: `there are more than ${MOST.groups} groups` }]);
  faults.push(...faultsOfGroups(groups, vocabulary, lines));
  if (faults.length === 0) faults.push(...faultsOfRules(rules, groups, vocabulary, lines));
  if (faults.length === 0) faults.push(...missingDenies(rules, groups, vocabulary));
  if (faults.length > 0) throw new PolicyError(faults);
  return { rules, groups };
}

// casbin takes a rule whose effect is missing or mis-cased for an allow: nothing but these two words passes.
const EFFECTS = ['allow', 'deny'];

function addRule(cells: string[], rules: Rule[], lines: Lines, line: number, fault: (message: string) => void): void {
  const [id = '', role = '', action = '', object = '', purpose = '', basis = '', eft = ''] = cells;
  if (cells.length !== 7) fault(`a rule has 7 cells, this one ${cells.length}`);
  else if (!EFFECTS.includes(eft)) fault(`effect '${eft}' is neither allow nor deny`);
  else if (rules.some((rule) => rule.id === id)) fault(`the id '${id}' is taken`);
  else {
    const rule = { id, role, action, object, purpose, basis, eft: eft as Rule['eft'] };
    rules.push(rule);
    lines.set(rule, line);
  }
}

const DIMENSIONS = [
  { column: 'role', group: 'g', words: 'roles' },
  { column: 'purpose', group: 'g2', words: 'purposes' },
  { column: 'action', group: 'g3', words: 'actions' },
  { column: 'object', group: 'g4', words: 'objects' },
] as const;

/** A group's name is no word of the vocabulary (nobody becomes a group by his role), and each member is a word or a group. */
function faultsOfGroups(groups: Groups, vocabulary: Vocabulary, lines: Lines): PolicyFault[] {
  return DIMENSIONS.flatMap(({ group, words }) => {
    const known = new Set([...vocabulary[words], ...groups[group].map(([, name]) => name)]);
    return groups[group].flatMap((pair) => {
      const [member, name] = pair;
      return [
        ...(known.has(member) ? [] : [`${group}: '${member}' is unknown`]),
        ...(vocabulary[words].includes(name) ? [`${group}: '${name}' can't be a group`] : []),
        ...faultOfNesting(groups[group], name).map((fault) => `${group}: '${name}' ${fault}`),
      ].map((message) => ({ line: lines.get(pair), message }));
    });
  });
}

/** Level by level upwards: a group that comes round to itself never ends. */
function faultOfNesting(pairs: Groups['g'], start: string): string[] {
  let level = new Set([start]);
  for (let depth = 0; level.size > 0; depth++) {
    if (depth > MOST.levels) return ['is nested too deeply'];
    level = new Set(pairs.filter(([member]) => level.has(member)).map(([, group]) => group));
    if (level.has(start)) return ['contains itself'];
  }
  return [];
}

function faultsOfRules(rules: readonly Rule[], groups: Groups, vocabulary: Vocabulary, lines: Lines): PolicyFault[] {
  if (!rules.some((rule) => rule.eft === 'allow')) return [{ message: 'the table has no rule that allows' }];
  return rules.flatMap((rule) =>
    [
      ...DIMENSIONS.filter(({ column, group, words }) => expand(rule[column], groups[group], vocabulary[words]).length === 0).map(
        ({ column }) => `rule '${rule.id}': ${column} '${rule[column]}' is unknown`,
      ),
      ...(vocabulary.bases.includes(rule.basis) ? [] : [`rule '${rule.id}': basis '${rule.basis}' is unknown`]),
    ].map((message) => ({ line: lines.get(rule), message })),
  );
}

/** The words that a word or group stands for. */
export function expand(name: string, pairs: Groups['g'], words: readonly string[]): string[] {
  const seen = new Set([name]);
  for (const known of seen) for (const [member, group] of pairs) if (group === known) seen.add(member);
  return [...seen].filter((word) => words.includes(word));
}

function missingDenies(rules: readonly Rule[], groups: Groups, vocabulary: Vocabulary): PolicyFault[] {
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
      .map((action) => ({ message: `the mandatory deny '${basis}' on '${action}' is missing` })),
  );
}
