import type { Enforcer } from 'casbin';
import { expand, parseTexts, type PolicySource, type Vocabulary } from '../../../policies/load-policy.js';
import type { AuditRow } from '../../audit/rows.js';
import { notFound, unprocessable } from '../../outcomes.js';
import type { Queryable } from '../../store/database.js';
import { type Epoch, epochInForce, readEpoch } from './epochs.sql.js';
import { createEnforcer, type Facts } from '../policy/policy-set.js';
import { digestOf } from './sound-policy.js';

/** What a policy says of one question. */
export interface Replayed {
  allowed: boolean;
  /** '' where no rule matches. */
  rule: string;
}

/** One question of a past decision, put to the policy again. */
export interface ReplayedQuestion {
  action: string;
  object: string;
  /** The conditions that held then. */
  held: string[];
  replayed: Replayed;
  /** By the epoch in force now, on the same facts; undetermined where its rules ask for conditions that nobody looked at then. */
  today: Replayed | { undetermined: string[] };
}

export interface Replay {
  epoch: number;
  current: number;
  recorded: Replayed;
  questions: ReplayedQuestion[];
  /** Whether casbin, under that epoch and on those facts, decides as was recorded. */
  same: boolean;
}

/**
 * Makes a past decision again: by casbin over the whole table of its epoch, in that epoch's own words, on the conditions that held.
 * @throws Refusal 404 when the epoch is not there; 422 when the entry records no decision of the policy
 */
export async function replay(tx: Queryable, row: AuditRow): Promise<Replay> {
  const { policy_epoch: number, decided_on: texts, role, purpose } = row;
  if (number === null || !texts?.length || role === null || purpose === null)
    throw unprocessable([{ severity: 'error', code: 'not-found', diagnostics: 'The event records no decision of the policy.' }]);
  const current = await epochInForce(tx);
  const [then, now] = [await rebuilt(tx, number), await rebuilt(tx, current ?? number)];
  const questions = texts.map((text) => {
    const [action = '', object = '', ...held] = text.split(' ');
    const question = { role, purpose, action, object: object === '-' ? '' : object };
    return {
      action,
      object: question.object,
      held,
      replayed: ask(then, question, held),
      today: askNow(now, question, held, basesOf(then, question)),
    };
  });
  // only an allow has a basis; the entry names the rule of the first question, and of all the same outcome
  const recorded = { allowed: row.basis !== null, rule: row.rule ?? '' };
  const same = questions[0]?.replayed.rule === recorded.rule && questions.every((q) => q.replayed.allowed === recorded.allowed);
  return { epoch: number, current: current ?? number, recorded, questions, same };
}

interface Question {
  role: string;
  purpose: string;
  action: string;
  object: string;
}

interface Rebuilt {
  source: PolicySource;
  vocabulary: Vocabulary;
  enforcer: Enforcer;
}

async function rebuilt(tx: Queryable, number: number): Promise<Rebuilt> {
  const epoch: Epoch | undefined = await readEpoch(tx, number);
  if (!epoch) throw notFound();
  if (digestOf(epoch.texts) !== epoch.digest) throw new Error(`epoch ${number} of the policy is not what was published`);
  const source = parseTexts(epoch.texts, epoch.vocabulary);
  return { source, vocabulary: epoch.vocabulary, enforcer: await createEnforcer(source, source.rules) };
}

/** Who may read a record may know of it. */
function ask(policy: Rebuilt, question: Question, held: readonly string[]): Replayed {
  const answer = enforce(policy, question, held);
  return question.action === 'know' && !answer.allowed ? enforce(policy, { ...question, action: 'read' }, held) : answer;
}

function enforce({ source, enforcer }: Rebuilt, { role, action, object, purpose }: Question, held: readonly string[]): Replayed {
  const facts: Facts = { holds: (condition) => held.includes(condition) };
  const [allowed, row] = enforcer.enforceExSync(role, action, object, purpose, facts);
  const rule = source.rules.find(({ id }) => id === (row as string[] | undefined)?.[0]);
  return { allowed: allowed === true && rule?.eft === 'allow', rule: rule?.id ?? '' };
}

/** Conditions that were not looked at then may have held or not: whatever they were, the answer must be the same, or there is none. */
function askNow(
  policy: Rebuilt,
  question: Question,
  held: readonly string[],
  looked: ReadonlySet<string>,
): Replayed | { undetermined: string[] } {
  const unknown = [...basesOf(policy, question)].filter((basis) => !looked.has(basis) && !held.includes(basis));
  if (unknown.length > MOST_UNKNOWN) return { undetermined: unknown };
  const answers = subsets(unknown).map((more) => ask(policy, question, [...held, ...more]));
  const [first] = answers;
  return first && answers.every((answer) => answer.allowed === first.allowed) ? first : { undetermined: unknown };
}

const MOST_UNKNOWN = 6;

function subsets(items: readonly string[]): string[][] {
  return Array.from({ length: 2 ** items.length }, (_, bits) => items.filter((_item, i) => (bits >> i) & 1));
}

/** The conditions of the rules that can match a question. */
function basesOf({ source, vocabulary }: Rebuilt, question: Question): ReadonlySet<string> {
  const { groups } = source;
  const rules = source.rules.filter(
    (rule) =>
      expand(rule.role, groups.g, vocabulary.roles).includes(question.role) &&
      expand(rule.purpose, groups.g2, vocabulary.purposes).includes(question.purpose) &&
      expand(rule.action, groups.g3, vocabulary.actions).includes(question.action) &&
      expand(rule.object, groups.g4, vocabulary.objects).includes(question.object),
  );
  return new Set(rules.map((rule) => rule.basis));
}
