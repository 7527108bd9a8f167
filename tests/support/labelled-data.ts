import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, it } from '@jest/globals';

/** `describe` with the folder of the labelled data (LABELLED_DATA_DIR); where there is none the tests show as skipped, with the reason in their name. */
export function describeWithLabelledData(name: string, tests: (folder: string) => void): void {
  const folder = process.env.LABELLED_DATA_DIR;
  if (folder && existsSync(folder)) {
    describe(name, () => tests(resolve(folder)));
    return;
  }
  process.stderr.write(`SKIPPED: ${name}: no labelled data, set LABELLED_DATA_DIR\n`);
  describe(`${name} (SKIPPED: no labelled data, set LABELLED_DATA_DIR)`, () => {
    it.skip('needs labelled data', () => undefined);
  });
}
