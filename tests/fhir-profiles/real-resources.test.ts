import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { validateResource } from '../../fhir-profiles/index.js';
import { describeWithRealData } from '../support/real-data.js';

/** The published files that are refused, each with the first element that is wrong and why; all others are valid. */
const refused: Record<string, { code: string; expression: string; why: string }> = {
  'ihe-pcf/Encounter-ex-encounter.json': { code: 'not-supported', expression: 'Resource', why: 'the hub has no Encounter' },
  'ihe-pcf/Group-ex-privilegedUsers.json': { code: 'not-supported', expression: 'Resource', why: 'the hub has no Group' },
  'siim/DiagnosticReport-siim-ravi-ct-chest.json': {
    code: 'structure',
    expression: 'DiagnosticReport.performer',
    why: 'performer and category are objects where R4 has arrays (DSTU2)',
  },
  'siim/ImagingStudy-siim-andy-dermoscopy.json': {
    code: 'value',
    expression: 'ImagingStudy.identifier[0].value',
    why: 'the UID lacks urn:oid:, which R4 and our profile ask for',
  },
  'synthea-r4/Chet_Thompson_eda17701-070d-4fae-9f7d-c8cd6263b63a.json': {
    code: 'not-supported',
    expression: 'Bundle.entry[3].resource',
    why: 'holds Encounters, Claims and others that the hub has not',
  },
};

describeWithRealData('published FHIR resources', (data) => {
  const folder = join(data, 'fhir');
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.json'));
  const read = (file: string) => JSON.parse(readFileSync(join(folder, file), 'utf8'));

  it('has the files that this table knows', () => {
    expect(files.length).toBeGreaterThan(70);
    expect(files).toEqual(expect.arrayContaining(Object.keys(refused)));
  });

  it.each(files)('%s', (file) => {
    const issues = validateResource(read(file));
    const expected = refused[file];
    if (expected) expect(issues[0]).toMatchObject({ code: expected.code, expression: expected.expression });
    else expect(issues).toEqual([]);
  });

  describe('a Synthea transaction, entry by entry', () => {
    const bundle = read('synthea-r4/Chet_Thompson_eda17701-070d-4fae-9f7d-c8cd6263b63a.json') as {
      entry: { resource: { resourceType: string } }[];
    };

    it('is itself valid', () => {
      expect(validateResource(bundle, { skipEntries: true })).toEqual([]);
    });

    it('holds valid resources of every type that the hub has, but for an ImagingStudy that states its UID under another system', () => {
      const problems = bundle.entry.flatMap(({ resource }) =>
        validateResource(resource).map((issue) => `${resource.resourceType} ${issue.code} ${issue.expression}`),
      );
      expect([...new Set(problems)].filter((problem) => !problem.includes('not-supported'))).toEqual([
        'ImagingStudy required ImagingStudy.identifier',
      ]);
    });
  });
});
