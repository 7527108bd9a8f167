import { describe, expect, it } from '@jest/globals';
import { UNLIMITED } from '../../../hub/access/consent/consent-criteria.js';
import { compileConsent, isWithinBounds } from '../../../hub/access/consent/consent-rules.js';

const ACT_REASON = 'http://terminology.hl7.org/CodeSystem/v3-ActReason';
const ACT_CODE = 'http://terminology.hl7.org/CodeSystem/v3-ActCode';
const CONFIDENTIALITY = 'http://terminology.hl7.org/CodeSystem/v3-Confidentiality';
const purpose = (...codes: string[]) => codes.map((code) => ({ system: ACT_REASON, code }));
const actor = (reference: string, role = 'IRCP') => ({ role: { coding: [{ code: role }] }, reference: { reference } });
const data = (meaning: string, reference: string) => ({ meaning, reference: { reference } });

const consent = (provision: object | undefined, more: object = {}) => ({
  resourceType: 'Consent',
  status: 'active',
  scope: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/consentscope', code: 'patient-privacy' }] },
  patient: { reference: 'Patient/x' },
  ...(provision ? { provision } : {}),
  ...more,
});
const rules = (provision: object | undefined, more: object = {}) => compileConsent(consent(provision, more), '+08:00');
const policyRule = (code: string) => ({ policyRule: { coding: [{ system: ACT_CODE, code }] } });

describe('a consent', () => {
  it('permits or denies as its root says', () => {
    const whole = { ...UNLIMITED, provision: 'provision', place: 0, last: 0, btg: false, policy: [] };
    expect(rules({ type: 'permit' })).toEqual([{ ...whole, decision: 'permit' }]);
    expect(rules({ type: 'deny' })).toEqual([{ ...whole, decision: 'deny' }]);
  });

  it.each(['draft', 'proposed', 'rejected', 'inactive', 'entered-in-error'])('that is %s says nothing', (status) => {
    expect(rules({ type: 'deny' }, { status })).toEqual([]);
    expect(rules({ type: 'permit' }, { status })).toEqual([]);
  });

  it('covers the days that its period names, in the time of the region', () => {
    const [rule] = rules({ type: 'permit', period: { start: '2024-02-29', end: '2024-12-31' } });
    expect(rule).toMatchObject({ from: new Date('2024-02-29T00:00:00+08:00'), until: new Date('2025-01-01T00:00:00+08:00') });
    expect(rules({ type: 'permit', period: { end: '2024' } })[0]).toMatchObject({
      from: null,
      until: new Date('2025-01-01T00:00:00+08:00'),
    });
    expect(rules({ type: 'permit', period: { end: '2024-06-30T12:00:00Z' } })[0]).toMatchObject({
      until: new Date('2024-06-30T12:00:01Z'),
    });
  });

  it('names recipients and purposes; treatment includes emergency treatment', () => {
    const [rule] = rules({
      type: 'permit',
      actor: [actor('Organization/b'), actor('Practitioner/d', 'PRCP')],
      purpose: purpose('TREAT', 'HPAYMT'),
    });
    expect(rule).toMatchObject({ actor: ['Organization/b', 'Practitioner/d'], purpose: ['TREAT', 'ETREAT'] });
  });

  it('for purposes that nobody can ask for says nothing', () => {
    expect(rules({ type: 'deny', purpose: purpose('HPAYMT') })).toEqual([]);
    expect(rules({ type: 'permit', purpose: purpose('HPAYMT') })).toEqual([]);
  });

  it('without a type on the root goes by its policy', () => {
    expect(rules({ period: { start: '2024' } }, policyRule('OPTIN'))).toMatchObject([{ decision: 'permit' }]);
    expect(rules({}, policyRule('OPTOUT'))).toContainEqual(
      expect.objectContaining({ ...UNLIMITED, decision: 'deny', provision: 'policyRule' }),
    );
    expect(rules(undefined, policyRule('OPTIN'))).toMatchObject([{ decision: 'permit' }]);
    expect(rules(undefined, policyRule('OPTOUT'))).toMatchObject([{ decision: 'deny', provision: 'policyRule' }]);
    expect(rules({}, { policy: [{ uri: 'https://federation-hub.example/policies/opt-in' }] })).toMatchObject([
      { decision: 'permit' },
    ]);
    expect(rules({}, { policy: [{ uri: 'https://example.org/unknown' }] })).toMatchObject([{ decision: 'deny' }]);
    expect(rules({})).toMatchObject([{ decision: 'deny' }]);
  });

  it('whose untyped root names something else than a period denies that: it may be the exception to the opt-in', () => {
    expect(rules({ actor: [actor('Organization/b')] }, policyRule('OPTIN'))).toMatchObject([
      { decision: 'deny', actor: ['Organization/b'] },
    ]);
  });

  it('that opts out is the parent of what its root permits', () => {
    expect(rules({ type: 'permit', actor: [actor('Organization/b')] }, policyRule('OPTOUT'))).toMatchObject([
      { decision: 'deny', provision: 'policyRule', actor: null, place: 0, last: 1 },
      { decision: 'permit', provision: 'provision', actor: ['Organization/b'], place: 1, last: 1 },
    ]);
  });

  it('about treatment itself, or an advance directive, is about something else', () => {
    const scope = (code: string) => ({
      scope: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/consentscope', code }] },
    });
    expect(rules({ type: 'deny' }, scope('treatment'))).toEqual([]);
    expect(rules({ type: 'deny' }, scope('adr'))).toEqual([]);
  });
});

