import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { maxDepth, maxIssues, validateResource } from '../../fhir-profiles/index.js';

const folder = new URL('../../fhir-profiles/examples/valid/', import.meta.url);
const examples = readdirSync(folder).map((file) => JSON.parse(readFileSync(new URL(file, folder), 'utf8')));
const brief = (resource: unknown) => validateResource(resource).map((issue) => `${issue.code} ${issue.expression}`);
const patient = (content: object) => ({ resourceType: 'Patient', ...content });

describe('what is no resource of the hub', () => {
  it.each([null, undefined, true, 5, 'Patient', [], [{ resourceType: 'Patient' }]])('%j is refused', (value) => {
    expect(brief(value)).toEqual(['structure Resource']);
  });

  it('names a missing and an unknown type', () => {
    expect(brief({})).toEqual(['required Resource.resourceType']);
    for (const resourceType of ['Encounter', 'HumanName', '__proto__', 'constructor', 5, null, {}]) {
      expect(brief({ resourceType })).toEqual(['not-supported Resource']);
    }
  });
});

describe('structure', () => {
  it.each<[string, object, string]>([
    ['an unknown element', { nickname: 'x' }, 'structure Patient.nickname'],
    ['an unknown element deep inside', { contact: [{ name: { text: 'a', mood: 1 } }] }, 'structure Patient.contact[0].name.mood'],
    ['an element named by another type of the choice', { deceasedString: 'no' }, 'structure Patient.deceasedString'],
    ['two types of one choice', { deceasedBoolean: true, deceasedDateTime: '2020' }, 'structure Patient.deceased'],
    ['an array for one value', { gender: ['male'] }, 'structure Patient.gender'],
    ['one value for an array', { name: { text: 'a' } }, 'structure Patient.name'],
    ['an empty array', { name: [] }, 'structure Patient.name'],
    ['a null', { gender: null }, 'structure Patient.gender'],
    ['a null in an array of objects', { name: [null] }, 'structure Patient.name[0]'],
    ['a null without its extension', { name: [{ given: ['a', null] }] }, 'structure Patient.name[0].given[1]'],
    ['extensions of a complex element written as those of a primitive', { _name: [{ id: 'x' }] }, 'structure Patient._name'],
    [
      'a modifier extension',
      { modifierExtension: [{ url: 'http://x.example', valueCode: 'not' }] },
      'extension Patient.modifierExtension',
    ],
    [
      'an extension with value and extensions',
      { extension: [{ url: 'http://x.example', valueCode: 'a', extension: [{ url: 'b', valueCode: 'c' }] }] },
      'invariant Patient.extension[0]',
    ],
    [
      'a reference to a type that has no place there',
      { managingOrganization: { reference: 'Patient/1' } },
      'value Patient.managingOrganization',
    ],
    [
      'a contained resource that nothing refers to',
      { contained: [{ resourceType: 'Organization', id: 'o', name: 'O' }] },
      'invariant Patient',
    ],
    [
      'a reference to no contained resource',
      { managingOrganization: { reference: '#o' } },
      'invariant Patient.managingOrganization',
    ],
    [
      'a comparator on a simple quantity',
      { extension: [{ url: 'http://x.example', valueRange: { low: { value: 1, comparator: '<' } } }] },
      'structure Patient.extension[0].value.low.comparator',
    ],
  ])('%s is refused', (_what, content, issue) => {
    expect(brief(patient(content))).toEqual([issue]);
  });

  it('takes a null that holds the place of an extension', () => {
    const reason = { extension: [{ url: 'http://hl7.org/fhir/StructureDefinition/data-absent-reason', valueCode: 'masked' }] };
    expect(brief(patient({ name: [{ given: [null, '小东'], _given: [reason, null] }], _birthDate: reason }))).toEqual([]);
  });

  it('takes a contained resource that is referred to', () => {
    const contained = [{ resourceType: 'Organization', id: 'o', name: '市第一人民医院' }];
    expect(brief(patient({ contained, managingOrganization: { reference: '#o' } }))).toEqual([]);
  });

  it('counts properties that are undefined as absent', () => {
    expect(brief(patient({ gender: undefined, name: undefined }))).toEqual([]);
    expect(brief({ ...examples.find((e) => e.resourceType === 'ImagingStudy'), status: undefined })).toEqual([
      'required ImagingStudy.status',
    ]);
  });
});

