import fc from 'fast-check';
import type { Caller, Purpose, Role } from '../../../hub/access/caller.js';
import { type ConsentOf, consents, ENCOUNTER, GROUP, LABELS, STOPS_BREAK_GLASS } from './consent-world.js';

/** A small region. Hospitals are numbers; every date stands on one side of a boundary or on it. */
export interface World {
  suspended: boolean[];
  consortia: { active: boolean; charter: Limits }[];
  members: { consortium: number; hospital: number; terms: Limits; valid: Validity; signed: boolean }[];
  agreements: {
    from: number;
    to: number;
    limits: Limits;
    valid: Validity;
    signatures: Signatures;
    bySeries: boolean;
    scoreOnly: boolean;
  }[];
  /** At which hospitals a person has a Patient, whether these are linked, and when she is of age: microseconds from now; null: birth date unknown. */
  persons: { at: boolean[]; linked: boolean; majority: number | null }[];
  /** Whom the hospitals have on record as guardians; the login of the asker who is a guardian is bound to some of them. */
  guardians: { person: number; hospital: number; kind: 'parent' | 'guardian'; valid: Validity; bound: boolean }[];
  records: RecordOf[];
  grants: { record: number; custodian: number; to: number; toPractitioner: number | null; valid: Validity; ended: boolean }[];
  consents: ConsentOf[];
  /** Exceptional accesses, by the index that a token names: a doctor's session, an officer's case. */
  sessions: Session[];
}

export interface Session {
  kind: 'break-glass' | 'oversight';
  /** The person of this hospital (or commission), and whether he has moved to another since. */
  by: number;
  moved: boolean;
  person: number;
  /** Hospital of the Patient that was named; she may be unknown there. */
  hospital: number;
  /** Hospitals whose Patients were linked with it at the opening. */
  linkedThen: number[];
  confirmed: boolean;
  ended: boolean;
  valid: Validity;
}

export interface RecordOf {
  type: 'ImagingStudy' | 'DiagnosticReport' | 'Task' | 'Patient';
  person: number;
  /** Hospital of the Patient that it is about. */
  hospital: number;
  custodian: number;
  /** Codes, '' for a series that does not say. */
  modality: string[];
  bodySite: string[];
  /** Of a study; null: it does not say. */
  series: { modality: string | null; bodySite: string | null }[];
  /** Milliseconds after the boundary of 30 days ago; null: undated. */
  sinceBoundary: number | null;
  /** Length in milliseconds; null: open. */
  lasts: number | null;
  labels: { system: string; code: string }[];
  /** `Type/id` and URLs that it refers to. */
  refers: string[];
  /** `?`: it is left open who it was. */
  authors: string[];
  parties: number[];
}

/** Who signed an agreement, and what may be wrong with it. */
export interface Signatures {
  custodian: boolean;
  recipient: boolean;
  flaw: 'none' | 'one-person' | 'stranger' | 'other-terms' | 'taken-back' | 'closed';
}

export interface Limits {
  modality: string[] | null;
  bodySite: string[] | null;
  purpose: Purpose[] | null;
  days: 30 | null;
}

/** Microseconds from now; null: open. */
export interface Validity {
  from: number | null;
  until: number | null;
}

export const HOSPITALS = 4;
export const CONSENT_REQUIRED: readonly Purpose[] = ['HRESCH'];
/** The region's settings, as the hub is given them. */
export const SETTINGS = {
  consentRequiredFor: [...CONSENT_REQUIRED],
  breakGlassStoppedBy: [STOPS_BREAK_GLASS],
  breakGlassGroups: [GROUP],
};

/** Whether the region's day so many microseconds from now is one on which nobody comes of age: 18 years before, there was no 29th of February. */
export const isLeapDay = (microseconds: number): boolean =>
  new Date(Date.now() + 8 * 3_600_000 + microseconds / 1000).toISOString().slice(5, 10) === '02-29';

