import { CANONICAL_BASE, consentCodes, systems } from '../../../fhir-profiles/codes.js';
import { type Concept, codeIn } from '../../store/fhir-elements.js';
import type { FhirResource } from '../../store/search-keys.js';
import { CRITERIA, type Criteria, type Provision, type Reading, statedIn, UNLIMITED, UNREADABLE } from './consent-criteria.js';

/**
 * One provision of a consent with the criteria that it comes to. A Consent's provisions are a tree, kept as intervals: nested in a
 * provision are those whose `place` is after its own and not after its `last`.
 */
export interface CompiledRule extends Criteria {
  /** Path in the Consent: `provision`, `provision.provision[0]`, `policyRule`. */
  provision: string;
  decision: 'permit' | 'deny';
  place: number;
  last: number;
  /** The Consent names BTG: then it decides about breaking the glass. */
  btg: boolean;
  /** URIs of the policies that the Consent refers to. */
  policy: string[];
}

/** Bounds of a Consent that is read. */
export const MOST_PROVISIONS = 200;
export const DEEPEST_PROVISION = 10;

/**
 * Compiles a Consent (FHIR R4, as IHE PCF profiles it: basic, intermediate, advanced) to rules. Only an active one says anything. A nested
 * provision is an exception to its parent: criteria that it does not state it inherits, those that it states replace the parent's. What can't be
 * read never permits, and denies what it might have denied: a permit has the criteria that are certain, a denial those that may be meant.
 * @param offset of dates without one, e.g. `+08:00`.
 */
export function compileConsent(consent: FhirResource, offset: string): CompiledRule[] {
  if (consent.status !== 'active' || isAboutSomethingElse(consent)) return [];
  const root = consent.provision as Provision | undefined;
  const whole = { btg: namesBreakGlass(root), policy: policiesOf(consent) };
  if (consent.modifierExtension || consent.implicitRules || !isWithinBounds(consent))
    return [{ ...UNLIMITED, ...whole, provision: 'Consent', decision: 'deny', place: 0, last: 0 }];
  const nodes = nodesOf(consent, root, offset);
  return nodes
    .filter((node) => node.decision === 'deny' || isPermitting(consent))
    .flatMap(({ readings, ...node }) => {
      const criteria = node.decision === 'permit' ? permitted(readings, nodes) : meant(readings);
      return criteria && !isEmpty(criteria) ? [{ ...criteria, ...whole, ...node }] : [];
    });
}

/** Whether a Consent is small enough to be read. */
export function isWithinBounds(consent: FhirResource): boolean {
  let count = 0;
  const fits = (provision: Provision | undefined, depth: number): boolean =>
    !provision ||
    (depth <= DEEPEST_PROVISION && ++count <= MOST_PROVISIONS && (provision.provision ?? []).every((p) => fits(p, depth + 1)));
  return fits(consent.provision as Provision | undefined, 1);
}

/** A provision in its place, not yet reduced to what is certain or may be meant. */
interface Node {
  provision: string;
  decision: 'permit' | 'deny';
  place: number;
  last: number;
  readings: Readings;
}

/** By element; what is absent limits nothing. */
type Readings = Readonly<Record<string, Reading>>;

/** The provisions in document order, below the policy that they are exceptions to where that denies. */
function nodesOf(consent: FhirResource, root: Provision | undefined, offset: string): Node[] {
  const nodes: Node[] = [];
  const add = (provision: string, decision: Node['decision'], readings: Readings, nested: () => void): void => {
    const node = { provision, decision, readings, place: nodes.length, last: 0 };
    nodes.push(node);
    nested();
    node.last = nodes.length - 1;
  };
  const walk = (provision: Provision, path: string, decision: Node['decision'], parent: Readings): void => {
    const isStrange = Object.keys(provision).some((element) => !KNOWN.has(element));
    const readings = isStrange ? STRANGE : { ...parent, ...statedIn(provision, offset) };
    add(path, isStrange ? 'deny' : decision, readings, () =>
      (provision.provision ?? []).forEach((p, i) => {
        walk(p, `${path}.provision[${i}]`, p.type === 'permit' ? 'permit' : 'deny', readings);
      }),
    );
  };
  const fromRoot = (): void => {
    if (root) walk(root, 'provision', decisionOfRoot(consent, root), {});
  };
  if (isOptOut(consent)) add('policyRule', 'deny', root && !root.type ? periodOf(root, offset) : {}, fromRoot);
  else if (root) fromRoot();
  else add('policyRule', isOptIn(consent) ? 'permit' : 'deny', {}, () => undefined);
  return nodes;
}

