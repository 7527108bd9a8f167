import { createAccess } from '../access/policy/create-access.js';
import { loadConfig } from '../config.js';

/** `hub policy check`: loads the policy as a start would; a broken rule or an example that comes out wrong is an error. */
export async function checkPolicy(): Promise<void> {
  await createAccess(loadConfig());
  console.log('policy: ok; its rules load and every example comes out as it says');
}
