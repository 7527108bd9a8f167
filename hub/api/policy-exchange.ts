import type { Request } from '@hapi/hapi';
import { PolicyError } from '../../policies/policy-error.js';
import { callerOfRequest } from '../access/authentication/bearer-scheme.js';
import { requestContext } from '../access/authentication/request-context.js';
import type { Caller } from '../access/caller.js';
import type { Access } from '../access/access.js';
import type { Decision } from '../access/decision.js';
import type { EpochRow } from '../access/epochs/epochs.sql.js';
import type { ProposalRow } from '../access/epochs/proposals.js';
import { agentOf, decidedBy } from '../access/write-request.js';
import type { Audit, AuditEntry } from '../audit/vocabulary.js';
import type { Config } from '../config.js';
import { Refusal, unprocessable } from '../outcomes.js';
import type { Database } from '../store/database.js';
import type { components } from './openapi.generated.js';
import { permitted } from './permitted.js';

type Schemas = components['schemas'];

export interface PolicyDeps {
  db: Database;
  access: Access;
  audit: Audit;
  config: Pick<Config, 'trustedProxy' | 'maxPage'>;
}

/** Who may take a step: hub administrators, auditors, or both. */
type May = 'keeper' | 'auditor' | 'either';

/** @throws Refusal 403 for all but hub administrators and auditors, as the step asks; the attempt is on record by then. */
export async function authorized(
  deps: PolicyDeps,
  request: Request,
  step: string,
  may: May,
): Promise<{ caller: Caller; decision: Decision }> {
  const caller = callerOfRequest(request);
  const decision = await deps.db.snapshot((tx) =>
    permitted(deps, tx, caller, {
      decide: (access) => {
        const asKeeper = access.decideGeneral('administer', 'AccessPolicy');
        if (may === 'keeper' || (may === 'either' && asKeeper.allowed)) return asKeeper;
        return access.decideGeneral('audit-read', 'AccessPolicy');
      },
      entry: (decided) => entryOf(deps, request, caller, step, { decision: decided }),
      refusal: 'The access policy is kept by the hub administrators and read by the auditors.',
    }),
  );
  return { caller, decision };
}

/** Does the work; what is refused in it is on record before the answer leaves. A policy with faults is answered with each of them. */
export async function traced<T>(
  deps: PolicyDeps,
  request: Request,
  caller: Caller,
  step: string,
  entity: string[],
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const refusal = error instanceof PolicyError ? faultsAsRefusal(error) : error;
    if (refusal instanceof Refusal && refusal.status < 500)
      await deps.audit.commit([entryOf(deps, request, caller, step, { entity, outcome: 4, detail: refusal.issues[0]?.code })]);
    throw refusal;
  }
}

const MOST_ISSUES = 100;

const faultsAsRefusal = ({ faults }: PolicyError): Refusal =>
  unprocessable(
    faults.slice(0, MOST_ISSUES).map(({ line, message }) => ({
      severity: 'error',
      code: 'business-rule',
      diagnostics: line ? `line ${line}: ${message}` : message,
      expression: [line ? `rules line ${line}` : 'policy'],
    })),
  );

export function entryOf(
  deps: PolicyDeps,
  request: Request,
  caller: Caller,
  subtype: string,
  { decision, outcome = 0, ...more }: Pick<AuditEntry, 'entity' | 'detail'> & Partial<AuditEntry> & { decision?: Decision },
): AuditEntry {
  return {
    ...agentOf(caller, requestContext(request, deps.config)),
    type: 'policy',
    subtype,
    action: subtype === 'read' || subtype === 'replay' ? 'R' : 'E',
    outcome,
    ...(decision ? decidedBy(decision) : {}),
    ...more,
  };
}

export const toEpoch = (row: EpochRow): Schemas['PolicyEpoch'] => ({
  number: row.number,
  digest: row.digest,
  note: row.note,
  ...(row.restores === null ? {} : { restores: row.restores }),
  proposedBy: row.proposed_by,
  publishedBy: row.published_by,
  published: row.published.toISOString(),
});

export const toProposal = (row: ProposalRow): Schemas['PolicyProposal'] => ({
  id: row.id,
  base: row.base,
  digest: row.digest,
  note: row.note,
  ...(row.restores === null ? {} : { restores: row.restores }),
  proposedBy: row.proposed_by,
  proposed: row.proposed.toISOString(),
});
