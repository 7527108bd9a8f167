import type { AuditEntry } from '../audit/vocabulary.js';
import type { Queryable } from '../store/database.js';
import type { ResourceRow } from '../store/resources.js';
import type { FhirResource } from '../store/search-keys.js';
import type { Caller, RequestContext } from './caller.js';
import type { Decision, Grounds, RequestAccess } from './decision.js';

/** A create or update whose caller is authenticated, whose body is valid, and whose type the caller's role may write. */
export interface WriteRequest {
  caller: Caller;
  context: RequestContext;
  access: RequestAccess;
  resource: FhirResource;
  /** The stored version that is replaced; absent when the resource is new. */
  current?: ResourceRow;
}

/**
 * How resources of one type are written: the domain's own rules and side effects, in the transaction that the FHIR face opened.
 * A writer stores the resource (store/resources), changes its fact tables, and returns the rows in the order of the requests.
 * Expected failures are thrown as `Refusal` (outcomes.ts); the face writes the audit entry of each write, a writer only
 * appends entries for what happens beside it (a grant minted, a link made).
 */
export interface ResourceWriter {
  /** Creates, set-based: one call for a whole transaction's entries of the type. A row may be an existing one that the submission was merged into. */
  create(tx: Queryable, requests: readonly WriteRequest[]): Promise<ResourceRow[]>;
  update(tx: Queryable, request: WriteRequest & { current: ResourceRow }): Promise<ResourceRow>;
}

/** The agent part of an audit entry. */
export function agentOf(
  caller: Caller,
  context: RequestContext,
): Pick<AuditEntry, 'agent' | 'agentName' | 'organizationId' | 'role' | 'purpose' | 'clientId' | 'requestId' | 'address'> {
  return {
    agent: caller.id,
    agentName: caller.name,
    organizationId: caller.organizationId,
    role: caller.role,
    purpose: caller.purposeOfUse,
    clientId: caller.clientId,
    requestId: context.requestId,
    address: context.address,
  };
}

/** The decision part of an audit entry: what was decided, and what it can be made again from. */
export function decidedBy(
  ...decisions: readonly Decision[]
): Pick<AuditEntry, 'basis' | 'rule' | 'evidence' | 'policyEpoch' | 'decidedOn'> {
  const [first] = decisions;
  if (!first) return {};
  const grounds = decisions.flatMap((decision) => decision.grounds ?? []);
  return {
    basis: first.basis,
    rule: first.rule || undefined,
    evidence: first.evidence.length > 0 ? first.evidence : undefined,
    policyEpoch: first.grounds?.epoch,
    decidedOn: grounds.length > 0 ? [...new Set(grounds.map(asText))].slice(0, MOST_GROUNDS) : undefined,
  };
}

/** Different questions and conditions that one entry keeps. */
const MOST_GROUNDS = 20;

const asText = ({ action, object, held }: Grounds): string => [action, object || '-', ...held].join(' ');
