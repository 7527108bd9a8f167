import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { systems } from '../../../fhir-profiles/codes.js';
import { createKeyRing, IntegrityFailure } from '../../../hub/store/key-ring.js';
import { blindIndexes, masked, normalisedContact, normalisedIdentifier } from '../../../hub/store/protection.js';
import { openContent, sealContent } from '../../../hub/store/sealed-content.js';
import { testProtection } from '../../support/test-database.js';

const protection = testProtection();
const { keys } = protection;
const id = fc.stringMatching(/^[A-Za-z0-9.-]{1,64}$/);
const text = fc.string({ unit: 'grapheme', maxLength: 60 });

describe('a sealed value', () => {
  it('opens to itself in its place, and nowhere else', () => {
    fc.assert(
      fc.property(text, id, id, text, text, (plain, place, other, position, another) => {
        fc.pre(place !== other && position !== another);
        const sealed = keys.seal('content', place, position, plain);
        expect(keys.open('content', place, position, sealed)).toBe(plain);
        expect(() => keys.open('content', other, position, sealed)).toThrow(IntegrityFailure);
        expect(() => keys.open('content', place, another, sealed)).toThrow(IntegrityFailure);
        expect(() => keys.open('audit', place, position, sealed)).toThrow(IntegrityFailure);
      }),
    );
  });

  it('does not open when one bit of it, or the name of its key, was changed', () => {
    fc.assert(
      fc.property(text, fc.nat(), (plain, at) => {
        const [key, body = ''] = keys.seal('content', 'p', 'q', plain).split('.');
        const bytes = Buffer.from(body, 'base64url');
        bytes[at % bytes.length]! ^= 1 << (at % 8);
        expect(() => keys.open('content', 'p', 'q', `${key}.${bytes.toString('base64url')}`)).toThrow(IntegrityFailure);
        expect(() => keys.open('content', 'p', 'q', `ffffffff.${body}`)).toThrow(IntegrityFailure);
      }),
    );
    for (const nothing of ['', '.', `${keys.current}.`, `${keys.current}.AAAA`, 'x'])
      expect(() => keys.open('content', 'p', 'q', nothing)).toThrow(IntegrityFailure);
  });

  it('is another one each time, under a nonce of its own', () => {
    const sealed = Array.from({ length: 2000 }, () => keys.seal('content', 'p', 'q', 'same').split('.')[1] ?? '');
    expect(new Set(sealed.map((s) => Buffer.from(s, 'base64url').subarray(0, 12).toString('hex'))).size).toBe(2000);
  });

  it('opens under a previous secret, and is written under the current one', () => {
    const before = createKeyRing(['the secret of last year']);
    const now = createKeyRing(['the secret of this year', 'the secret of last year']);
    const after = createKeyRing(['the secret of this year']);
    const old = before.seal('content', 'p', 'q', 'v');
    expect(now.open('content', 'p', 'q', old)).toBe('v');
    expect(() => after.open('content', 'p', 'q', old)).toThrow(IntegrityFailure);
    expect(after.open('content', 'p', 'q', now.seal('content', 'p', 'q', 'v'))).toBe('v');
    expect(now.digests('x')).toEqual([...after.digests('x'), ...before.digests('x')]);
  });
});

describe('a blind index', () => {
  it('is the same for two numbers just when they are the same number', () => {
    const digits = fc.stringMatching(/^\d{15,18}[Xx]?$/);
    const spelled = (number: string) =>
      fc.constantFrom(
        number,
        ` ${number} `,
        number.toLowerCase(),
        number.replace(/\d/g, (d) => String.fromCharCode(0xff10 + Number(d))),
      );
    fc.assert(
      fc.property(
        digits.chain((n) => fc.tuple(fc.constant(n), spelled(n))),
        digits,
        ([number, spelling], other) => {
          const index = (value: string) => blindIndexes(protection, normalisedIdentifier(value))[0];
          expect(index(spelling)).toBe(index(number));
          expect(index(other) === index(number)).toBe(other.toUpperCase() === number.toUpperCase());
        },
      ),
    );
  });

  it('takes a telephone number by its digits', () => {
    for (const number of ['13957104826', '139-5710-4826', '+86 139 5710 4826', '008613957104826', '(139) 5710.4826'])
      expect(normalisedContact(number)).toBe('13957104826');
    expect(normalisedContact('+44 20 7946 0958')).toBe('442079460958');
    expect(normalisedContact('Li.Lei@mail.example')).toBe('LI.LEI@MAIL.EXAMPLE');
  });
});

