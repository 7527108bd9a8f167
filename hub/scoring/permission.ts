import { isStanding, type Standings } from '../access/authentication/standing.js';
import type { Access } from '../access/access.js';
import type { Caller } from '../access/caller.js';
import { findRow } from '../access/find-row.js';
import type { Database } from '../store/database.js';
import { type ResourceRow, toResource } from '../store/resources.js';
import { resultsOfReport } from './laboratory-values.js';

/** Why a caller may not have something scored any more: a reason class (denial-reason), `account` or `withdrawn`; undefined where he may. */
export type ScorePermission = (caller: Caller, focus: ResourceRow) => Promise<string | undefined>;

/** The same question as when the request was placed: of the study, or of the laboratory's report and each of its results. */
export function scorePermission(deps: { db: Database; access: Access; standings: Standings }): ScorePermission {
  return async (caller, focus) => {
    if (!(await isStanding(deps.standings, caller))) return 'account';
    return deps.db.snapshot(async (tx) => {
      const access = await deps.access.forCaller(tx, caller);
      for (const [type, id] of partsOf(focus)) {
        const row = await findRow(tx, access, type, id);
        if (!row) return 'withdrawn';
        const decision = access.decide('score', row);
        if (!decision.allowed) return decision.mayKnow ? (decision.reason ?? 'no-basis') : 'no-basis';
      }
      return undefined;
    });
  };
}

const partsOf = (focus: ResourceRow): [type: string, id: string][] => [
  [focus.type, focus.id],
  ...(focus.type === 'DiagnosticReport' ? resultsOfReport(toResource(focus)) : []).map((id): [string, string] => [
    'Observation',
    id,
  ]),
];