const hospital = fc.integer({ min: 0, max: HOSPITALS - 1 });
const person = fc.integer({ min: 0, max: 2 });
const seldom = fc.integer({ min: 0, max: 7 }).map((n) => n === 0);
const often = seldom.map((b) => !b);
const edge = (outer: number): fc.Arbitrary<number | null> => fc.constantFrom(null, outer, outer, 0, -1, 1);
const validity = fc.record<Validity>({ from: edge(-86_400_000_000), until: edge(86_400_000_000) });
const limit = <T>(...values: T[]): fc.Arbitrary<T[] | null> =>
  fc.oneof({ weight: 3, arbitrary: fc.constant(null) }, { weight: 2, arbitrary: fc.subarray(values) });
const limits = fc.record<Limits>({
  modality: limit('CT', 'MR'),
  bodySite: limit('CHEST', 'HEAD'),
  purpose: limit<Purpose>('TREAT', 'HRESCH'),
  days: fc.constantFrom(null, null, 30),
});

const signatures = fc.record<Signatures>({
  custodian: often,
  recipient: often,
  flaw: fc.oneof(
    { weight: 4, arbitrary: fc.constant('none' as const) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        'one-person' as const,
        'stranger' as const,
        'other-terms' as const,
        'taken-back' as const,
        'closed' as const,
      ),
    },
  ),
});

const record: fc.Arbitrary<RecordOf> = fc
  .record({
    type: fc.constantFrom(
      'ImagingStudy' as const,
      'ImagingStudy' as const,
      'DiagnosticReport' as const,
      'Task' as const,
      'Patient' as const,
    ),
    person,
    hospital,
    author: hospital,
    modality: fc.subarray(['CT', 'MR']),
    bodySite: fc.subarray(['CHEST', 'HEAD']),
    series: fc.array(
      fc.record({ modality: fc.constantFrom('CT', 'CT', 'MR', null), bodySite: fc.constantFrom('CHEST', 'CHEST', 'HEAD', null) }),
      { maxLength: 3 },
    ),
    sinceBoundary: fc.constantFrom(null, -1, 0, 1, 86_400_000),
    lasts: fc.constantFrom(1, 1, 86_400_000, null),
    labels: fc.oneof(
      { weight: 5, arbitrary: fc.constant<RecordOf['labels']>([]) },
      {
        weight: 2,
        arbitrary: fc.oneof(
          fc.subarray(LABELS, { maxLength: 2 }),
          fc.constant(LABELS.filter(({ code }) => code === 'PSY' || code === 'HIV')),
        ),
      },
    ),
    refers: fc.subarray([ENCOUNTER, 'ImagingStudy/r0', 'ImagingStudy/r0', 'ImagingStudy/r1'], { maxLength: 2 }),
    authors: fc.constantFrom<string[][]>(
      [],
      ['Practitioner/doctor-1'],
      ['Practitioner/doctor-2', 'Organization/h2'],
      ['Organization/h2', '?'],
      ['Device/d'],
    ),
    parties: fc.subarray([0, 1, 2, 3], { maxLength: 2 }),
  })
  .map(({ author, ...r }) => ({
    ...r,
    custodian: r.type === 'DiagnosticReport' || r.type === 'Task' ? author : r.hospital,
    ...(r.type === 'Patient' ? { modality: [], bodySite: [], sinceBoundary: null } : {}),
    ...(r.type === 'ImagingStudy' ? saidBy(r.series) : { series: [] }),
    ...(r.type === 'Task' || r.type === 'DiagnosticReport' ? {} : { parties: [] }),
  }));

/** What a study's index columns say of its series. */
const saidBy = (series: RecordOf['series']): Pick<RecordOf, 'modality' | 'bodySite'> => ({
  modality: [...new Set(series.map((s) => s.modality ?? ''))],
  bodySite: [...new Set(series.map((s) => s.bodySite ?? ''))],
});

const session = (kind: Session['kind'], by: fc.Arbitrary<number>): fc.Arbitrary<Session> =>
  fc.record({
    kind: fc.constant(kind),
    by,
    moved: seldom,
    person,
    hospital,
    linkedThen: fc.subarray([0, 1, 2, 3]),
    confirmed: kind === 'oversight' ? often : fc.constant(true),
    ended: seldom,
    valid: validity,
  });