describe('the content of a resource', () => {
  const holder = fc.record(
    {
      system: fc.constantFrom<string>(
        systems.nationalIdentifier,
        systems.medicalInsurance,
        'phone',
        'email',
        'url',
        'urn:hospital',
        '~sealed:x',
      ),
      value: text,
      use: fc.constantFrom('old', 'home'),
      _value: fc.record({
        extension: fc.constant([{ url: 'http://hl7.org/fhir/StructureDefinition/rendered-value', valueString: 'rendered 7781' }]),
      }),
    },
    { requiredKeys: ['system'] },
  );
  const leaf = fc.oneof(
    text,
    fc.integer(),
    fc.boolean(),
    fc.constantFrom('~sealed:', '~sealed:a.b', '"~sealed:x.y"', 'call 13957104826', '11010519491231002X'),
  );
  const { tree } = fc.letrec((tie) => ({
    tree: fc.dictionary(
      fc.constantFrom('identifier', 'telecom', 'text', 'contact', 'div', 'value', 'name', '__proto', 'note'),
      fc.oneof(
        { depthSize: 'small' },
        leaf,
        holder,
        fc.array(holder, { maxLength: 3 }),
        fc.array(leaf, { maxLength: 3 }),
        fc.array(tie('tree'), { maxLength: 2 }),
        tie('tree'),
      ),
    ),
  }));

  it('comes back as it was, whatever it is', () => {
    fc.assert(
      fc.property(tree, id, (content, patientId) => {
        const plain = JSON.stringify(content);
        const of = { type: 'Patient', id: patientId };
        const stored = sealContent(protection, of, content as object, plain);
        expect(openContent(protection, of, stored)).toBe(plain);
        for (const contact of [JSON.parse(stored).telecom].flat())
          if (typeof contact?.value === 'string') expect(contact.value).toMatch(/^~sealed:[0-9a-f]{8}\./);
      }),
      { numRuns: 500 },
    );
  });

  it('does not open under another id, nor with two values, or the systems beside them, exchanged', () => {
    const content = {
      identifier: [
        { system: systems.nationalIdentifier, value: '11010519491231002X' },
        { system: systems.medicalInsurance, value: 'YB-1' },
      ],
      telecom: [{ system: 'phone', value: '13957104826' }],
    };
    const of = { type: 'Patient', id: 'p1' };
    const stored = JSON.parse(sealContent(protection, of, content, JSON.stringify(content)));
    const fails = (changed: object, where = of) =>
      expect(() => openContent(protection, where, JSON.stringify(changed))).toThrow(IntegrityFailure);
    expect(JSON.stringify(stored)).not.toMatch(/110105|YB-1|1395/);
    fails(stored, { type: 'Patient', id: 'p2' });
    fails(stored, { type: 'Person', id: 'p1' });
    const [national, insurance] = stored.identifier;
    fails({ ...stored, identifier: [{ ...national, value: insurance.value }] });
    fails({ ...stored, identifier: [{ ...national, system: systems.medicalInsurance }] });
    fails({ ...stored, name: [{ text: national.value }] });
    fails({ ...stored, telecom: [{ ...stored.telecom[0], value: national.value }] });
  });

  it('of a study without numbers is stored as it is', () => {
    const content = { series: [{ uid: '1.2.840.113619.2.55.3.13957104826.110105194912310021.9', description: 'CT 胸部' }] };
    const plain = JSON.stringify(content);
    expect(sealContent(protection, { type: 'ImagingStudy', id: 's' }, content, plain)).toBe(plain);
  });
});

it('a number in a text that stays readable is masked the same way each time, and nothing else is', () => {
  const one = masked(protection, 'Patient/11010519491231002X');
  expect(one).toMatch(/^Patient\/~[0-9a-f]{8}\.[\w-]{22}$/);
  expect(masked(protection, 'Patient/11010519491231002X')).toBe(one);
  for (const plain of ['ImagingStudy/019f1a2b-1395-7104-8260-13957104826a', '2.25.13957104826', 'Practitioner/li.wei', ''])
    expect(masked(protection, plain)).toBe(plain);
});