describe('a nested provision', () => {
  it('inherits what it does not state, and replaces what it states', () => {
    const nested = {
      type: 'permit',
      purpose: purpose('TREAT'),
      actor: [actor('Organization/a')],
      provision: [{ type: 'deny', actor: [actor('Organization/b')], provision: [{ type: 'permit', purpose: purpose('BTG') }] }],
    };
    expect(rules(nested)).toMatchObject([
      { decision: 'permit', actor: ['Organization/a'], purpose: ['TREAT', 'ETREAT'], place: 0, last: 2 },
      { decision: 'deny', actor: ['Organization/b'], purpose: ['TREAT', 'ETREAT'], place: 1, last: 2, btg: true },
      {
        decision: 'permit',
        actor: ['Organization/b'],
        purpose: ['BTG'],
        place: 2,
        last: 2,
        provision: 'provision.provision[0].provision[0]',
      },
    ]);
  });

  it('without a type denies', () => {
    expect(rules({ type: 'permit', provision: [{ purpose: purpose('HRESCH') }] })).toMatchObject([
      { decision: 'permit' },
      { decision: 'deny', purpose: ['HRESCH'] },
    ]);
  });

  it('permits no longer than the root holds', () => {
    const [root, inner] = rules({
      type: 'deny',
      period: { end: '2024' },
      provision: [{ type: 'permit', period: { start: '2023', end: '2030' } }],
    });
    expect(root).toMatchObject({ decision: 'deny', until: new Date('2025-01-01T00:00:00+08:00') });
    expect(inner).toMatchObject({
      decision: 'permit',
      from: new Date('2023-01-01T00:00:00+08:00'),
      until: new Date('2025-01-01T00:00:00+08:00'),
    });
  });

  it('of a permit that can’t be read permits nothing either, and of one that can’t be read a denial counts in full', () => {
    expect(
      rules({
        type: 'permit',
        code: [{ text: 'MR' }],
        provision: [
          { type: 'permit', purpose: purpose('TREAT') },
          { type: 'deny', purpose: purpose('HRESCH') },
        ],
      }),
    ).toMatchObject([{ decision: 'deny', purpose: ['HRESCH'] }]);
  });
});

describe('criteria about records', () => {
  const only = (provision: object) => {
    const [rule, more] = rules(provision);
    expect(more).toBeUndefined();
    return rule;
  };

  it('are classes, dates and the organization that holds them', () => {
    const kinds = [{ system: 'http://hl7.org/fhir/resource-types', code: 'DiagnosticReport' }];
    expect(only({ type: 'deny', class: kinds })).toMatchObject({ class: ['DiagnosticReport'] });
    expect(only({ type: 'permit', dataPeriod: { start: '2020' } })).toMatchObject({
      data_from: new Date('2020-01-01T00:00:00+08:00'),
      data_until: null,
    });
    expect(only({ type: 'deny', actor: [actor('Organization/f001', 'CST')] })).toMatchObject({ holder: ['f001'], actor: null });
  });

  it('are levels of confidentiality: for a permit the highest, for a denial the lowest that is named', () => {
    const labels = ['R', 'N'].map((code) => ({ system: CONFIDENTIALITY, code }));
    expect(only({ type: 'permit', securityLabel: labels })).toMatchObject({ level: 4, sensitivity: null });
    expect(only({ type: 'deny', securityLabel: labels })).toMatchObject({ level: 3, sensitivity: null });
    expect(only({ type: 'permit', securityLabel: [{ system: ACT_CODE, code: 'PSY' }] })).toMatchObject({
      level: null,
      sensitivity: [`${ACT_CODE}|PSY`],
    });
  });

  it('are certain records, what refers to them, and their authors', () => {
    expect(only({ type: 'permit', data: [data('instance', 'ImagingStudy/1')] })).toMatchObject({
      data: ['ImagingStudy/1'],
      data_refers: null,
    });
    expect(only({ type: 'deny', data: [data('dependents', 'ServiceRequest/1')] })).toMatchObject({
      data: ['ServiceRequest/1'],
      data_refers: ['ServiceRequest/1'],
      data_referred: null,
    });
    const encounter = 'https://his.example/fhir/Encounter/1';
    expect(only({ type: 'permit', data: [data('related', encounter)] })).toMatchObject({
      data_refers: [encounter],
      data_referred: null,
    });
    expect(only({ type: 'deny', data: [data('related', encounter)] })).toMatchObject({
      data_refers: [encounter],
      data_referred: [encounter],
    });
    expect(only({ type: 'permit', data: [data('authoredby', 'Practitioner/p')] })).toMatchObject({
      data: [],
      author: ['Practitioner/p'],
    });
    // who wrote it may be left open
    expect(only({ type: 'deny', data: [data('authoredby', 'Practitioner/p')] })).toMatchObject({
      author: ['Practitioner/p', '?'],
    });
  });
});

