import { CANONICAL_BASE, consentCodes, systems } from '../../../fhir-profiles/codes.js';
import { type DateRange, dateRange } from '../../store/fhir-date.js';
import { type Concept, codeIn } from '../../store/fhir-elements.js';
import { type FhirResource, localReference } from '../../store/search-keys.js';

/** What one provision of a consent says, as far as it can be said of every record of the patient. */
export interface CompiledRule {
  /** Path in the Consent: `provision`, `provision.provision[0]`, `policyRule`. */
  provision: string;
  decision: 'permit' | 'deny';
  /** `Organization/x`, `Practitioner/x`; null: whoever. */
  actor: string[] | null;
  /** Purposes of use; null: whatever for. */
  purpose: string[] | null;
  from: Date | undefined;
  until: Date | undefined;
}

interface Provision {
  type?: string;
  period?: { start?: string; end?: string };
  actor?: { role?: Concept; reference?: { reference?: string } }[];
  purpose?: { system?: string; code?: string }[];
  provision?: Provision[];
  [element: string]: unknown;
}

/** Limits of a provision. `exact: false`: one of them can't be read, and what is given is wider than what was meant. */
interface Limits {
  actor: string[] | null;
  purpose: string[] | null;
  period: DateRange | undefined;
  exact: boolean;
}

const UNLIMITED: Limits = { actor: null, purpose: null, period: undefined, exact: true };

/**
 * Compiles a Consent as IHE PCF basic profiles it: a root provision with type, period, actor and purpose. Only an active one says anything.
 * What goes beyond (nested provisions, classes, labels, data, actions; codes, actors or dates that can't be read) never permits, and
 * denies what it might have denied: each provision that denies does so without the limit that can't be read.
 * @param offset of dates without one, e.g. `+08:00`.
 */
export function compileConsent(consent: FhirResource, offset: string): CompiledRule[] {
  if (consent.status !== 'active' || isAboutSomethingElse(consent)) return [];
  const root = consent.provision as Provision | undefined;
  const stated = root?.type ?? defaultOf(consent);
  const denials = root
    ? denialsOf(root, 'provision', UNLIMITED, stated, offset)
    : stated === 'permit'
      ? []
      : [ruleOf('policyRule', 'deny', UNLIMITED)];
  if (stated !== 'permit') return denials;
  const limits = root ? limitsOf(root, UNLIMITED, offset) : UNLIMITED;
  if (!isBasic(consent, root) || !limits.exact) return denials;
  if (isOptOut(consent) && (limits.actor || limits.purpose || limits.period))
    return [ruleOf('policyRule', 'deny', UNLIMITED), ...denials];
  return [...denials, ruleOf('provision', 'permit', limits)].filter((rule) => !isEmpty(rule));
}

/** Consents to be treated, and advance directives, say nothing about disclosure. Any other scope might. */
function isAboutSomethingElse(consent: FhirResource): boolean {
  return ['treatment', 'adr'].includes(codeIn(consent.scope as Concept, systems.consentScope) ?? '');
}

const ROOT_ELEMENTS = new Set(['id', 'extension', 'type', 'period', 'actor', 'purpose']);

function isBasic(consent: FhirResource, root: Provision | undefined): boolean {
  const unverified = ((consent.verification ?? []) as { verified?: boolean }[]).some((v) => v.verified === false);
  const readable = Object.keys(root ?? {}).every((element) => ROOT_ELEMENTS.has(element));
  const privacy = codeIn(consent.scope as Concept, systems.consentScope) === consentCodes.scopePrivacy;
  return privacy && readable && !unverified && !consent.modifierExtension && !consent.implicitRules;
}

/** R4 allows no type on the root: then the policy says whether the patient opted in. Anything else counts as a denial. */
function defaultOf(consent: FhirResource): 'permit' | 'deny' {
  const uris = ((consent.policy ?? []) as { uri?: string }[]).map((policy) => policy.uri);
  const optedIn = codeIn(consent.policyRule as Concept, systems.actCode) === 'OPTIN' || uris.includes(`${POLICIES}/opt-in`);
  return optedIn && !isOptOut(consent) ? 'permit' : 'deny';
}

