import { systems } from '../../../fhir-profiles/codes.js';
import { type DateRange, dateRange } from '../../store/fhir-date.js';
import type { Concept, Reference } from '../../store/fhir-elements.js';
import { localReference } from '../../store/search-keys.js';
import { rankOf } from '../policy/labels.js';
import { OBJECTS } from '../policy/vocabulary.js';

/** What limits a provision, as it is compared with a caller and a record; null limits nothing, an empty list leaves nothing. */
export interface Criteria {
  /** Recipients: `Organization/x`, `Practitioner/x`, `Group/x`. */
  actor: string[] | null;
  /** Organizations (ids) that hold the record. */
  holder: string[] | null;
  purpose: string[] | null;
  /** Resource types. */
  class: string[] | null;
  /** Rank of confidentiality: a permit covers it and what is lower, a denial it and what is higher. */
  level: number | null;
  /** Labels, `system|code`. With `level`, one of the two is enough. */
  sensitivity: string[] | null;
  /** `Type/id` of records. This, one of the next two, or `author`: one is enough. Not null whenever the provision is about certain data. */
  data: string[] | null;
  /** The record refers to one of these. */
  data_refers: string[] | null;
  /** One of these refers to the record. */
  data_referred: string[] | null;
  /** `Organization/x`, `Practitioner/x`, `Device/x`; `?`: a record whose author is not known. */
  author: string[] | null;
  /** When the provision holds. */
  from: Date | null;
  until: Date | null;
  /** Dates of the records. */
  data_from: Date | null;
  data_until: Date | null;
}

export const UNLIMITED: Criteria = {
  actor: null,
  holder: null,
  purpose: null,
  class: null,
  level: null,
  sensitivity: null,
  data: null,
  data_refers: null,
  data_referred: null,
  author: null,
  from: null,
  until: null,
  data_from: null,
  data_until: null,
};

/** An element read twice. `sure` covers only what was certainly meant (undefined: nothing certainly was), `may` everything that may have been. */
export interface Reading {
  sure: Partial<Criteria> | undefined;
  may: Partial<Criteria>;
}

/** Nothing is certain of it, and it may mean anything. */
export const UNREADABLE: Reading = { sure: undefined, may: {} };

interface Coding {
  system?: string;
  code?: string;
}

export interface Provision {
  type?: string;
  period?: { start?: string; end?: string };
  actor?: { role?: Concept; reference?: Reference }[];
  action?: Concept[];
  securityLabel?: Coding[];
  purpose?: Coding[];
  class?: Coding[];
  code?: Concept[];
  dataPeriod?: { start?: string; end?: string };
  data?: { meaning?: string; reference?: Reference }[];
  provision?: Provision[];
  [element: string]: unknown;
}

/** The elements of a provision that limit it, each with how it is read. */
const READERS: { readonly [element: string]: (provision: Provision, offset: string) => Reading } = {
  actor: ({ actor }) => read(actor, actorsOf),
  action: ({ action }) => read(action, actionsOf),
  securityLabel: ({ securityLabel }) => read(securityLabel, labelsOf),
  purpose: ({ purpose }) => read(purpose, purposesOf),
  class: ({ class: kinds }) => read(kinds, classesOf),
  // what a record is about is coded freely by its source: a code that is absent here does not say that it is about something else
  code: () => UNREADABLE,
  period: ({ period }, offset) => periodOf(period, offset, (from, until) => ({ from, until })),
  dataPeriod: ({ dataPeriod }, offset) => periodOf(dataPeriod, offset, (from, until) => ({ data_from: from, data_until: until })),
  data: ({ data }) => read(data, dataOf),
};

export const CRITERIA: readonly string[] = Object.keys(READERS);

/** What a provision itself states, by element. */
export const statedIn = (provision: Provision, offset: string): Record<string, Reading> =>
  Object.fromEntries(
    Object.entries(READERS).flatMap(([element, reader]) =>
      provision[element] === undefined ? [] : [[element, reader(provision, offset)] as const],
    ),
  );

const read = <T>(values: readonly T[] | undefined, reader: (values: readonly T[]) => Reading): Reading =>
  Array.isArray(values) && values.length > 0 ? reader(values) : UNREADABLE;

/** A list of which one is enough: certain are those that can be read, and one that can't may stand for any. */
function listed<T>(values: readonly (T | undefined)[], criteria: (values: T[]) => Partial<Criteria>): Reading {
  const known = values.filter((value) => value !== undefined);
  return {
    sure: known.length > 0 ? criteria(known) : undefined,
    may: known.length === values.length ? criteria(known) : {},
  };
}

const RECIPIENT = ['IRCP', 'PRCP'];
const CUSTODIAN = ['CST'];

/** HL7 v3 ParticipationType: recipients (IRCP, PRCP), or the custodian of the records (CST). A list with other roles, or with both, says nothing certain. */
function actorsOf(actors: readonly NonNullable<Provision['actor']>[number][]): Reading {
  const plays = (roles: readonly string[]): boolean =>
    actors.every(({ role }) => role?.coding?.some((c) => roles.includes(c.code ?? '')));
  const targets = actors.map(({ reference }) => targetOf(reference));
  if (plays(CUSTODIAN)) return listed(targets.map(organizationOf), (holder) => ({ actor: null, holder }));
  if (!plays(RECIPIENT)) return UNREADABLE;
  const recipients = listed(
    targets.map((target) => (isOf(target, 'Organization', 'Practitioner', 'Group') ? target : undefined)),
    (actor) => ({ actor, holder: null }),
  );
  // who belongs to a group is not known here: the members may be anyone
  return targets.some((target) => isOf(target, 'Group')) ? { ...recipients, may: {} } : recipients;
}

