import { readPolicyTexts } from '../../policies/policy-texts.js';
import { soundPolicy } from '../access/policy/sound-policy.js';

/** `hub policy check`: loads the policy as a start would; a broken rule or an example that comes out wrong is an error. */
export async function checkPolicy(): Promise<void> {
  await soundPolicy(readPolicyTexts());
  console.log('policy: ok; its rules load and every example comes out as it says');
}
