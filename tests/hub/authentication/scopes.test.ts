import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type Interaction, scopeAllows, scopeCovers, scopesIn } from '../../../hub/access/authentication/scopes.js';

const INTERACTIONS: Interaction[] = ['c', 'r', 'u', 'd', 's'];
const type = fc.constantFrom('Patient', 'ImagingStudy', 'Task', 'Consent');
const context = fc.constantFrom('system', 'user', 'patient');
const letters = fc.subarray(INTERACTIONS, { minLength: 1 }).map((l) => l.join(''));
const VERSION_1: Record<string, string> = { read: 'rs', write: 'cud', '*': 'cruds' };

describe('scopeAllows', () => {
  it('allows in v2 exactly the letters of the type named, or of every type', () => {
    fc.assert(
      fc.property(
        context,
        fc.oneof(type, fc.constant('*')),
        letters,
        type,
        fc.constantFrom(...INTERACTIONS),
        (c, held, l, asked, i) => {
          expect(scopeAllows(`openid ${c}/${held}.${l} launch`, asked, i)).toBe(
            (held === '*' || held === asked) && l.includes(i),
          );
        },
      ),
    );
  });

  it('reads v1 as its v2 equivalent', () => {
    fc.assert(
      fc.property(context, type, fc.constantFrom('read', 'write', '*'), fc.constantFrom(...INTERACTIONS), (c, t, word, i) => {
        expect(scopeAllows(`${c}/${t}.${word}`, t, i)).toBe(VERSION_1[word]?.includes(i));
      }),
    );
  });

  it.each([
    '',
    'Patient.rs',
    'system/Patient',
    'system/Patient.',
    'system/Patient.sr',
    'system/Patient.rr',
    'system/Patient.x',
    'system/patient.rs',
    'admin/Patient.rs',
    'system/Patient.rs?category=x',
    'system/Pati*.rs',
    'SYSTEM/Patient.rs',
    'system/Patient.READ',
    `${'x '.repeat(3000)}system/*.cruds`,
  ])('allows nothing by %j', (scope) => {
    expect(INTERACTIONS.some((i) => scopeAllows(scope, 'Patient', i))).toBe(false);
  });

  it('never allows anything by arbitrary text without a slash', () => {
    fc.assert(
      fc.property(
        fc.string().filter((s) => !s.includes('/')),
        (s) => !scopeAllows(s, 'Patient', 'r'),
      ),
    );
  });
});

describe('scopeCovers', () => {
  it('never lets a covered scope allow what the registered one does not', () => {
    const scope = fc
      .tuple(context, fc.oneof(type, fc.constant('*')), fc.oneof(letters, fc.constantFrom('read', 'write', '*')))
      .map(([c, t, l]) => `${c}/${t}.${l}`);
    const scopes = fc.array(scope, { minLength: 1, maxLength: 3 }).map((s) => s.join(' '));
    fc.assert(
      fc.property(scopes, scopes, type, fc.constantFrom(...INTERACTIONS), context, (registered, asked, t, i, c) => {
        if (!scopeCovers(registered, asked)) return;
        const within = (s: string) => scopeAllows(scopesIn([c as 'system'], s), t, i);
        expect(within(asked) && !within(registered)).toBe(false);
      }),
      { numRuns: 3000 },
    );
    const same = fc.sample(fc.tuple(scopes, scopes), { numRuns: 3000, seed: 20260101 });
    expect(same.filter(([registered, asked]) => scopeCovers(registered, asked)).length).toBeGreaterThan(10);
  });

  it('covers what is registered, and not what is not a resource scope', () => {
    expect(scopeCovers('system/ImagingStudy.cruds', 'system/ImagingStudy.read system/ImagingStudy.c')).toBe(true);
    expect(scopeCovers('system/ImagingStudy.r system/ImagingStudy.s', 'system/ImagingStudy.rs')).toBe(true);
    expect(scopeCovers('system/ImagingStudy.cruds', 'system/*.r')).toBe(false);
    expect(scopeCovers('system/*.cruds', 'user/Patient.r')).toBe(false);
    expect(scopeCovers('system/*.cruds', 'openid')).toBe(false);
    expect(scopeCovers('system/*.cruds', '')).toBe(false);
  });
});