const KNOWN = new Set(['id', 'extension', 'type', 'provision', ...CRITERIA]);
/** A modifier extension, or an element that R4 does not know, may turn everything round. */
const STRANGE: Readings = { strange: UNREADABLE };

const periodOf = ({ period }: Provision, offset: string): Readings => statedIn({ period }, offset);

/**
 * R4 wants no type on the root, IHE PCF sets one. Without it the policy decides: an opt-in permits, anything else, an unknown policy too, denies. A
 * root that says more than its period may be meant as the exception to the opt-in (HL7's own examples are): it denies.
 */
function decisionOfRoot(consent: FhirResource, root: Provision): 'permit' | 'deny' {
  if (root.type !== undefined) return root.type === 'permit' ? 'permit' : 'deny';
  const isException = CRITERIA.some((element) => element !== 'period' && root[element] !== undefined);
  return isOptIn(consent) && !isException ? 'permit' : 'deny';
}

/** Everything that may be meant. */
const meant = (readings: Readings): Criteria => Object.assign({ ...UNLIMITED }, ...Object.values(readings).map((r) => r.may));

/** What certainly is; undefined for nothing. The root's period is the term of the whole Consent: what has expired permits nothing. */
function permitted(readings: Readings, nodes: readonly Node[]): Criteria | undefined {
  const term = nodes.find((node) => node.provision === 'provision')?.readings.period;
  const stated = [...Object.values(readings), ...(term ? [term] : [])].map((r) => r.sure);
  if (stated.some((sure) => sure === undefined)) return undefined;
  const criteria: Criteria = Object.assign({ ...UNLIMITED }, ...Object.values(readings).map((r) => r.sure));
  const from = latest(criteria.from, term?.sure?.from);
  const until = earliest(criteria.until, term?.sure?.until);
  return { ...criteria, from, until };
}

const latest = (a: Date | null, b: Date | null = null): Date | null => (a && b ? (a > b ? a : b) : (a ?? b));
const earliest = (a: Date | null, b: Date | null = null): Date | null => (a && b ? (a < b ? a : b) : (a ?? b));

const isEmpty = ({ actor, holder, purpose, class: kinds, from, until }: Criteria): boolean =>
  [actor, holder, purpose, kinds].some((list) => list?.length === 0) || (from !== null && until !== null && until <= from);

/** Consents to be treated, and advance directives, say nothing about disclosure. Any other scope might. */
function isAboutSomethingElse(consent: FhirResource): boolean {
  return ['treatment', 'adr'].includes(codeIn(consent.scope as Concept, systems.consentScope) ?? '');
}

/** A Consent of another scope, or whose verification failed, permits nothing. */
function isPermitting(consent: FhirResource): boolean {
  const unverified = ((consent.verification ?? []) as { verified?: boolean }[]).some((v) => v.verified === false);
  return codeIn(consent.scope as Concept, systems.consentScope) === consentCodes.scopePrivacy && !unverified;
}

const POLICIES = CANONICAL_BASE.replace(/\/fhir$/, '/policies');

const policiesOf = (consent: FhirResource): string[] =>
  ((consent.policy ?? []) as { uri?: string }[]).flatMap((policy) => policy.uri ?? []);

const isOptIn = (consent: FhirResource): boolean =>
  !isOptOut(consent) &&
  (codeIn(consent.policyRule as Concept, systems.actCode) === 'OPTIN' || policiesOf(consent).includes(`${POLICIES}/opt-in`));

function isOptOut(consent: FhirResource): boolean {
  const code = codeIn(consent.policyRule as Concept, systems.actCode);
  return ['OPTOUT', 'OPTOUTE', 'EMRGONLY'].includes(code ?? '') || policiesOf(consent).includes(`${POLICIES}/opt-out`);
}

function namesBreakGlass(provision: Provision | undefined, depth = 1): boolean {
  if (!provision || depth > DEEPEST_PROVISION) return false;
  const named = (provision.purpose ?? []).some((c) => c.system === systems.actReason && c.code === 'BTG');
  return named || (provision.provision ?? []).some((p) => namesBreakGlass(p, depth + 1));
}
