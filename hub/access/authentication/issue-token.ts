import { randomUUID } from 'node:crypto';
import { SignJWT } from 'jose';
import type { AuditEntry } from '../../audit/vocabulary.js';
import type { Config } from '../../config.js';
import type { RequestContext } from '../caller.js';
import { type Capacity, callerOf } from './capacity.js';
import { iuaClaims } from './iua-claims.js';
import { SIGNING_ALGORITHM, type SigningKey } from './signing-key.js';
import type { Standing } from './standing.js';
import { agentOf } from '../write-request.js';

/** What a token is about to be issued for: everything in it has been checked. */
export interface Grant {
  standing: Standing;
  capacity: Capacity;
  clientId: string;
  scope: string;
  /** Seconds since the epoch; 0: unknown. */
  authenticatedAt: number;
  /** Seconds. */
  lifetime: number;
  /** Id of the exceptional access that it is for. */
  exceptionalAccess?: string;
}

/** Claim of a token that is for one exceptional access. */
export const EXCEPTIONAL_ACCESS = 'exceptional_access';

/** Signs an access token of the hub (RFC 9068, IUA claims). The caller commits the audit of it first. */
export function signToken(config: Pick<Config, 'publicUrl'>, key: SigningKey, grant: Grant): Promise<string> {
  const { standing, capacity, clientId, scope, authenticatedAt, lifetime, exceptionalAccess } = grant;
  const now = Math.floor(Date.now() / 1000);
  return new SignJWT({
    client_id: clientId,
    scope,
    ...(authenticatedAt > 0 ? { auth_time: authenticatedAt } : {}),
    ...(exceptionalAccess === undefined ? {} : { [EXCEPTIONAL_ACCESS]: exceptionalAccess }),
    ...iuaClaims(config.publicUrl, capacity.organizationId, capacity.role, capacity.purpose),
  })
    .setProtectedHeader({ alg: SIGNING_ALGORITHM, kid: key.kid, typ: 'at+jwt' })
    .setIssuer(config.publicUrl)
    .setAudience(config.publicUrl)
    .setSubject(standing.subject)
    .setJti(randomUUID())
    .setIssuedAt(now)
    .setExpirationTime(now + lifetime)
    .sign(key.privateKey);
}

/** The audit entry of an issued token. */
export function tokenIssued(grant: Grant, how: string, context: RequestContext): AuditEntry {
  const caller = callerOf(grant.standing, grant.capacity, grant);
  return { ...agentOf(caller, context), type: 'authentication', subtype: 'token', action: 'E', outcome: 0, detail: how };
}
