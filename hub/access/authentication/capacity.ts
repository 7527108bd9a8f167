import type { Caller, Purpose, Role } from '../caller.js';
import type { AssertedContext } from './iua-claims.js';
import { purposeFor } from './purposes-of-role.js';
import { type ScopeContext, scopesIn } from './scopes.js';
import type { Standing } from './standing.js';

/** The one capacity in which a token acts. */
export interface Capacity {
  role: Role;
  purpose: Purpose;
  /** '' for a patient. */
  organizationId: string;
}

/**
 * The capacity that was asked for, if the registry grants it. Nothing is believed because it was asserted: the role must be one of the
 * account's or client's, the organization its own and active, the purpose one of the role's. Left out, the only role and its
 * usual purpose are meant. @returns undefined when it is not granted
 * @param session kind of the open exceptional access that the token names.
 */
export function capacityOf(
  standing: Standing,
  asked: AssertedContext,
  session?: 'break-glass' | 'oversight',
): Capacity | undefined {
  const role =
    asked.role === undefined && standing.roles.length === 1 ? standing.roles[0] : standing.roles.find((r) => r === asked.role);
  const purpose = role && purposeFor(role, asked.purpose, session);
  if (!role || !purpose) return undefined;
  if (role === 'patient') {
    const isBound = standing.patientId !== undefined || standing.relatedPersons.length > 0;
    return isBound && !asked.organizationId ? { role, purpose, organizationId: '' } : undefined;
  }
  if (role === 'physician' && !standing.practitionerId) return undefined;
  const { organizationId, organizationActive } = standing;
  const own = organizationActive && (asked.organizationId === undefined || asked.organizationId === organizationId);
  return own ? { role, purpose, organizationId } : undefined;
}

/** Both may state the capacity; where both do they must agree, so that nobody widens what was given to him. @returns undefined when not */
export function agreed(given: AssertedContext, asked: AssertedContext): AssertedContext | undefined {
  const keys = ['organizationId', 'role', 'purpose'] as const;
  const contradicts = keys.some((k) => given[k] !== undefined && asked[k] !== undefined && given[k] !== asked[k]);
  return contradicts ? undefined : Object.fromEntries(keys.map((k) => [k, asked[k] ?? given[k]]));
}

/** The caller that policy and audit see. */
export function callerOf(
  standing: Standing,
  capacity: Capacity,
  token: { clientId: string; scope: string; authenticatedAt: number; exceptionalAccess?: string },
): Caller {
  return {
    id: idOf(standing, capacity.role),
    ...(standing.kind === 'person' ? { accountId: standing.subject } : {}),
    kind: standing.kind,
    name: standing.name,
    organizationId: capacity.organizationId,
    role: capacity.role,
    purposeOfUse: capacity.purpose,
    // A physician who is also a patient here is one or the other, never both in one token.
    ...(capacity.role === 'patient' ? ofPatient(standing) : { practitionerId: standing.practitionerId }),
    clientId: token.clientId,
    scope: token.scope,
    authenticatedAt: token.authenticatedAt,
    ...(token.exceptionalAccess === undefined ? {} : { exceptionalAccess: token.exceptionalAccess }),
  };
}

const ofPatient = ({ patientId, relatedPersons }: Standing): Pick<Caller, 'patientId' | 'relatedPersons'> => ({
  patientId,
  ...(relatedPersons.length > 0 ? { relatedPersons } : {}),
});

/** A guardian who is no patient here goes by the record that says so. */
function idOf(standing: Standing, role: Role): string {
  if (role === 'patient')
    return standing.patientId ? `Patient/${standing.patientId}` : `RelatedPerson/${standing.relatedPersons[0]}`;
  return standing.practitionerId ? `Practitioner/${standing.practitionerId}` : standing.subject;
}

/** SMART: `patient/` for a patient, `user/` for everybody else who is a person, `system/` for systems. */
function contexts(role: Role, kind: Standing['kind']): readonly ScopeContext[] {
  if (kind === 'system') return ['system'];
  return role === 'patient' ? ['patient', 'user'] : ['user'];
}

/** What a person may do when the issuer does not speak SMART scopes: everything that policy allows to the role. */
const WHOLE_SCOPE = { patient: 'patient/*.cruds', person: 'user/*.cruds' } as const;

/**
 * The resource scope of a capacity. A client has what it is registered for; a person what the issuer's token carries, or, where that
 * names no resource scope at all, everything within policy.
 */
export function scopeOf(standing: Standing, role: Role, given: string): string {
  const applicable = contexts(role, standing.kind);
  if (standing.kind === 'system') return scopesIn(applicable, given);
  if (scopesIn(['system', 'user', 'patient'], given) !== '') return scopesIn(applicable, given);
  return role === 'patient' ? WHOLE_SCOPE.patient : WHOLE_SCOPE.person;
}
