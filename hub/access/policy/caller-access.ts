import type { Action, Caller } from '../caller.js';
import { PURPOSES, type Purpose } from '../caller.js';
import type {
  Basis,
  Decision,
  DenialReason,
  Evidence,
  Grounds,
  RequestAccess,
  RowWithEvidence,
  PartialAccess,
} from '../decision.js';
import { or, type Sql } from '../../store/sql.js';
import type { CallerFacts } from './caller-facts.sql.js';
import { partTerm } from './conditions.js';
import type { Facts, PolicySet, Question, Verdict } from './policy-set.js';
import { rowEvidence, seenOf } from './row-evidence.sql.js';
import { all, always, any, kindIn, not, type Seen, type Term, waysUnless } from './terms.js';
import { type Condition, CONDITIONS, OBJECTS, REASON_OF_DENY } from './vocabulary.js';

type Terms = Readonly<Record<Condition, Term>>;

/** Actions that open content: who may do one of these may know of the record. */
const OPENING: Action = 'read';

/** Sees the series of a study that an agreement opens. */
const PART: Action = 'read-part';
const STUDY = 'ImagingStudy';

/** What an action that needs no record is about, when its caller does not say. */
const OBJECT_OF_ACTION: Readonly<Partial<Record<Action, string>>> = {
  'audit-read': 'AuditEvent',
  report: 'MeasureReport',
  link: 'Patient',
  administer: 'Endpoint',
  'be-told': 'Communication',
};

/** What would change a denial, for a person. */
const WOULD_CHANGE: Readonly<Record<DenialReason, readonly string[]>> = {
  'no-basis': [
    'send a release request to the custodian',
    'a consultation, a sharing agreement or a consortium that covers the record',
  ],
  consent: ['ask the patient for consent'],
  purpose: ['another purpose of use'],
  label: ['a clearance for the label of the record'],
  suspended: ['the end of the suspension'],
  quarantine: ['the custodian resolves the conflict'],
};

/** For a physician who treats, where a session for this one patient would open the record. */
const BREAK_THE_GLASS = 'break the glass';

const FAILED: Decision = { allowed: false, mayKnow: false, rule: 'failure', evidence: [], reason: 'no-basis' };

/** The conditions on one row, each looked at once and only when casbin asks. */
class FactsOfRow implements Facts {
  private readonly found = new Map<Condition, Evidence[] | undefined>();

  constructor(
    private readonly terms: Terms,
    private readonly seen: Seen,
  ) {}

  holds(condition: Condition): boolean {
    return this.look(condition) !== undefined;
  }

  evidenceOf(condition: Condition | undefined): Evidence[] {
    return (condition && this.look(condition)) ?? [];
  }

  /** Those that were asked about and hold. */
  get held(): Condition[] {
    return [...this.found].flatMap(([condition, evidence]) => (evidence ? [condition] : []));
  }

  private look(condition: Condition): Evidence[] | undefined {
    if (!this.found.has(condition)) this.found.set(condition, this.terms[condition].test(this.seen));
    return this.found.get(condition);
  }
}

/** The policy for one caller at one instant (see `RequestAccess`). */
export class CallerAccess implements RequestAccess {
  readonly evidence: Sql;
  readonly part: PartialAccess | undefined;
  private readonly terms: Terms;
  private readonly filters = new Map<string, Sql>();
  /** The conditions as they would be under a session for the patient of whatever record is looked at. */
  private underBreakGlass: Terms | undefined;

  constructor(
    private readonly policy: PolicySet,
    private readonly epoch: number,
    private readonly caller: Caller,
    private readonly facts: CallerFacts,
    /** The conditions, for records of these kinds. */
    private readonly termsFor: (kinds: readonly string[], purpose?: Purpose) => Terms,
    private readonly onFailure: (error: unknown) => void,
  ) {
    this.evidence = rowEvidence(caller.organizationId);
    this.terms = termsFor(OBJECTS);
    this.part = this.partial();
  }

  filter(action: Action, type?: string): Sql {
    const key = `${action} ${type ?? ''}`;
    const known = this.filters.get(key);
    if (known) return known;
    const term = type === undefined ? this.termOfAll(action) : this.termOf(action, [type]);
    const filter = action === 'know' ? or([term.sql, this.filter(OPENING, type), ...this.knownByPart(type)]) : term.sql;
    this.filters.set(key, filter);
    return filter;
  }

  /** Of what is shown in part it is known that it exists. */
  private knownByPart(type?: string): Sql[] {
    return this.part && (type ?? STUDY) === STUDY
      ? [all(kindIn([STUDY], type ? [type] : OBJECTS), this.termOf(PART, [STUDY])).sql]
      : [];
  }

  private partial(): PartialAccess | undefined {
    const term = partTerm(this.caller, this.facts);
    if (!term || this.policy.outcomes(this.question(PART, STUDY)).allow.length === 0) return undefined;
    return {
      filter: all(this.termOf(PART, [STUDY]), not(this.termOf(OPENING, [STUDY]))).sql,
      someSeries: term.someSeries,
      of: (row) => {
        const decision = this.decide(PART, row);
        return decision.allowed ? { decision, isShown: term.within(seenOf(row)) } : undefined;
      },
    };
  }

  ways(action: Action, type: string): Sql[] {
    const ways = this.waysOf(action, [type]);
    return ways.map((way, i) => all(way, ...ways.slice(0, i).map(not)).sql);
  }