/** Regions that are alike but for how much there is of everything. */
const regions = (most: { agreements: number; records: [least: number, most: number]; grants: number }): fc.Arbitrary<World> =>
  fc
    .record({
      suspended: fc.array(seldom, { minLength: HOSPITALS, maxLength: HOSPITALS }),
      consortia: fc.array(fc.record({ active: often, charter: limits }), { minLength: 2, maxLength: 2 }),
      members: fc.array(
        fc.record({ consortium: fc.integer({ min: 0, max: 1 }), hospital, terms: limits, valid: validity, signed: often }),
        {
          minLength: 3,
          maxLength: 7,
        },
      ),
      agreements: fc.array(
        fc.record({
          from: hospital,
          to: hospital,
          limits,
          valid: validity,
          signatures,
          bySeries: fc.boolean(),
          scoreOnly: seldom,
        }),
        { maxLength: most.agreements },
      ),
      persons: fc.array(
        fc.record({
          at: fc.array(fc.boolean(), { minLength: HOSPITALS, maxLength: HOSPITALS }),
          linked: often,
          majority: fc.constantFrom(...[null, -1, 0, 1, 86_400_000_000].map((at) => (at !== null && isLeapDay(at) ? null : at))),
        }),
        {
          minLength: 3,
          maxLength: 3,
        },
      ),
      guardians: fc.array(
        fc.record({
          person,
          hospital,
          kind: fc.constantFrom('parent' as const, 'guardian' as const),
          valid: validity,
          bound: often,
        }),
        { maxLength: 3 },
      ),
      records: fc.array(record, { minLength: most.records[0], maxLength: most.records[1] }),
      grants: fc.array(
        fc.record({
          record: fc.integer({ min: 0, max: most.records[0] - 1 }),
          wrongCustodian: seldom,
          to: hospital,
          toPractitioner: fc.constantFrom(null, null, 0, 1, 2, 3),
          valid: validity,
          ended: seldom,
        }),
        { maxLength: most.grants },
      ),
      consents: fc.array(consents(person, hospital), { maxLength: 4 }),
      sessions: fc.tuple(session('break-glass', fc.constantFrom(0, 0, 0, 1)), session('oversight', fc.constantFrom(3, 3, 3, 2))),
    })
    .map((w) => settled({ ...w, records: distinct(w.records) }));

export const worlds = regions({ agreements: 5, records: [8, 14], grants: 6 });

/** Many records for each caller: a statement about them costs hardly more than one about a few. */
export const crowdedWorlds = regions({ agreements: 8, records: [170, 180], grants: 40 });

/** One person, whose Patients are linked and whose records are many: worlds in which consents alone make the difference. */
export const consentWorlds: fc.Arbitrary<World> = fc
  .record({
    records: fc.array(record, { minLength: 24, maxLength: 24 }),
    consents: fc.array(consents(fc.constant(0), hospital), { minLength: 1, maxLength: 2 }),
  })
  .map((w) =>
    settled({
      suspended: Array.from({ length: HOSPITALS }, () => false),
      consortia: [],
      members: [],
      agreements: [],
      grants: [],
      persons: [{ at: Array.from({ length: HOSPITALS }, () => true), linked: true, majority: null }],
      records: distinct(referring(w.records.map((r) => ({ ...r, person: 0 })))),
      consents: w.consents,
      sessions: [],
      guardians: [],
    }),
  );

/** The third refers to the first, so that a consent about what it refers to makes a difference. */
const referring = (records: readonly RecordOf[]): RecordOf[] =>
  records.map((r, i) => ({
    ...r,
    ...(i === 0 || i === 2 ? { type: 'ImagingStudy' as const, parties: [] } : {}),
    ...(i === 2 ? { refers: ['ImagingStudy/r0'] } : {}),
  }));

type Draft = Omit<World, 'grants'> & { grants: (Omit<World['grants'][number], 'custodian'> & { wrongCustodian: boolean })[] };

/** A Patient that is drawn again becomes a study: one record each. */
function distinct(records: readonly RecordOf[]): RecordOf[] {
  const isSame = (a: RecordOf, b: RecordOf): boolean =>
    b.type === 'Patient' && a.person === b.person && a.hospital === b.hospital;
  return records.map((r, i) =>
    r.type === 'Patient' && records.slice(0, i).some((earlier) => isSame(r, earlier))
      ? { ...r, type: 'ImagingStudy', series: [] }
      : r,
  );
}

