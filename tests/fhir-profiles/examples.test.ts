import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { type Issue, validateResource } from '../../fhir-profiles/index.js';

const folder = new URL('../../fhir-profiles/examples/', import.meta.url);
const read = (path: string) => JSON.parse(readFileSync(new URL(path, folder), 'utf8'));

describe('examples of the profiles', () => {
  it.each(readdirSync(new URL('valid/', folder)))('%s is valid', (file) => {
    expect(validateResource(read(`valid/${file}`))).toEqual([]);
  });

  it.each(readdirSync(new URL('invalid/', folder)))('%s is refused for the one thing that is wrong', (file) => {
    const { issue, resource } = read(`invalid/${file}`) as { issue: Partial<Issue>; resource: unknown };
    expect(validateResource(resource)).toEqual([{ severity: 'error', diagnostics: expect.any(String), ...issue }]);
  });
});
