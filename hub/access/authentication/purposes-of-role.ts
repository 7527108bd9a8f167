import type { Purpose, Role } from '../caller.js';

/**
 * The purposes of use that a token may carry for a role; the first is meant where none is asked for. Break-glass (BTG) is nobody's:
 * it needs a session with a stated reason, never only a token. HRESCH is the physician's, but policy asks for the patient's permit.
 */
export const PURPOSES_OF_ROLE: Readonly<Record<Role, readonly [Purpose, ...Purpose[]]>> = {
  physician: ['TREAT', 'ETREAT', 'HRESCH'],
  'hospital-administrator': ['HOPERAT'],
  'identity-steward': ['HOPERAT'],
  'commission-officer': ['PUBHLTH', 'HOPERAT'],
  auditor: ['HCOMPL'],
  patient: ['PATRQT'],
  'hospital-system': ['TREAT', 'HOPERAT'],
  'hub-administrator': ['HOPERAT'],
};

/**
 * The purpose asked for, or the role's usual one; undefined when the role may not act for it.
 * @param session the kind of exceptional access that the token names and that is open: under break-glass BTG is the physician's only purpose.
 */
export function purposeFor(role: Role, asked?: string, session?: 'break-glass' | 'oversight'): Purpose | undefined {
  if (session === 'break-glass') return role === 'physician' && asked === 'BTG' ? 'BTG' : undefined;
  if (session === 'oversight' && role !== 'commission-officer') return undefined;
  const purposes = PURPOSES_OF_ROLE[role];
  return asked === undefined ? purposes[0] : purposes.find((purpose) => purpose === asked);
}
