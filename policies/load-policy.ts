/** The access policy: rules as data, decided by casbin. Facts are the hub's; this folder never imports it. */
import { readFileSync } from 'node:fs';
import { type Enforcer, newEnforcer, newModelFromString } from 'casbin';
import type { DefaultRoleManager } from 'casbin';

/** What the rules may speak of. The hub hands in its own vocabulary, so that a rule can't name what nothing checks. */
export interface Vocabulary {
  roles: readonly string[];
  purposes: readonly string[];
  actions: readonly string[];
  bases: readonly string[];
  /** Bases that must stand in deny rules: without them the policy is refused. */
  mandatoryDenies: readonly string[];
}

export interface Rule {
  id: string;
  role: string;
  action: string;
  purpose: string;
  basis: string;
  eft: 'allow' | 'deny';
}

/** The rules that concern one role, purpose and action, and casbin's word on them. */
export interface Judge {
  rules: readonly Rule[];
  /** @param holds says whether a basis holds for the record. Anything but an explicit allow is a denial; a thrown error too. */
  decide(holds: (basis: string) => boolean): { allowed: boolean; rule: string };
}

/** An immutable policy: to change it, another one is loaded and the reference swapped. */
export interface Policy {
  rules: readonly Rule[];
  judge(role: string, purpose: string, action: string): Judge;
}

const read = (name: string): string => readFileSync(new URL(`./${name}`, import.meta.url), 'utf8');

/** Loads the policy of this folder. @throws Error that says what is wrong: a broken policy never decides. */
export async function loadPolicy(vocabulary: Vocabulary, table = read('access-policy.csv'), model = read('access-model.conf')): Promise<Policy> {
  const lines = parseTable(table);
  const rules = lines.filter((line) => line[0] === 'p').map(toRule);
  const groups = lines.filter((line) => line[0] !== 'p');
  assertRules(rules, groups, vocabulary);
  const enforcer = await newEnforcer(newModelFromString(model));
  for (const [type = '', ...values] of groups) await enforcer.addNamedGroupingPolicy(type, ...values);
  const judges = await makeJudges(enforcer, model, rules, vocabulary);
  return { rules, judge: (role, purpose, action) => judges.get(`${role} ${purpose} ${action}`) ?? NOBODY };
}

const NOBODY: Judge = { rules: [], decide: () => ({ allowed: false, rule: 'default-deny' }) };

function parseTable(table: string): string[][] {
  const lines = table.split('\n').map((line) => line.trim()).filter((line) => line && !line.startsWith('#'));
  return lines.map((line) => line.split(',').map((cell) => cell.trim()));
}

function toRule(line: readonly string[]): Rule {
  const [, id = '', role = '', action = '', purpose = '', basis = '', eft = ''] = line;
  if (line.length !== 7) throw new Error(`policy: rule '${id}' must have six fields`);
  if (eft !== 'allow' && eft !== 'deny') throw new Error(`policy: rule '${id}': effect '${eft}' is neither allow nor deny`);
  return { id, role, action, purpose, basis, eft };
}

/** A rule that names something unknown would never hold, or hold by accident: neither is let in. */
function assertRules(rules: readonly Rule[], groups: readonly string[][], vocabulary: Vocabulary): void {
  if (rules.length === 0) throw new Error('policy: there is no rule');
  const known = (type: string, leaves: readonly string[]): Set<string> => new Set([...leaves, ...groups.filter((g) => g[0] === type).map((g) => g[2] ?? '')]);
  const sets = { role: known('g', vocabulary.roles), purpose: known('g2', vocabulary.purposes), action: known('g3', vocabulary.actions), basis: new Set(vocabulary.bases) };
  const seen = new Set<string>();
  for (const rule of rules) {
    if (!rule.id || seen.has(rule.id)) throw new Error(`policy: the rule id '${rule.id}' is missing or there twice`);
    seen.add(rule.id);
    for (const field of ['role', 'purpose', 'action', 'basis'] as const) {
      if (!sets[field].has(rule[field])) throw new Error(`policy: rule '${rule.id}': unknown ${field} '${rule[field]}'`);
    }
  }
  for (const [type, member = '', group] of groups) {
    const names = type === 'g' ? sets.role : type === 'g2' ? sets.purpose : type === 'g3' ? sets.action : undefined;
    if (!names?.has(member) || !group) throw new Error(`policy: unknown member '${member}' of '${group}'`);
  }
  for (const basis of vocabulary.mandatoryDenies) {
    if (!rules.some((rule) => rule.basis === basis && rule.eft === 'deny')) throw new Error(`policy: the mandatory deny '${basis}' is missing`);
  }
}

/** One enforcer for each role, purpose and action that any rule concerns: casbin then has only the basis left to match, and stays fast. */
async function makeJudges(enforcer: Enforcer, model: string, rules: readonly Rule[], vocabulary: Vocabulary): Promise<Map<string, Judge>> {
  const judges = new Map<string, Judge>();
  const inGroup = (type: string, name: string, group: string): boolean =>
    name === group || (enforcer.getNamedRoleManager(type) as unknown as DefaultRoleManager).syncedHasLink(name, group);
  const narrowed = model.replace(/\nm = .*/, '\nm = basis(r.record, p.basis)');
  for (const role of vocabulary.roles) {
    for (const purpose of vocabulary.purposes) {
      for (const action of vocabulary.actions) {
        const concerned = rules.filter((r) => inGroup('g', role, r.role) && inGroup('g2', purpose, r.purpose) && inGroup('g3', action, r.action));
        if (concerned.some((r) => r.eft === 'allow')) judges.set(`${role} ${purpose} ${action}`, await makeJudge(narrowed, concerned, [role, purpose, action]));
      }
    }
  }
  return judges;
}

async function makeJudge(model: string, rules: readonly Rule[], [role, purpose, action]: [string, string, string]): Promise<Judge> {
  const enforcer = await newEnforcer(newModelFromString(model));
  enforcer.addFunction('basis', (record: (basis: string) => boolean, basis: string) => record(basis));
  for (const r of rules) await enforcer.addNamedPolicy('p', r.id, r.role, r.action, r.purpose, r.basis, r.eft);
  return {
    rules,
    decide(holds) {
      try {
        const answer = enforcer.enforceExSync(role, purpose, action, (basis: string) => holds(basis) === true) as [boolean, string[]];
        const rule = answer[1]?.[0];
        if (answer[0] === true && rule) return { allowed: true, rule };
        return { allowed: false, rule: rule ?? 'default-deny' };
      } catch {
        return { allowed: false, rule: 'error' };
      }
    },
  };
}