const POLICIES = CANONICAL_BASE.replace(/\/fhir$/, '/policies');

function isOptOut(consent: FhirResource): boolean {
  const uris = ((consent.policy ?? []) as { uri?: string }[]).map((policy) => policy.uri);
  const code = codeIn(consent.policyRule as Concept, systems.actCode);
  return ['OPTOUT', 'OPTOUTE', 'EMRGONLY'].includes(code ?? '') || uris.includes(`${POLICIES}/opt-out`);
}

/** The denials of a provision and of those nested in it; what one does not limit it inherits. */
function denialsOf(provision: Provision, path: string, parent: Limits, type: string | undefined, offset: string): CompiledRule[] {
  const limits = limitsOf(provision, parent, offset);
  const nested = (provision.provision ?? []).flatMap((p, i) => denialsOf(p, `${path}.provision[${i}]`, limits, p.type, offset));
  const own = type === 'permit' ? [] : [ruleOf(path, 'deny', limits)];
  return [...own, ...nested].filter((rule) => !isEmpty(rule));
}

function limitsOf(provision: Provision, parent: Limits, offset: string): Limits {
  const actor = provision.actor ? actorsOf(provision.actor) : parent.actor;
  const purpose = provision.purpose ? purposesOf(provision.purpose) : { codes: parent.purpose, exact: true };
  const period = provision.period ? periodOf(provision.period, offset) : parent.period;
  const exact = parent.exact && actor !== undefined && purpose.exact && (!provision.period || period !== undefined);
  return { actor: actor ?? null, purpose: purpose.codes, period, exact };
}

/** Recipients of information: HL7 v3 ParticipationType IRCP, PRCP. Undefined when one of them can't be read. */
function actorsOf(actors: NonNullable<Provision['actor']>): string[] | undefined {
  const references = actors.map(({ role, reference }) => {
    const isRecipient = role?.coding?.some((c) => c.code === 'IRCP' || c.code === 'PRCP');
    const target = localReference(reference?.reference ?? '');
    return isRecipient && /^(Organization|Practitioner)\/[A-Za-z0-9\-.]{1,64}$/.test(target) ? target : undefined;
  });
  return references.every((r) => r !== undefined) ? references : undefined;
}

/** Purposes of the hub that a code stands for, itself and what HL7 puts under it. Payment and marketing stand for none that can be asked for. */
const PURPOSES_OF_CODE: Readonly<Record<string, readonly string[]>> = {
  TREAT: ['TREAT', 'ETREAT'],
  ETREAT: ['ETREAT'],
  BTG: ['BTG'],
  HRESCH: ['HRESCH'],
  HOPERAT: ['HOPERAT', 'HCOMPL'],
  PUBHLTH: ['PUBHLTH'],
  PATRQT: ['PATRQT'],
  HCOMPL: ['HCOMPL'],
  HPAYMT: [],
  HMARKT: [],
};

/** `exact: false`: a code can't be read; as a limit of a denial it then limits nothing. */
function purposesOf(codings: NonNullable<Provision['purpose']>): { codes: string[] | null; exact: boolean } {
  const known = codings.map((c) => (c.system === systems.actReason ? PURPOSES_OF_CODE[c.code ?? ''] : undefined));
  if (known.some((codes) => codes === undefined)) return { codes: null, exact: false };
  return { codes: [...new Set(known.flatMap((codes) => codes ?? []))], exact: true };
}

/** A FHIR period with its precision: an end of `2024-12-31` includes that day. Undefined when it can't be read. */
function periodOf(period: { start?: string; end?: string }, offset: string): DateRange | undefined {
  const range = dateRange(period, offset);
  const lost = (period.start && !range?.from) || (period.end && !range?.until);
  const backwards = range?.from && range.until && range.until <= range.from;
  return lost || backwards ? undefined : range;
}

const ruleOf = (provision: string, decision: 'permit' | 'deny', { actor, purpose, period }: Limits): CompiledRule => ({
  provision,
  decision,
  actor,
  purpose,
  from: period?.from,
  until: period?.until,
});

const isEmpty = (rule: CompiledRule): boolean => rule.actor?.length === 0 || rule.purpose?.length === 0;