describe('narrative', () => {
  const withDiv = (inner: string) =>
    patient({ text: { status: 'generated', div: `<div xmlns="http://www.w3.org/1999/xhtml">${inner}</div>` } });

  it('takes formatting, links and images', () => {
    expect(brief(withDiv('<p class="a">王<br/><a href="https://example.org">x</a> &lt; <img src="#i" alt="i"/></p>'))).toEqual(
      [],
    );
  });

  it.each([
    '<script>alert(1)</script>',
    '<p onclick="alert(1)">x</p>',
    '<a href="javascript:alert(1)">x</a>',
    '<a href="java&#115;cript:alert(1)">x</a>',
    '<a href="javascript&colon;alert(1)">x</a>',
    '<a href=" &#10;javascript:alert(1)">x</a>',
    '<img src="data:text/html;base64,AAAA"/>',
    '<iframe src="https://example.org"></iframe>',
    '<p style="background:url(https://example.org)">x</p>',
    '<svg><p>x</p></svg>',
    '<!-- x --><p>x</p>',
    '<p onclick=alert(1)>x</p>',
    '<',
    '   ',
  ])('refuses %s', (inner) => {
    expect(brief(withDiv(inner))).toEqual(['value Patient.text.div']);
  });

  it('ends on a megabyte of anything', () => {
    for (const piece of ['<', '<a ', '<a x="" ', '</div>', '<!--', ' ', '<a href="', '<a x="">']) {
      expect(validateResource(withDiv(piece.repeat(1_000_000 / piece.length)))).toHaveLength(1);
    }
  });
});

describe('bounds', () => {
  const nested = (levels: number): object =>
    levels === 0 ? { url: 'http://x.example', valueBoolean: true } : { url: 'http://x.example', extension: [nested(levels - 1)] };

  it('refuses what is nested too deep', () => {
    expect(validateResource(patient({ extension: [nested(maxDepth - 2)] }))).toEqual([]);
    expect(validateResource(patient({ extension: [nested(maxDepth - 1)] }))).toMatchObject([
      { severity: 'fatal', code: 'too-costly' },
    ]);
    expect(validateResource(patient({ extension: [nested(5000)] }))).toMatchObject([{ severity: 'fatal', code: 'too-costly' }]);
  });

  it('refuses what has too many values', () => {
    const parameter = Array.from({ length: 300_000 }, () => ({ name: 'x', valueBoolean: true }));
    expect(validateResource({ resourceType: 'Parameters', parameter })).toMatchObject([
      { severity: 'fatal', code: 'too-costly' },
    ]);
  });

  it('reports at most the issues that fit', () => {
    expect(validateResource(patient({ name: Array.from({ length: 1000 }, () => ({ use: 'bogus' })) }))).toHaveLength(maxIssues);
  });

  it('repeats neither content nor long names', () => {
    const secret = '11010519491231002X';
    const issues = validateResource(
      patient({ gender: secret, birthDate: secret, [`${secret} `.repeat(1000)]: 1, name: [{ use: secret }] }),
    );
    expect(issues.length).toBe(4);
    expect(JSON.stringify(issues)).not.toContain(secret);
  });
});

describe('invariants on dates look at the time, not the text', () => {
  const period = (start: string, end: string) => brief(patient({ name: [{ text: 'a', period: { start, end } }] }));

  it.each([
    ['2020-05-01T10:00:00Z', '2020-05-01T09:00:00-05:00'],
    ['2020', '2020-06'],
    ['2020-06', '2020'],
    ['2020-06-01', '2020-06-01'],
    ['2020-06-01T00:00:00Z', '2020-06-01'],
  ])('%s to %s is a period', (start, end) => {
    expect(period(start, end)).toEqual([]);
  });

  it.each([
    ['2021', '2020'],
    ['2020-06-02', '2020-06-01'],
    ['2020-05-01T09:00:00-05:00', '2020-05-01T10:00:00Z'],
  ])('%s to %s is none', (start, end) => {
    expect(period(start, end)).toEqual(['invariant Patient.name[0].period']);
  });
});