  decide(action: Action, row: RowWithEvidence): Decision {
    try {
      return this.decided(action, row.type, seenOf(row));
    } catch (error) {
      this.onFailure(error);
      return FAILED;
    }
  }

  decideGeneral(action: Action, resourceType?: string): Decision {
    try {
      const question = this.question(action, resourceType ?? OBJECT_OF_ACTION[action] ?? '');
      const verdict = this.policy.decide(question, { holds: (condition) => this.holdsInGeneral(condition) });
      const held = CONDITIONS.filter((condition) => this.holdsInGeneral(condition));
      return {
        mayKnow: verdict.allowed,
        evidence: [],
        grounds: this.grounds(action, question, held),
        ...this.outcome(verdict, question),
      };
    } catch (error) {
      this.onFailure(error);
      return FAILED;
    }
  }

  /** For what is not there yet: the caller's organization or the patient would be the ones that answer for it. */
  private holdsInGeneral(condition: Condition): boolean {
    if (condition === 'own') return this.caller.organizationId !== '';
    if (condition === 'patient')
      return this.caller.role === 'patient' && this.facts.patients.length + this.facts.wards.length > 0;
    if (condition === 'suspended') return this.caller.organizationId !== '' && !this.facts.active;
    return condition === 'directory' || condition === 'oversight' || condition === 'audit';
  }

  private question(action: Action, object: string): Question {
    return { role: this.caller.role, purpose: this.caller.purposeOfUse, action, object };
  }

  private decided(action: Action, object: string, seen: Seen): Decision {
    const facts = new FactsOfRow(this.terms, seen);
    const question = this.question(action, object);
    const verdict = this.policy.decide(question, facts);
    const reading = action === OPENING ? verdict : this.policy.decide(this.question(OPENING, object), facts);
    const inPart = this.part ? this.policy.decide(this.question(PART, object), facts) : reading;
    const opening = reading.allowed ? reading : inPart;
    const effective = action === 'know' && !verdict.allowed ? opening : verdict;
    const mayKnow = effective.allowed || opening.allowed || this.policy.decide(this.question('know', object), facts).allowed;
    const outcome = this.outcome(effective, question);
    if (!outcome.allowed && mayKnow && this.wouldBreakGlassHelp(question, seen)) outcome.wouldChange?.push(BREAK_THE_GLASS);
    return {
      mayKnow,
      evidence: facts.evidenceOf(effective.rule?.basis as Condition | undefined),
      grounds: this.grounds(action, question, facts.held),
      ...outcome,
    };
  }

  /** Whoever may begin a session could do this under one for the patient of the record, all else being as it is. */
  private wouldBreakGlassHelp(question: Question, seen: Seen): boolean {
    const begin = { ...question, action: 'break-glass', object: 'Patient' };
    const under = { ...question, purpose: 'BTG' };
    if (this.policy.outcomes(begin).allow.length === 0 || this.policy.outcomes(under).allow.length === 0) return false;
    this.underBreakGlass ??= { ...this.termsFor(OBJECTS, 'BTG'), 'break-glass': always };
    return this.policy.decide(under, new FactsOfRow(this.underBreakGlass, seen)).allowed;
  }

  private grounds(action: Action, { object }: Question, held: readonly Condition[]): Grounds {
    return { epoch: this.epoch, action, object, held };
  }

  private outcome({ allowed, rule }: Verdict, question: Question): Omit<Decision, 'mayKnow' | 'evidence' | 'grounds'> {
    if (allowed && rule) return { allowed: true, rule: rule.id, basis: rule.basis as Basis };
    const reason =
      (rule && REASON_OF_DENY[rule.basis as Condition]) ?? (this.wouldAnotherPurposeDo(question) ? 'purpose' : 'no-basis');
    return { allowed: false, rule: rule?.id ?? '', reason, wouldChange: [...WOULD_CHANGE[reason]] };
  }

  /** Nothing can allow this for the purpose, but something could for another. */
  private wouldAnotherPurposeDo(question: Question): boolean {
    const canAllow = (purpose: string): boolean => this.policy.outcomes({ ...question, purpose }).allow.length > 0;
    return !canAllow(question.purpose) && PURPOSES.some(canAllow);
  }

  /** The rules as one condition: for each kind of record by its own rules. */
  private termOfAll(action: Action): Term {
    const groups = new Map<string, string[]>();
    for (const object of OBJECTS) {
      const { allow, deny } = this.policy.outcomes(this.question(action, object));
      if (allow.length > 0) groups.set(`${allow} ${deny}`, [...(groups.get(`${allow} ${deny}`) ?? []), object]);
    }
    return any(...[...groups.values()].map((objects) => all(kindIn(objects), this.termOf(action, objects))));
  }

  /** For records of these kinds, whose rules are the same: something allows and nothing denies. */
  private termOf(action: Action, objects: readonly string[]): Term {
    return any(...this.waysOf(action, objects));
  }

  private waysOf(action: Action, objects: readonly string[]): Term[] {
    const { allow, deny } = this.policy.outcomes(this.question(action, objects[0] ?? ''));
    const terms = this.termsFor(objects);
    return waysUnless(
      allow.map((condition) => terms[condition]),
      deny.map((condition) => terms[condition]),
    );
  }
}
