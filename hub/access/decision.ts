import type { ResourceRow } from '../store/resources.js';
import type { Sql } from '../store/sql.js';
import type { Action } from './caller.js';

/** Why an access is allowed. The first eight are the design's; `party` is the requester or performer of a Task, ServiceRequest or report;
 *  `directory` is registry data (organizations, practitioners, endpoints, devices) that every authenticated caller may read; `registered`
 *  (the patient is registered with the caller's organization) opens only that the record exists. */
export type Basis =
  | 'own'
  | 'consortium'
  | 'agreement'
  | 'agreement-part'
  | 'agreement-score'
  | 'grant'
  | 'patient'
  | 'break-glass'
  | 'oversight'
  | 'audit'
  | 'party'
  | 'directory'
  | 'registered';

/** Reason classes that a caller who may know of a record is told, with what would change the answer. */
export type DenialReason = 'no-basis' | 'consent' | 'purpose' | 'label' | 'suspended' | 'quarantine';

/** A fact that a decision rests on, e.g. `{ kind: 'agreement', id: '...' }`. */
export interface Evidence {
  kind: string;
  id: string;
  version?: number;
  provision?: string;
}

/** What a decision can be made again from: the epoch of the policy, what was asked of it, and the conditions that held. */
export interface Grounds {
  epoch: number;
  action: Action;
  object: string;
  held: readonly string[];
}

/** What was decided, by which rule, on what evidence. Anything but an explicit allow is a denial. */
export interface Decision {
  allowed: boolean;
  /** Whether the caller may learn that the record exists. */
  mayKnow: boolean;
  rule: string;
  basis?: Basis;
  evidence: Evidence[];
  reason?: DenialReason;
  /** Absent where the policy was not asked, or failed. */
  grounds?: Grounds;
  /** What would change the answer, for a person: "ask the patient", "send a release request", ... */
  wouldChange?: string[];
}

/** A row together with the evidence columns that `RequestAccess.evidence` adds to a statement. */
export type RowWithEvidence = ResourceRow & { evidence: unknown };

/**
 * The policy for one caller at one instant, inside one snapshot: the same rules as SQL and as JavaScript.
 * Both are for alias `r` of table `resource`.
 */
export interface RequestAccess {
  /** Condition on `r` that is true exactly for rows that the caller may know of / read / retrieve / score ... Constant false when no rule can allow.
   *  With `type` the condition is for rows of that type only, and shorter. */
  filter(action: Action, type?: string): Sql;
  /** `filter` for one type as alternatives of which at most one is true for a row, the ones that need the least first: their counts add up. */
  ways(action: Action, type: string): Sql[];
  /** What of studies is opened in part; undefined where nothing is, which is the rule. */
  readonly part?: PartialAccess | undefined;
  /** One json column expression named `evidence`, e.g. `(...) as evidence`: what `decide` needs to know about the row. */
  readonly evidence: Sql;
  /** The same decision by casbin, with reasons. Fails closed on anything unexpected. */
  decide(action: Action, row: RowWithEvidence): Decision;
  /** Decision on an action that needs no row (create a Patient, read the audit, run a report). */
  decideGeneral(action: Action, resourceType?: string): Decision;
}

/** Studies of which the caller may see some series, read and retrieved, and not the whole. */
export interface PartialAccess {
  /** Condition on `r`, a study: not read as a whole, but in part. */
  readonly filter: Sql;
  /** Condition on `r`: one of the series that are shown meets `test`, a condition on `s`, the series as json. Holds beside `filter` only. */
  someSeries(test: Sql): Sql;
  /** Which of its series are shown, and why; undefined where none is. */
  of(row: RowWithEvidence): { decision: Decision; isShown: (series: { uid?: string }) => boolean } | undefined;
}
