// Writes hub/api/openapi.generated.ts, the types of the contract hub/api/openapi.yaml. With --check it only says whether they are up to date.
import { readFile, writeFile } from 'node:fs/promises';
import openapiTS, { astToString } from 'openapi-typescript';

const contract = new URL('../hub/api/openapi.yaml', import.meta.url);
const target = new URL('../hub/api/openapi.generated.ts', import.meta.url);
const text = `/** Generated from openapi.yaml by .ci/generate-api.mjs. Do not edit. */\n${astToString(await openapiTS(contract))}`;

if (!process.argv.includes('--check')) {
  await writeFile(target, text);
} else if ((await readFile(target, 'utf8').catch(() => '')) !== text) {
  console.error('hub/api/openapi.generated.ts is not what hub/api/openapi.yaml says: run node .ci/generate-api.mjs');
  process.exit(1);
}
