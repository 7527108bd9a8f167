import type { Queryable } from '../store/database.js';
import type { Sql } from '../store/sql.js';
import type { Caller } from './caller.js';
import type { RequestAccess } from './decision.js';
import type { Hypothesis } from './policy/hypothesis.js';

/** The policy, loaded and self-tested. */
export interface Access {
  /** The policy by the caller's facts (organization, consortia, charters, agreements, grants) as they stand in `tx`. */
  forCaller(tx: Queryable, caller: Caller): Promise<RequestAccess>;
  /** The policy by facts that were read before, for a statement that itself says whether they still stand; undefined when there are none. */
  remembered(caller: Caller): RememberedAccess | undefined;
  /** The policy by facts as they would be, for explanations: it decides on a row, and has no condition to search by. */
  whatIf(tx: Queryable, caller: Caller, hypothesis: Hypothesis): Promise<Pick<RequestAccess, 'decide'>>;
}

/** A policy on remembered facts: to be used only in a statement that selects `stamp` too, and to be thrown away with its rows when that does not confirm it. */
export interface RememberedAccess {
  access: RequestAccess;
  /** Columns, named, that tell the state of the fact tables and the instant of the statement's snapshot. */
  readonly stamp: Sql;
  isConfirmedBy(row: object): boolean;
}
