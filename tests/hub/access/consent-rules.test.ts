import { describe, expect, it } from '@jest/globals';
import { compileConsent } from '../../../hub/access/policy/consent-rules.js';

const ACT_REASON = 'http://terminology.hl7.org/CodeSystem/v3-ActReason';
const ACT_CODE = 'http://terminology.hl7.org/CodeSystem/v3-ActCode';
const purpose = (...codes: string[]) => codes.map((code) => ({ system: ACT_REASON, code }));
const actor = (reference: string, role = 'IRCP') => ({ role: { coding: [{ code: role }] }, reference: { reference } });

const consent = (provision: object | undefined, more: object = {}) => ({
  resourceType: 'Consent',
  status: 'active',
  scope: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/consentscope', code: 'patient-privacy' }] },
  patient: { reference: 'Patient/x' },
  ...(provision ? { provision } : {}),
  ...more,
});
const rules = (provision: object | undefined, more: object = {}) => compileConsent(consent(provision, more), '+08:00');
const everything = { actor: null, purpose: null, from: undefined, until: undefined };

describe('a basic consent', () => {
  it('permits or denies as its root says', () => {
    expect(rules({ type: 'permit' })).toEqual([{ provision: 'provision', decision: 'permit', ...everything }]);
    expect(rules({ type: 'deny' })).toEqual([{ provision: 'provision', decision: 'deny', ...everything }]);
  });

  it.each(['draft', 'proposed', 'rejected', 'inactive', 'entered-in-error'])('that is %s says nothing', (status) => {
    expect(rules({ type: 'deny' }, { status })).toEqual([]);
    expect(rules({ type: 'permit' }, { status })).toEqual([]);
  });

  it('covers the days that its period names, in the time of the region', () => {
    const [rule] = rules({ type: 'permit', period: { start: '2024-02-29', end: '2024-12-31' } });
    expect(rule).toMatchObject({ from: new Date('2024-02-29T00:00:00+08:00'), until: new Date('2025-01-01T00:00:00+08:00') });
    expect(rules({ type: 'permit', period: { end: '2024' } })[0]).toMatchObject({
      from: undefined,
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
    const policyRule = (code: string) => ({ policyRule: { coding: [{ system: ACT_CODE, code }] } });
    expect(rules({ period: { start: '2024' } }, policyRule('OPTIN'))).toMatchObject([{ decision: 'permit' }]);
    expect(rules({}, policyRule('OPTOUT'))).toMatchObject([{ decision: 'deny' }]);
    expect(rules(undefined, policyRule('OPTIN'))).toMatchObject([{ decision: 'permit' }]);
    expect(rules(undefined, policyRule('OPTOUT'))).toMatchObject([{ decision: 'deny', provision: 'policyRule' }]);
    expect(rules({}, { policy: [{ uri: 'https://federation-hub.example/policies/opt-in' }] })).toMatchObject([
      { decision: 'permit' },
    ]);
    expect(rules({}, { policy: [{ uri: 'https://example.org/unknown' }] })).toMatchObject([{ decision: 'deny' }]);
    expect(rules({})).toMatchObject([{ decision: 'deny' }]);
  });

  it('that opts out with an exception stays a denial until exceptions can be read', () => {
    const optOut = { policyRule: { coding: [{ system: ACT_CODE, code: 'OPTOUT' }] } };
    expect(rules({ type: 'permit', actor: [actor('Organization/b')] }, optOut)).toMatchObject([
      { decision: 'deny', actor: null },
    ]);
  });
});

describe('a consent that goes beyond basic', () => {
  const given: [string, object, object?][] = [
    ['a class', { class: [{ code: 'DiagnosticReport' }] }],
    ['a code', { code: [{ text: 'MR' }] }],
    ['a label', { securityLabel: [{ code: 'N' }] }],
    ['data', { data: [{ meaning: 'instance' }] }],
    ['a data period', { dataPeriod: { start: '2020' } }],
    ['an action', { action: [{ text: 'access' }] }],
    ['an exception', { provision: [{ type: 'deny', purpose: purpose('HRESCH') }] }],
    ['a modifier extension', { modifierExtension: [{ url: 'x' }] }],
    ['a purpose of another system', { purpose: [{ system: 'http://example.org', code: 'FooBar' }] }],
    ['a purpose that is not known', { purpose: purpose('CLINTRCH') }],
    ['an actor that is a group', { actor: [actor('Group/g')] }],
    ['an actor that is no recipient', { actor: [actor('Organization/b', 'CST')] }],
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
    expect(rules({ type: 'deny', ...provision }, more)).toContainEqual({
      provision: 'provision',
      decision: 'deny',
      ...everything,
    });
  });

  it('keeps the limits that it can read', () => {
    const [rule] = rules({ type: 'deny', class: [{ code: 'x' }], actor: [actor('Organization/b')], period: { end: '2024' } });
    expect(rule).toMatchObject({ actor: ['Organization/b'], until: new Date('2025-01-01T00:00:00+08:00') });
  });

  it('drops a list of actors of which one can’t be read', () => {
    expect(rules({ type: 'deny', actor: [actor('Organization/b'), actor('Group/g')] })).toMatchObject([{ actor: null }]);
  });

  it('denies what a nested provision denies, which inherits what it does not say', () => {
    const nested = {
      type: 'permit',
      purpose: purpose('TREAT'),
      provision: [{ type: 'deny', actor: [actor('Organization/b')], class: [{ code: 'x' }] }],
    };
    expect(rules(nested)).toEqual([
      {
        ...everything,
        provision: 'provision.provision[0]',
        decision: 'deny',
        actor: ['Organization/b'],
        purpose: ['TREAT', 'ETREAT'],
      },
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
