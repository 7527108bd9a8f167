import { systems } from '../../../fhir-profiles/codes.js';
import { dateRange } from '../../store/fhir-date.js';
import { type Concept, codeIn } from '../../store/fhir-elements.js';
import type { FhirResource } from '../../store/search-keys.js';
import { PURPOSES } from '../caller.js';

/** One rule of a consent as the policy reads it. Null actor: every organization; null purpose: every purpose. */
export interface ConsentRule {
  provision: string;
  decision: 'permit' | 'deny';
  actor: string[] | null;
  purpose: string[] | null;
  from: Date | undefined;
  until: Date | undefined;
}

interface Provision {
  type?: 'permit' | 'deny';
  period?: { start?: string; end?: string };
  actor?: { reference?: { reference?: string } }[];
  purpose?: { system?: string; code?: string }[];
  [element: string]: unknown;
}

/** Elements of the root provision that an IHE PCF basic consent is read by; any other one makes it more than basic. */
const BASIC = new Set(['type', 'period', 'actor', 'purpose', 'id']);

/**
 * Compiles an IHE PCF basic consent. Only an active privacy consent says anything. What can't be read in full (nested provisions, classes,
 * labels, data periods: intermediate and advanced consents) never permits, and denies what it might have denied: everything, in its period.
 */
export function consentRules(consent: FhirResource, utcOffset: string): ConsentRule[] {
  if (consent.status !== 'active' || codeIn(consent.scope as Concept, systems.consentScope) !== 'patient-privacy') return [];
  const root = (consent.provision ?? {}) as Provision;
  const range = dateRange(root.period, utcOffset);
  const validity = { from: range?.from, until: range?.until };
  const unread = Object.keys(root).filter((name) => !BASIC.has(name));
  const actor = actorsOf(root);
  const purpose = purposesOf(root);
  if (unread.length > 0 || actor === 'unreadable' || purpose === 'unreadable' || (root.period && !range)) {
    return [{ provision: 'unreadable', decision: 'deny', actor: null, purpose: null, ...(root.period && !range ? { from: undefined, until: undefined } : validity) }];
  }
  const decision = root.type ?? defaultDecision(consent);
  return [{ provision: 'provision', decision, actor, purpose, ...validity }];
}

/** R4 leaves the root's type out where `policyRule` says it: opt-out and "implied" policies permit, everything else denies. */
function defaultDecision(consent: FhirResource): 'permit' | 'deny' {
  const code = codeIn(consent.policyRule as Concept, systems.actCode);
  return code === 'OPTIN' || code === 'OPTINR' ? 'permit' : 'deny';
}

function actorsOf(provision: Provision): string[] | null | 'unreadable' {
  if (!provision.actor) return null;
  const references = provision.actor.map((a) => a.reference?.reference ?? '');
  return references.every((r) => /^Organization\/[^/]+$/.test(r)) ? references.map((r) => r.slice('Organization/'.length)) : 'unreadable';
}

function purposesOf(provision: Provision): string[] | null | 'unreadable' {
  if (!provision.purpose) return null;
  const codes = provision.purpose.map((p) => p.code ?? '');
  const known = provision.purpose.every((p, i) => p.system === systems.actReason && PURPOSES.includes(codes[i] as (typeof PURPOSES)[number]));
  return known ? codes : 'unreadable';
}

