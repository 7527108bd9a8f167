import type { Config } from '../../config.js';
import type { Caller } from '../caller.js';
import type { CallerFacts } from './caller-facts.sql.js';
import { type ConsentCaller, confidential, consentSays } from './consent-terms.js';
import { RESTRICTED, VERY_RESTRICTED } from './labels.js';
import { coveredInPart, type PartTerm } from './part-terms.js';
import {
  aboutOpened,
  aboutOwnPatientOf,
  aboutPatient,
  aboutWard,
  all,
  always,
  any,
  coveredBy,
  granted,
  heldBy,
  heldByOneOf,
  kindIn,
  never,
  not,
  partyTo,
  registeredWith,
  type Term,
} from './terms.js';
import { type Condition, DIRECTORY } from './vocabulary.js';

type Terms = Readonly<Record<Condition, Term>>;

/** Purposes of care: at the hospital that holds the record they never wait for a consent. */
const CARE: readonly string[] = ['TREAT', 'ETREAT', 'BTG'];

/** The region's settings that conditions depend on. */
export type PolicySettings = Pick<Config, 'consentRequiredFor'> &
  Partial<Pick<Config, 'breakGlassStoppedBy' | 'breakGlassGroups' | 'breakGlassOpensRestricted'>>;

/**
 * What each condition of the policy means for this caller. A condition without facts is constantly false.
 * @param among the kinds of record that it is about, where that is known: the terms are shorter then.
 */
export function conditionsFor(caller: Caller, facts: CallerFacts, config: PolicySettings, among?: readonly string[]): Terms {
  const organization = caller.organizationId;
  const own = heldBy(organization);
  const patient = caller.role === 'patient' ? any(aboutPatient(facts.patients), aboutWard(facts.wards)) : never;
  // consent and suspension are about what crosses between organizations, and about a patient's data: a Task says who asked whom
  const crosses = all(not(own), not(patient), not(kindIn(DIRECTORY, among)));
  const disclosed = all(crosses, not(kindIn(['Task'], among)), not(aboutOwnPatientOf(organization)));
  const asker = consentCaller(caller, config);
  const denied = consentSays('deny', asker);
  const permitted = consentSays('permit', asker);
  const opensRestricted = caller.purposeOfUse === 'BTG' && config.breakGlassOpensRestricted === true;
  const closedFrom = opensRestricted ? VERY_RESTRICTED : RESTRICTED;
  const needsPermit = config.consentRequiredFor.includes(caller.purposeOfUse);
  const bound = CARE.includes(caller.purposeOfUse) ? disclosed : all(not(patient), not(kindIn(DIRECTORY, among)));
  return {
    own,
    consortium: consortium(caller, facts),
    agreement: agreement(
      caller,
      facts.agreements.filter((a) => !a.scoreOnly),
    ),
    'agreement-part': partTerm(caller, facts) ?? never,
    'agreement-score': agreement(
      caller,
      facts.agreements.filter((a) => a.scoreOnly),
    ),
    grant: granted(facts.grants, among),
    patient,
    party: partyTo(organization),
    directory: kindIn(DIRECTORY, among),
    'break-glass': opened('break-glass', facts),
    oversight: opened('oversight', facts),
    // no record by itself is held for the audit
    audit: never,
    registered: registeredWith(organization),
    suspended: all(crosses, suspended(caller, facts)),
    consent: all(disclosed, denied),
    label: all(disclosed, confidential(closedFrom), not(consentSays('permit', asker, true))),
    'opt-in': needsPermit ? all(bound, not(all(permitted, not(denied)))) : never,
  };
}

/** A general denial does not stop the breaking of the glass, unless the region says so of its policy. */
export function consentCaller(caller: Caller, config: PolicySettings): ConsentCaller {
  const isBreakGlass = caller.purposeOfUse === 'BTG';
  return {
    actors: [
      ...(caller.organizationId ? [`Organization/${caller.organizationId}`] : []),
      ...(caller.practitionerId ? [`Practitioner/${caller.practitionerId}`] : []),
      ...(isBreakGlass ? (config.breakGlassGroups ?? []) : []),
    ],
    purpose: caller.purposeOfUse,
    ...(isBreakGlass ? { breakGlass: config.breakGlassStoppedBy ?? [] } : {}),
  };
}

/** The custodian shares within a common consortium, and the patient is registered here: nobody trawls strangers. */
function consortium(caller: Caller, facts: CallerFacts): Term {
  const groups = groupBy(facts.consortia, ({ charter, terms }) => JSON.stringify([charter, terms]));
  const shared = groups.map((members) => {
    const { charter, terms } = members[0]!;
    const custodians = heldByOneOf(
      members.map((m) => m.custodian),
      (id) => members.filter((m) => m.custodian === id).map((m) => ({ kind: 'consortium', id: m.consortium })),
    );
    return all(custodians, coveredBy(charter, caller.purposeOfUse), coveredBy(terms, caller.purposeOfUse));
  });
  return all(any(...shared), registeredWith(caller.organizationId));
}

/** One of these sharing agreements from the custodian to the caller's organization covers the record. */
function agreement(caller: Caller, signed: CallerFacts['agreements']): Term {
  const groups = groupBy(signed, ({ scope }) => JSON.stringify(scope));
  return any(
    ...groups.map((agreements) => {
      const custodians = heldByOneOf(
        agreements.map((a) => a.custodian),
        (id) => agreements.filter((a) => a.custodian === id).map((a) => ({ kind: 'agreement', id: a.id })),
      );
      return all(custodians, coveredBy(agreements[0]!.scope, caller.purposeOfUse));
    }),
  );
}

/** The token names an exceptional access of this kind, and the record is about the patient that it opens. */
function opened(kind: 'break-glass' | 'oversight', { opened: access }: CallerFacts): Term {
  if (access?.kind !== kind) return never;
  const number = access.caseNumber === null ? [] : [{ kind: 'case', id: access.caseNumber }];
  return aboutOpened(access.patients, [{ kind, id: access.id }, ...number]);
}

/** Some series of a study is covered by an agreement that looks at each by itself. */
export const partTerm = ({ purposeOfUse }: Pick<Caller, 'purposeOfUse'>, facts: CallerFacts): PartTerm | undefined =>
  coveredInPart(
    facts.agreements.filter((a) => a.bySeries && !a.scoreOnly),
    purposeOfUse,
  );

/** The caller's organization is suspended (or unknown), or the custodian's is. */
function suspended(caller: Caller, facts: CallerFacts): Term {
  if (caller.organizationId !== '' && !facts.active) return always;
  return heldByOneOf(facts.suspended, (id) => [{ kind: 'organization', id }]);
}

function groupBy<T>(items: readonly T[], key: (item: T) => string): T[][] {
  const groups = new Map<string, T[]>();
  for (const item of items) groups.set(key(item), [...(groups.get(key(item)) ?? []), item]);
  return [...groups.values()];
}