/** A permit must allow all of what the hub does with a record for others; a denial of any of it is one of all. */
function actionsOf(actions: readonly Concept[]): Reading {
  const codes = actions.flatMap((action) => (action.coding ?? []).filter((c) => c.system === systems.consentAction));
  const allows = ['access', 'use', 'disclose'].every((code) => codes.some((c) => c.code === code));
  return { sure: allows ? {} : undefined, may: {} };
}

/** Confidentiality is a high-water mark; other labels count by themselves. */
function labelsOf(labels: readonly Coding[]): Reading {
  const ranks = labels.filter((l) => l.system === systems.confidentiality).map((l) => rankOf(l.code));
  const known = ranks.filter((rank) => rank !== undefined);
  const others = labels.filter((l) => l.system !== systems.confidentiality);
  const named = others.filter((l) => l.system && l.code).map((l) => `${l.system}|${l.code}`);
  const sensitivity = named.length > 0 ? named : null;
  const isCertain = known.length === ranks.length && named.length === others.length;
  const level = (pick: (...ranks: number[]) => number): number | null => (known.length > 0 ? pick(...known) : null);
  return {
    sure: known.length > 0 || sensitivity ? { level: level(Math.max), sensitivity } : undefined,
    may: isCertain ? { level: level(Math.min), sensitivity } : { level: null, sensitivity: null },
  };
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

function purposesOf(codings: readonly Coding[]): Reading {
  const known = codings.map((c) =>
    c.system === systems.actReason && Object.hasOwn(PURPOSES_OF_CODE, c.code ?? '') ? PURPOSES_OF_CODE[c.code ?? ''] : undefined,
  );
  return listed(known, (codes) => ({ purpose: [...new Set(codes.flat())] }));
}

function classesOf(codings: readonly Coding[]): Reading {
  const types = codings.map(({ system, code }) =>
    system === systems.resourceTypes && code && !['Resource', 'DomainResource'].includes(code) ? code : undefined,
  );
  return listed(types, (kinds) => ({ class: kinds }));
}

/** A FHIR period with its precision: an end of `2024-12-31` includes that day. */
function periodOf(
  period: { start?: string; end?: string } | undefined,
  offset: string,
  criteria: (from: Date | null, until: Date | null) => Partial<Criteria>,
): Reading {
  const range = readablePeriod(period, offset);
  if (!range) return { sure: undefined, may: criteria(null, null) };
  const exact = criteria(range.from ?? null, range.until ?? null);
  return { sure: exact, may: exact };
}

function readablePeriod(period: { start?: string; end?: string } | undefined, offset: string): DateRange | undefined {
  const range = dateRange(period, offset);
  const lost = (period?.start !== undefined && !range?.from) || (period?.end !== undefined && !range?.until);
  const backwards = range?.from && range.until && range.until <= range.from;
  return lost || backwards ? undefined : range;
}

type Data = NonNullable<Provision['data']>[number];

/**
 * ConsentDataMeaning, with what IHE PCF makes of `related`: data that refers to the encounter (FHIR: what the instance refers to). A permit
 * covers the first, a denial both. An author is who is named as performer, or the organization that holds the record.
 */
function dataOf(data: readonly Data[]): Reading {
  const one = (d: Data): { sure: Targets; may: Targets } | undefined => {
    const target = targetOf(d.reference);
    if (target === undefined) return undefined;
    const itself = { data: [target] };
    const dependents = { ...itself, refers: [target] };
    if (d.meaning === 'instance') return { sure: itself, may: itself };
    if (d.meaning === 'dependents') return { sure: dependents, may: dependents };
    if (d.meaning === 'related') return { sure: dependents, may: { ...dependents, referred: [target] } };
    if (d.meaning !== 'authoredby' || !isOf(target, 'Organization', 'Practitioner', 'Device')) return undefined;
    return { sure: { author: [target] }, may: { author: isOf(target, 'Organization') ? [target] : [target, '?'] } };
  };
  const read = data.map(one);
  const known = read.filter((d) => d !== undefined);
  return {
    sure: known.length > 0 ? joined(known.map((d) => d.sure)) : undefined,
    may: known.length === read.length ? joined(known.map((d) => d.may)) : {},
  };
}

interface Targets {
  data?: string[];
  refers?: string[];
  referred?: string[];
  author?: string[];
}

function joined(targets: readonly Targets[]): Partial<Criteria> {
  const all = (key: keyof Targets): string[] | null => {
    const values = [...new Set(targets.flatMap((t) => t[key] ?? []))];
    return values.length > 0 ? values : null;
  };
  return { data: all('data') ?? [], data_refers: all('refers'), data_referred: all('referred'), author: all('author') };
}

/**
 * What a reference names: `Type/id` of the hub, or the URL of something of a kind that the hub does not hold (an Encounter, a Group), which records
 * and settings name likewise. Undefined for anything else: a record of the hub may go by another address elsewhere.
 */
function targetOf(reference: Reference | undefined): string | undefined {
  const target = localReference(reference?.reference ?? '');
  if (/^[A-Z][A-Za-z]{1,63}\/[A-Za-z0-9\-.]{1,64}$/.test(target)) return target;
  const type = /^https?:\/\/.+\/([A-Z][A-Za-z]{1,63})\/[A-Za-z0-9\-.]{1,64}$/.exec(target)?.[1];
  return type && !(OBJECTS as readonly string[]).includes(type) ? target : undefined;
}

const isOf = (target: string | undefined, ...types: string[]): boolean => types.includes(target?.split('/').at(-2) ?? '');

const organizationOf = (target: string | undefined): string | undefined =>
  isOf(target, 'Organization') ? target?.slice('Organization/'.length) : undefined;
