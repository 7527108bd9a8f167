import type { Caller } from '../../access/caller.js';
import { BY_RULE } from '../permission.js';

/** The hub itself, which asks under no address of a network. */
export const HUB_ADDRESS = '127.0.0.1';

/** The hub on the standing order of a hospital: with the rights that the hospital's own system has for treatment, and no more. */
export const callerByRule = (organizationId: string): Caller => ({
  id: BY_RULE,
  kind: 'system',
  name: 'prefetch',
  organizationId,
  role: 'hospital-system',
  purposeOfUse: 'TREAT',
  clientId: 'prefetch',
  scope: 'system/ImagingStudy.rs',
  authenticatedAt: 0,
});
