import fc from 'fast-check';

/**
 * Consents of a small region: FHIR Consents, except that times are numbers. A period's are milliseconds from now, a dataPeriod's
 * milliseconds from the boundary of 30 days ago that records stand around.
 */
export interface ConsentOf {
  person: number;
  hospital: number;
  /** She gave it by her own login; else the hospital did. */
  herself: boolean;
  status: string;
  scope: string;
  policyRule: string | null;
  policy: string[];
  provision: ProvisionOf | null;
}

export interface ProvisionOf {
  type?: string;
  period?: Period;
  actor?: { role: string; reference: string }[];
  purpose?: { system: string; code: string }[];
  class?: { system: string; code: string }[];
  securityLabel?: { system: string; code: string }[];
  data?: { meaning: string; reference: string }[];
  dataPeriod?: Period;
  action?: string[];
  code?: string[];
  modifierExtension?: { url: string }[];
  provision?: ProvisionOf[];
}

/** Both inclusive, to the millisecond. */
export interface Period {
  start?: number;
  end?: number;
}

export const ENCOUNTER = 'https://his.example/fhir/Encounter/1';
export const GROUP = 'Group/emergency';
export const STOPS_BREAK_GLASS = 'https://region.example/policies/no-break-glass';
export const CONFIDENTIALITY = 'http://terminology.hl7.org/CodeSystem/v3-Confidentiality';
export const ACT_CODE = 'http://terminology.hl7.org/CodeSystem/v3-ActCode';
const ACT_REASON = 'http://terminology.hl7.org/CodeSystem/v3-ActReason';
const RESOURCE_TYPES = 'http://hl7.org/fhir/resource-types';