describe('what can’t be read', () => {
  const given: [string, object, object?][] = [
    ['a code', { code: [{ text: 'MR' }] }],
    ['a class of another system', { class: [{ code: 'DiagnosticReport' }] }],
    ['a class of everything', { class: [{ system: 'http://hl7.org/fhir/resource-types', code: 'Resource' }] }],
    ['a level that is not known', { securityLabel: [{ system: CONFIDENTIALITY, code: 'X' }] }],
    ['a label without a system', { securityLabel: [{ code: 'N' }] }],
    ['data without a reference', { data: [{ meaning: 'instance' }] }],
    ['a record at another address', { data: [data('instance', 'https://elsewhere.example/fhir/ImagingStudy/1')] }],
    ['an author that is a role', { data: [data('authoredby', 'PractitionerRole/x')] }],
    ['a data period that is no date', { dataPeriod: { start: '2024-02-30' } }],
    ['an action alone', { action: [{ coding: [{ code: 'access' }] }] }],
    ['a modifier extension', { modifierExtension: [{ url: 'x' }] }],
    ['an element that R4 does not know', { regulatoryBasis: [{ text: 'x' }] }],
    ['a purpose of another system', { purpose: [{ system: 'http://example.org', code: 'FooBar' }] }],
    ['a purpose that is not known', { purpose: purpose('CLINTRCH') }],
    ['a purpose by the name of a method', { purpose: purpose('constructor') }],
    ['an actor that is a person related', { actor: [actor('RelatedPerson/g')] }],
    ['an actor of another role', { actor: [actor('Organization/b', 'AGNT')] }],
    ['recipients and custodians together', { actor: [actor('Organization/b'), actor('Organization/b', 'CST')] }],
    ['an empty list', { actor: [] }],
    ['a period that is no date', { period: { start: '2024-02-30' } }],
    ['a period that ends before it begins', { period: { start: '2025', end: '2024' } }],
    ['a modifier of the whole', {}, { modifierExtension: [{ url: 'x' }] }],
    ['rules of its own', {}, { implicitRules: 'http://example.org' }],
    ['a failed verification', {}, { verification: [{ verified: false }] }],
    [
      'another scope',
      {},
      { scope: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/consentscope', code: 'research' }] } },
    ],
  ];
  // jest takes a missing third value for its `done`
  const beyond = given.map(([name, provision, more = {}]) => [name, provision, more] as const);

  it.each(beyond)('with %s never permits', (_name, provision, more) => {
    expect(rules({ type: 'permit', ...provision }, more).filter((rule) => rule.decision === 'permit')).toEqual([]);
  });

  it.each(beyond)('with %s denies what it might have denied', (_name, provision, more) => {
    const all = rules({ type: 'deny', ...provision }, more);
    const denied = all.find((rule) => rule.decision === 'deny');
    expect(denied).toMatchObject({ ...UNLIMITED });
  });

  it('keeps the limits of a denial that it can read', () => {
    const [rule] = rules({ type: 'deny', code: [{ text: 'x' }], actor: [actor('Organization/b')], period: { end: '2024' } });
    expect(rule).toMatchObject({ actor: ['Organization/b'], until: new Date('2025-01-01T00:00:00+08:00') });
  });

  it('of a list limits no denial, and leaves a permit to the others', () => {
    const one = [actor('Organization/b'), actor('RelatedPerson/g')];
    expect(rules({ type: 'deny', actor: one })).toMatchObject([{ actor: null }]);
    expect(rules({ type: 'permit', actor: one })).toMatchObject([{ actor: ['Organization/b'] }]);
  });

  it('of a group, whose members are not known here, denies to all and permits to the group by name', () => {
    expect(rules({ type: 'deny', actor: [actor('Group/g')] })).toMatchObject([{ actor: null }]);
    expect(rules({ type: 'permit', actor: [actor('Group/g')] })).toMatchObject([{ actor: ['Group/g'] }]);
  });

  it('because there is too much of it denies everything', () => {
    const large = { type: 'permit', provision: Array.from({ length: 200 }, () => ({ type: 'permit' })) };
    expect(isWithinBounds(consent(large))).toBe(false);
    expect(rules(large)).toMatchObject([{ ...UNLIMITED, decision: 'deny' }]);
  });
});
