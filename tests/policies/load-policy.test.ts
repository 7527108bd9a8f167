import { describe, expect, it } from '@jest/globals';
import { loadPolicy, parsePolicy, type Vocabulary } from '../../policies/load-policy.js';

const vocabulary: Vocabulary = {
  roles: ['physician', 'auditor'],
  purposes: ['TREAT'],
  actions: ['read', 'write'],
  objects: ['ImagingStudy'],
  bases: ['own', 'suspended'],
  mandatoryDenies: { bases: ['suspended'], actions: ['read'] },
};

const sound = `
# a comment
p, suspended, anyone, read, ImagingStudy, TREAT, suspended, deny
p, own-read, physician, read, ImagingStudy, TREAT, own, allow
g, physician, anyone
g, auditor, anyone
`;
const load = (table: string) => () => parsePolicy(table, vocabulary);

describe('a policy table', () => {
  it('is taken when it is sound', () => {
    expect(load(sound)().rules.map((rule) => rule.id)).toEqual(['suspended', 'own-read']);
  });

  it.each([
    ['an effect is missing', sound.replace('own, allow', 'own'), /7 cells/],
    ['an effect is empty', sound.replace('own, allow', 'own, '), /empty/],
    ['an effect is spelt with a capital', sound.replace('allow', 'Allow'), /effect 'Allow'/],
    ['an effect is another word', sound.replace('own, allow', 'own, permit'), /effect 'permit'/],
    ['a basis is unknown', sound.replace('TREAT, own,', 'TREAT, owner,'), /basis 'owner' is unknown/],
    ['a role is unknown', sound.replace('own-read, physician', 'own-read, surgeon'), /role 'surgeon' is unknown/],
    ['a purpose is unknown', sound.replace('TREAT, own', 'MARKETING, own'), /purpose 'MARKETING' is unknown/],
    ['an action is unknown', sound.replace('physician, read', 'physician, peek'), /action 'peek' is unknown/],
    ['a kind of record is unknown', sound.replace('ImagingStudy, TREAT, own', 'Media, TREAT, own'), /object 'Media' is unknown/],
    ['two rules have one id', `${sound}p, own-read, auditor, read, ImagingStudy, TREAT, own, allow`, /'own-read' is taken/],
    ['it is empty', '', /no rule that allows/],
    ['it has only comments', '# nothing', /no rule that allows/],
    ['it has only denies', sound.replace(/^p, own-read.*$/m, ''), /no rule that allows/],
    ['a mandatory deny is missing', sound.replace(/^p, suspended.*$/m, ''), /mandatory deny 'suspended' on 'read' is missing/],
    ['a mandatory deny spares a role', sound.replace('g, auditor, anyone', ''), /mandatory deny 'suspended'/],
    ['a mandatory deny has become an allow', sound.replace('suspended, deny', 'suspended, allow'), /mandatory deny 'suspended'/],
    ['a group is named like a role', `${sound}g, auditor, physician`, /'physician' can't be a group/],
    ['a group contains itself', `${sound}g, anyone, everyone\ng, everyone, anyone`, /contains itself/],
    ['a member of a group is unknown', `${sound}g, nurse, anyone`, /'nurse' is unknown/],
    [
      'a line is neither rule nor group',
      `${sound}p2, x, physician, read, ImagingStudy, TREAT, own, allow`,
      /neither a rule nor a group/,
    ],
    ['a cell has characters of the matcher', sound.replace('TREAT, own', 'TREAT, own || true'), /not allowed/],
  ])('is refused when %s', (_name, table, reason) => {
    expect(load(table)).toThrow(reason);
  });

  it('is refused whole: every fault is named', () => {
    expect(load(sound.replace('physician, read', 'surgeon, peek'))).toThrow(/role 'surgeon'.*action 'peek'/);
  });
});

describe('the policy of the region', () => {
  it('is not loaded from a folder that has none', () => {
    expect(() => loadPolicy(vocabulary, new URL('./nowhere/', import.meta.url))).toThrow();
  });

  it('has words that another vocabulary refuses', () => {
    expect(() => loadPolicy(vocabulary)).toThrow(/unknown/);
  });
});
