import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, it } from '@jest/globals';

/**
 * Folder of the real DICOM and FHIR files (REAL_DATA_DIR, default ../shared/data); undefined where there is none.
 * @throws Error when there is none and CI=true: a pipeline never passes without them.
 */
export function realData(): string | undefined {
  const folder = resolve(process.env.REAL_DATA_DIR ?? '../shared/data');
  if (existsSync(folder)) return folder;
  if (process.env.CI === 'true') throw new Error(`no real data at ${folder}: set REAL_DATA_DIR`);
  return undefined;
}

/** `describe` with the folder of the real data; where there is none the tests show as skipped, with the reason in their name. */
export function describeWithRealData(name: string, tests: (folder: string) => void): void {
  const folder = realData();
  if (folder) {
    describe(name, () => tests(folder));
    return;
  }
  process.stderr.write(`SKIPPED: ${name}: no real data, set REAL_DATA_DIR\n`);
  describe(`${name} (SKIPPED: no real data, set REAL_DATA_DIR)`, () => {
    it.skip('needs real data', () => undefined);
  });
}