/** Makes a draft consistent: whoever a record or consent is about has a Patient there, and no hospital agrees with itself. */
function settled(draft: Draft): World {
  const persons = draft.persons.map((p, i) => ({
    ...p,
    at: p.at.map(
      (there, h) =>
        there ||
        [...draft.records, ...draft.consents, ...draft.guardians].some((about) => about.person === i && about.hospital === h),
    ),
  }));
  const grants = draft.grants.map(({ wrongCustodian, ...g }) => {
    const { custodian } = draft.records[g.record]!;
    return { ...g, custodian: wrongCustodian ? (custodian + 1) % HOSPITALS : custodian };
  });
  const memberOnce = new Set<string>();
  const members = draft.members.filter(({ consortium, hospital: h }) => {
    const key = `${consortium} ${h}`;
    return !memberOnce.has(key) && memberOnce.add(key);
  });
  return { ...draft, persons, grants, members, agreements: draft.agreements.filter((a) => a.from !== a.to) };
}

/** Who asks, as tests think of callers: a hospital, or a person's Patient at one. */
export interface Asker {
  role: Role;
  purpose: Purpose;
  hospital: number | null;
  patient?: { person: number; hospital: number };
  /** Her login is bound to RelatedPersons. */
  guardian?: true;
  /** Index of the session that the token names. */
  session?: number;
}

export function callerOf({ role, purpose, hospital: h, patient, guardian, session: named }: Asker, world: World): Caller {
  return {
    id:
      role === 'commission-officer'
        ? `Account/officer-${h}`
        : role === 'physician'
          ? `Practitioner/doctor-${h}`
          : 'Account/asker',
    kind: 'person',
    name: 'asker',
    organizationId: h === null ? '' : `h${h}`,
    role,
    purposeOfUse: purpose,
    ...(patient ? { patientId: `p${patient.person}-${patient.hospital}` } : {}),
    ...(guardian ? { relatedPersons: world.guardians.flatMap((g, i) => (g.bound ? [`g${i}`] : [])) } : {}),
    ...(role === 'physician' ? { practitionerId: `doctor-${h}` } : {}),
    ...(named === undefined ? {} : { exceptionalAccess: `s${named}` }),
    clientId: 'tests',
    scope: '',
    authenticatedAt: 0,
  };
}

/** Everyone whose answer differs: each hospital's physician for care, some others, and a patient. */
export const askers: readonly Asker[] = [
  ...[0, 1, 2, 3].map((h): Asker => ({ role: 'physician', purpose: 'TREAT', hospital: h })),
  { role: 'physician', purpose: 'HRESCH', hospital: 1 },
  { role: 'physician', purpose: 'BTG', hospital: 0 },
  { role: 'physician', purpose: 'BTG', hospital: 0, session: 0 },
  { role: 'physician', purpose: 'BTG', hospital: 1, session: 0 },
  { role: 'commission-officer', purpose: 'PUBHLTH', hospital: 3, session: 1 },
  { role: 'hospital-system', purpose: 'ETREAT', hospital: 2 },
  { role: 'hospital-system', purpose: 'HOPERAT', hospital: 0 },
  { role: 'hospital-administrator', purpose: 'HOPERAT', hospital: 1 },
  { role: 'identity-steward', purpose: 'HOPERAT', hospital: 0 },
  { role: 'auditor', purpose: 'HCOMPL', hospital: 0 },
  { role: 'patient', purpose: 'PATRQT', hospital: null, patient: { person: 0, hospital: 0 } },
  { role: 'patient', purpose: 'PATRQT', hospital: null, guardian: true },
  { role: 'patient', purpose: 'PATRQT', hospital: null, guardian: true, patient: { person: 2, hospital: 1 } },
];

/** Those whom consents tell apart: recipients by name, and purposes. */
export const consentAskers: readonly Asker[] = [
  { role: 'physician', purpose: 'TREAT', hospital: 2 },
  { role: 'physician', purpose: 'HRESCH', hospital: 1 },
  { role: 'physician', purpose: 'BTG', hospital: 0 },
  { role: 'hospital-system', purpose: 'ETREAT', hospital: 3 },
];
