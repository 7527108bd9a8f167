import type { Access } from '../../access/access.js';
import type { RequestAccess } from '../../access/decision.js';
import type { Caller } from '../../access/caller.js';
import type { ResourceWriter } from '../../access/write-request.js';
import type { Audit } from '../../audit/vocabulary.js';
import type { ReevaluateGrants } from '../../identity/links.js';
import type { Queryable } from '../../store/database.js';
import { agentOfSource, type Origin } from '../quarantine.js';
import type { IngestDeps } from '../submit-study.js';

/** What taking a hospital's records needs beside what studies need: the policy, and the writers that pushed records go through too. */
export interface RecordDeps {
  access: Access;
  writers: Readonly<Record<string, ResourceWriter>>;
  /** Takes back what rested on a link that a merge ends. */
  reevaluateGrants: ReevaluateGrants;
}

/** One statement while it is taken: all in one transaction. */
export interface Taking {
  tx: Queryable;
  audit: Audit;
  records: RecordDeps;
  origin: Origin;
  /** The hospital's system, as policy and the writers see it. */
  caller: Caller;
  access: RequestAccess;
  /** System of the hospital's own patient numbers. */
  assigner: string;
  /** What the statement is, for the audit: `ADT^A08`. */
  what: string;
  ids: 'of-source' | 'of-statement';
  /** Address that the source's ids are relative to. */
  base?: string;
  withdrawJobs?: IngestDeps['withdrawJobs'];
  /** What was taken already of this statement: `Type/id` there and here. */
  taken: Map<string, string>;
}

/** The caller of what a connector brings in: the hospital's system. */
export const callerOf = ({ custodianId, connectorId }: Origin): Caller => ({
  id: agentOfSource(connectorId),
  kind: 'system',
  name: connectorId ? `connector ${connectorId}` : 'hub',
  organizationId: custodianId,
  role: 'hospital-system',
  purposeOfUse: 'HOPERAT',
  clientId: connectorId ?? 'hub',
  scope: '',
  authenticatedAt: 0,
});

/** The agent part of an audit entry. */
export const sourceAgent = ({ origin }: Pick<Taking, 'origin'>) => ({
  agent: agentOfSource(origin.connectorId),
  organizationId: origin.custodianId,
  custodianId: origin.custodianId,
  requestId: origin.requestId,
});
