import { loadPolicy, type Policy, type Rule } from '../../../policies/load-policy.js';
import { and, or, type Sql, sql } from '../../store/sql.js';
import { ACTIONS, type Action, type Caller, PURPOSES, ROLES } from '../caller.js';
import type { Access, Basis, Decision, DenialReason, RequestAccess, RowWithEvidence } from '../decision.js';
import { bases, evidenceSql, type RowEvidence, type Situation, term } from './bases.js';
import { loadCallerFacts } from './caller-facts.js';

export const vocabulary = {
  roles: ROLES,
  purposes: PURPOSES,
  actions: ACTIONS,
  bases: Object.keys(bases),
  mandatoryDenies: ['consent-denied', 'label', 'suspended'],
} as const;

/** The policy, loaded and ready to decide. @throws Error when the policy is broken: the hub then does not start. */
export async function createAccess(options: { consentRequiredFor: readonly string[] }): Promise<Access> {
  const policy = await loadPolicy(vocabulary);
  return {
    forCaller: async (tx, caller) => requestAccess(policy, { caller, facts: await loadCallerFacts(tx, caller), optIn: options.consentRequiredFor }),
  };
}

/** The policy for one caller, whose facts were read. */
export function requestAccess(policy: Policy, s: Situation): RequestAccess {
  const judge = (action: Action) => policy.judge(s.caller.role, s.caller.purposeOfUse, action);
  return {
    evidence: evidenceSql(s),
    filter: (action) => filterOf(judge(action).rules, s),
    decide: (action, row) => decide(policy, s, action, row),
    decideGeneral: (action) => {
      const { allowed, rule } = judge(action).decide((basis) => basis === 'general');
      return { allowed, mayKnow: allowed, rule, evidence: [] };
    },
  };
}

/** Allow rules joined by or, less the deny rules; no rule, no row. */
function filterOf(rules: readonly Rule[], s: Situation): Sql {
  const unique = (eft: Rule['eft']): Sql[] => [...new Set(rules.filter((r) => r.eft === eft).map((r) => r.basis))].map((basis) => term(basis).sql(s));
  const denies = unique('deny').filter((d) => d.strings.join() !== 'false');
  const allow = or(unique('allow').filter((a) => a.strings.join() !== 'false'));
  return denies.length === 0 ? allow : and([allow, sql`not coalesce(${or(denies)}, true)`]);
}

function decide(policy: Policy, s: Situation, action: Action, row: RowWithEvidence): Decision {
  try {
    const known = evidenceOf(row);
    const holds = (basis: string): boolean => term(basis).holds(s, row, known);
    const judge = policy.judge(s.caller.role, s.caller.purposeOfUse, action);
    const { allowed, rule } = judge.decide(holds);
    if (allowed) return allowedBy(policy, s, row, known, rule);
    const mayKnow = policy.judge(s.caller.role, s.caller.purposeOfUse, 'know').decide(holds).allowed;
    return denial(policy, s, action, row, known, rule, mayKnow);
  } catch {
    return { allowed: false, mayKnow: false, rule: 'error', evidence: [] };
  }
}

function allowedBy(policy: Policy, s: Situation, row: RowWithEvidence, known: RowEvidence, ruleId: string): Decision {
  const basis = policy.rules.find((r) => r.id === ruleId)?.basis as Basis | undefined;
  if (!basis) return { allowed: false, mayKnow: false, rule: 'error', evidence: [] };
  return { allowed: true, mayKnow: true, rule: ruleId, basis, evidence: term(basis).evidence?.(s, row, known) ?? [] };
}

const REASONS: Readonly<Record<string, DenialReason>> = { 'consent-denied': 'consent', label: 'label', suspended: 'suspended' };
const CHANGES: Readonly<Record<DenialReason, string[]>> = {
  consent: ['ask the patient'],
  purpose: ['ask for the purpose that your role has for this record'],
  label: ['ask the custodian'],
  suspended: ['ask the health commission'],
  quarantine: ['ask the custodian'],
  'no-basis': ['send a release request to the custodian', 'open a consultation', 'conclude a sharing agreement'],
};

function denial(policy: Policy, s: Situation, action: Action, row: RowWithEvidence, known: RowEvidence, ruleId: string, mayKnow: boolean): Decision {
  const denyBasis = policy.rules.find((r) => r.id === ruleId && r.eft === 'deny')?.basis;
  const reason = denyBasis ? (REASONS[denyBasis] ?? 'no-basis') : otherPurposeAllows(policy, s, action, row, known) ? 'purpose' : 'no-basis';
  const evidence = denyBasis ? (term(denyBasis).evidence?.(s, row, known) ?? []) : [];
  return { allowed: false, mayKnow, rule: ruleId, evidence, reason, wouldChange: CHANGES[reason] };
}

/** Whether the role would be let in for another purpose: then the purpose is what stands in the way. */
function otherPurposeAllows(policy: Policy, s: Situation, action: Action, row: RowWithEvidence, known: RowEvidence): boolean {
  return PURPOSES.some((purposeOfUse) => {
    const other = { ...s, caller: { ...s.caller, purposeOfUse } as Caller };
    return policy.judge(s.caller.role, purposeOfUse, action).decide((basis) => term(basis).holds(other, row, known)).allowed;
  });
}

/** The evidence column as read; anything else than its shape denies. */
function evidenceOf(row: RowWithEvidence): RowEvidence {
  const given = (typeof row.evidence === 'string' ? JSON.parse(row.evidence) : row.evidence) as { registered?: unknown; consents?: unknown } | null;
  if (!given || typeof given.registered !== 'boolean') throw new Error('a row without evidence is not decided on');
  return { registered: given.registered, consents: (given.consents ?? []) as RowEvidence['consents'] };
}

