import type { Request } from '@hapi/hapi';
import { callerOfRequest } from '../../access/authentication/bearer-scheme.js';
import type { IssueAccessToken } from '../../access/authentication/exceptional-access-token.js';
import { requestContext } from '../../access/authentication/request-context.js';
import type { Action, Caller, RequestContext } from '../../access/caller.js';
import type { Access } from '../../access/access.js';
import type { Decision } from '../../access/decision.js';
import type { BreakGlassConfig } from '../../access/exceptional/break-the-glass.js';
import type { Majority } from '../../access/guardians/guardianships.sql.js';
import { agentOf } from '../../access/write-request.js';
import type { Audit } from '../../audit/vocabulary.js';
import type { Config } from '../../config.js';
import type { Database } from '../../store/database.js';
import { permitted } from '../permitted.js';

export interface ExceptionalAccessDeps {
  db: Database;
  access: Access;
  audit: Audit;
  config: Pick<Config, 'trustedProxy' | 'maxPage' | 'oversightCaseDays'> & BreakGlassConfig & Majority;
  issueToken: IssueAccessToken;
}

/** Who takes a step, and the decision that lets him. */
export interface Actor {
  caller: Caller;
  context: RequestContext;
  decision: Decision;
}

/** A person whom policy lets take this step, by an ordinary token. @throws Refusal 403; the attempt is on record by then. */
export async function authorized(deps: ExceptionalAccessDeps, request: Request, action: Action, object: string): Promise<Actor> {
  const caller = callerOfRequest(request);
  const context = requestContext(request, deps.config);
  const decision = await deps.db.snapshot((tx) =>
    permitted(deps, tx, caller, {
      decide: (access) => access.decideGeneral(action, object),
      isFor: caller.kind === 'person' && caller.exceptionalAccess === undefined,
      entry: () => ({ ...agentOf(caller, context), type: 'access', subtype: action, action: 'E', outcome: 0 }),
      detail: ({ reason }) => reason ?? 'role',
      refusal: 'This is not for you to do.',
    }),
  );
  return { caller, context, decision };
}