describe('a Bundle', () => {
  const entry = (resource: object) => ({ resource, request: { method: 'POST', url: 'Patient' } });

  it('is checked with its entries, or without', () => {
    const bundle = { resourceType: 'Bundle', type: 'batch', entry: [entry(patient({})), entry(patient({ gender: 'x' }))] };
    expect(brief(bundle)).toEqual(['code-invalid Bundle.entry[1].resource.gender']);
    expect(validateResource(bundle, { skipEntries: true })).toEqual([]);
  });

  it('names the entry whose ImagingStudy breaks the profile', () => {
    const study = { ...examples.find((e) => e.resourceType === 'ImagingStudy'), identifier: [{ value: '1' }] };
    expect(brief({ resourceType: 'Bundle', type: 'batch', entry: [entry(study)] })).toEqual([
      'required Bundle.entry[0].resource.identifier',
    ]);
  });

  it('needs requests in a transaction', () => {
    expect(brief({ resourceType: 'Bundle', type: 'transaction', entry: [{ resource: patient({}) }] })).toEqual([
      'invariant Bundle',
    ]);
  });
});

describe('any JSON value', () => {
  const names = [
    'Patient',
    'ImagingStudy',
    'Task',
    'Consent',
    'Bundle',
    'Observation',
    'Parameters',
    'OrganizationAffiliation',
    'AuditEvent',
  ];
  const keys = [
    'extension',
    'url',
    'valueString',
    'identifier',
    'system',
    'code',
    'coding',
    'contained',
    'meta',
    'profile',
    'entry',
    'fullUrl',
    'type',
    'text',
    'div',
  ];
  const odd = [
    'toString',
    'valueOf',
    '__proto__',
    'constructor',
    'resourceType',
    'id',
    '_id',
    'period',
    'start',
    'series',
    'modality',
    'subject',
    'reference',
  ];
  const { value } = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 5 },
      fc.constantFrom<unknown>(
        null,
        true,
        0,
        'x',
        '#x',
        'urn:dicom:uid',
        'https://federation-hub.example/fhir/StructureDefinition/sharing-scope',
      ),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(fc.constantFrom(...keys, ...odd), tie('value'), { maxKeys: 6 }),
    ),
  }));

  it('is answered with issues, never with an exception', () => {
    fc.assert(
      fc.property(fc.oneof(fc.jsonValue(), value), (json) => {
        expect(validateResource(json).length).toBeGreaterThan(0);
      }),
      { numRuns: 500 },
    );
    fc.assert(
      fc.property(fc.constantFrom(...names), fc.dictionary(fc.constantFrom(...keys, ...odd), value), (resourceType, content) => {
        expect(Array.isArray(validateResource({ ...content, resourceType }))).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('a wrong value somewhere in a valid resource', () => {
  /** Every primitive of a resource, with its FHIRPath. */
  function leaves(value: object, path: string): { parent: Record<string, unknown>; key: string; path: string }[] {
    return Object.entries(value).flatMap(([key, child]) => {
      const name = key.replace(/^(value|deceased)[A-Z].*/, '$1');
      const at = Array.isArray(value) ? `${path}[${key}]` : `${path}.${name}`;
      if (typeof child === 'object') return leaves(child, at);
      return key === 'resourceType' ? [] : [{ parent: value as Record<string, unknown>, key, path: at }];
    });
  }

  it('is reported at its own place', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...examples),
        fc.nat(),
        fc.constantFrom<unknown>({ x: 1 }, [], null, 'nul\u0000'),
        (example, index, wrong) => {
          const resource = structuredClone(example);
          const all = leaves(resource, resource.resourceType);
          const leaf = all[index % all.length] as (typeof all)[number];
          leaf.parent[leaf.key] = wrong;
          expect(validateResource(resource).map((issue) => issue.expression)).toContain(leaf.path);
        },
      ),
      { numRuns: 1000 },
    );
  });
});