const DAY = 86_400_000;
const period = fc.oneof(
  fc.record<Period>({ start: fc.constantFrom(-DAY, 0, 0, 1), end: fc.constantFrom(DAY, 0, -1, -1) }, { requiredKeys: [] }),
  fc.constant<Period>({ start: -DAY }),
);
const dataPeriod = fc.record<Period>(
  { start: fc.constantFrom(-1, 0, 1, DAY), end: fc.constantFrom(-1, 0, 1, DAY - 1, DAY) },
  { requiredKeys: [] },
);
const some = <T>(values: readonly T[]): fc.Arbitrary<T[]> => fc.subarray([...values], { minLength: 1, maxLength: 2 });
const actor = fc.oneof(
  {
    weight: 4,
    arbitrary: some(['Organization/h0', 'Organization/h1', 'Practitioner/doctor-2', 'Practitioner/doctor-3', GROUP]).map(
      (targets) => targets.map((reference) => ({ role: 'IRCP', reference })),
    ),
  },
  {
    weight: 1,
    arbitrary: some(['Organization/h0', 'Organization/h2', 'Practitioner/doctor-1']).map((t) =>
      t.map((reference) => ({ role: 'CST', reference })),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom<NonNullable<ProvisionOf['actor']>[]>(
      [{ role: 'IRCP', reference: 'RelatedPerson/mother' }],
      [
        { role: 'IRCP', reference: 'Organization/h1' },
        { role: 'CST', reference: 'Organization/h0' },
      ],
      [{ role: 'AGNT', reference: 'Organization/h1' }],
    ),
  },
);
const purpose = some(['TREAT', 'TREAT', 'HRESCH', 'BTG', 'ETREAT', 'HPAYMT', 'unheard-of']).map((codes) =>
  codes.map((code) => ({ system: ACT_REASON, code })),
);
const kinds = some(['ImagingStudy', 'ImagingStudy', 'DiagnosticReport', 'Patient', 'Resource']).map((codes) =>
  codes.map((code) => ({ system: RESOURCE_TYPES, code })),
);
export const LABELS = [
  ...['N', 'R', 'V', 'L', 'X'].map((code) => ({ system: CONFIDENTIALITY, code })),
  ...['PSY', 'HIV'].map((code) => ({ system: ACT_CODE, code })),
  { system: 'urn:region', code: 'VIP' },
];
const data = some([
  { meaning: 'instance', reference: 'ImagingStudy/r0' },
  { meaning: 'dependents', reference: 'ImagingStudy/r0' },
  { meaning: 'related', reference: 'ImagingStudy/r2' },
  { meaning: 'related', reference: ENCOUNTER },
  { meaning: 'authoredby', reference: 'Practitioner/doctor-1' },
  { meaning: 'authoredby', reference: 'Organization/h2' },
  { meaning: 'authoredby', reference: 'PractitionerRole/x' },
  { meaning: 'instance', reference: 'https://elsewhere.example/fhir/ImagingStudy/1' },
]);
/** Without the elements that are not there. */
const stated = (provision: object): ProvisionOf =>
  Object.fromEntries(Object.entries(provision).filter(([, value]) => value !== undefined));

/** One of nine, or as many as are said, is the other. */
const often = <T, U>(usual: fc.Arbitrary<T>, other: fc.Arbitrary<U>, weight = 9): fc.Arbitrary<T | U> =>
  fc.oneof({ weight, arbitrary: usual }, { weight: 1, arbitrary: other });

/** Criteria that are seldom more than one or two of a provision: many together are never met. */
const CRITERIA = [
  'actor',
  'actor',
  'purpose',
  'period',
  'period',
  'class',
  'securityLabel',
  'securityLabel',
  'data',
  'data',
  'dataPeriod',
  'dataPeriod',
  'action',
];

const provisions = (depth: number): fc.Arbitrary<ProvisionOf> =>
  fc
    .record({
      type: often(fc.constantFrom('permit', 'deny'), fc.constant(undefined)),
      actor,
      purpose,
      period,
      class: kinds,
      securityLabel: some(LABELS),
      data,
      dataPeriod,
      action: fc.constantFrom(['access'], ['access', 'use', 'disclose']),
      code: often(fc.constant(undefined), fc.constant(['MR of the head']), 29),
      modifierExtension: often(fc.constant(undefined), fc.constant([{ url: 'urn:not' }]), 39),
      provision:
        depth > 0
          ? often(fc.array(provisions(depth - 1), { minLength: 1, maxLength: 2 }), fc.constant(undefined), 1)
          : fc.constant(undefined),
      used: fc.subarray(CRITERIA, { maxLength: 2 }),
    })
    .map(({ used, ...provision }) =>
      stated(Object.fromEntries(Object.entries(provision).filter(([name]) => !CRITERIA.includes(name) || used.includes(name)))),
    );

export const consents = (person: fc.Arbitrary<number>, hospital: fc.Arbitrary<number>): fc.Arbitrary<ConsentOf> =>
  fc
    .record({
      person,
      hospital,
      status: often(fc.constant('active'), fc.constantFrom('inactive', 'entered-in-error'), 15),
      scope: often(fc.constant('patient-privacy'), fc.constantFrom('research', 'treatment'), 15),
      policyRule: often<string | null, string>(fc.constant(null), fc.constantFrom('OPTIN', 'OPTOUT'), 2),
      policy: often(fc.constant<string[]>([]), fc.constant<string[]>([STOPS_BREAK_GLASS]), 5),
      provision: often<ProvisionOf, null>(provisions(2), fc.constant(null), 15),
    })
    // as good as a draw of its own, and leaves the others as they were
    .map((consent) => ({ ...consent, herself: JSON.stringify(consent.provision).length % 2 === 0 }));

/** The FHIR Consent, with its times as texts. `now` is a whole millisecond. */
export function resourceOf(
  consent: ConsentOf,
  patientId: string,
  now: Date,
): { resourceType: string; [element: string]: unknown } {
  const coded = (system: string, code: string) => ({ coding: [{ system, code }] });
  return {
    resourceType: 'Consent',
    status: consent.status,
    scope: coded('http://terminology.hl7.org/CodeSystem/consentscope', consent.scope),
    patient: { reference: `Patient/${patientId}` },
    ...(consent.policyRule ? { policyRule: coded(ACT_CODE, consent.policyRule) } : {}),
    policy: consent.policy.map((uri) => ({ uri })),
    ...(consent.provision ? { provision: provisionOf(consent.provision, now.getTime()) } : {}),
  };
}

export const BOUNDARY = 30 * DAY;

function provisionOf(provision: ProvisionOf, now: number): object {
  const dated = (p: Period | undefined, from: number) =>
    p && Object.fromEntries(Object.entries(p).map(([end, ms]) => [end, new Date(from + ms).toISOString()]));
  return stated({
    ...provision,
    period: dated(provision.period, now),
    dataPeriod: dated(provision.dataPeriod, now - BOUNDARY),
    actor: provision.actor?.map(({ role, reference }) => ({
      role: { coding: [{ code: role }] },
      reference: { reference },
    })),
    data: provision.data?.map(({ meaning, reference }) => ({ meaning, reference: { reference } })),
    action: provision.action?.map((code) => ({
      coding: [{ system: 'http://terminology.hl7.org/CodeSystem/consentaction', code }],
    })),
    code: provision.code?.map((text) => ({ text })),
    provision: provision.provision?.map((p) => provisionOf(p, now)),
  });
}
