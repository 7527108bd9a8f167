import { systems } from '../../fhir-profiles/codes.js';
import type { Request } from '@hapi/hapi';
import { requestContext } from '../access/authentication/request-context.js';
import type { Caller } from '../access/caller.js';
import type { Access } from '../access/access.js';
import { asCaller, asRemembered } from '../access/as-caller.js';
import type { RequestAccess, RowWithEvidence } from '../access/decision.js';
import { denied } from '../access/denial.js';
import { agentOf, decidedBy } from '../access/write-request.js';
import type { Audit, AuditEntry } from '../audit/vocabulary.js';
import type { Config } from '../config.js';
import { judgedColumns, judgedStudies, type JudgedStudy, studyRecords } from '../imaging/find-study.js';
import { heldBy, heldOf } from '../imaging/held.sql.js';
import { judgeNow } from '../imaging/judge-now.js';
import {
  locate,
  locateInPart,
  locateRepresentative,
  type Retrieval,
  type Unretrievable,
  type Wanted,
} from '../imaging/retrieve.js';
import { forbidden, notFound, notSupported, Refusal } from '../outcomes.js';
import type { Database } from '../store/database.js';
import { raw, type Sql, sql } from '../store/sql.js';
import { studyOutcome } from './study-outcome.js';
import type { WadoRequest } from './wado-request.js';

export interface ReleaseDeps {
  db: Database;
  access: Access;
  audit: Audit;
  config: Pick<Config, 'trustedProxy'>;
}

/** What was released, when (`Date.now()`), and how that is to stand in the audit. */
export interface Released {
  retrieval: Retrieval;
  studyId: string;
  at: number;
  entry: AuditEntry;
}

/** The policy as it stands now, in one statement as long as no fact about the caller changed. Its refusal is on record before the stream ends. */
export async function isStillAllowed(
  deps: ReleaseDeps,
  caller: Caller,
  { retrieval, studyId, entry }: Released,
): Promise<boolean> {
  const seen = await judgeNow(deps, caller, studyId, judgedColumns);
  const isOpen = (series: string): boolean => !seen?.series || seen.series.includes(series);
  if (seen?.decision.allowed && retrieval.request.instances.every((i) => isOpen(i.seriesInstanceUid))) return true;
  const why = seen ? (seen.decision.reason ?? 'in-part') : 'not-found';
  await deps.audit.commit([{ ...entry, ...(seen ? decidedBy(seen.decision) : {}), outcome: 4, detail: `revoked: ${why}` }]);
  return false;
}

/**
 * What the caller may retrieve and a source has. Its entry is still to be committed, before anything leaves.
 * @throws Refusal 403 or 404; what was asked is on record by then.
 */
export async function authorized(
  deps: ReleaseDeps,
  request: Request,
  caller: Caller,
  wanted: WadoRequest,
  isRepresentative: boolean,
): Promise<Released> {
  const at = Date.now();
  const statement = (access: RequestAccess): Sql => records(access, caller, wanted);
  const { access, rows } =
    (await asRemembered<RecordRow>(deps.db, deps.access, caller, statement)) ??
    (await deps.db.snapshot((tx) => asCaller<RecordRow>(tx, deps.access, caller, statement)));
  const { seen, found } = firstRetrievable(judgedStudies(access, rows), wanted, isRepresentative && !wanted.sopInstanceUid);
  const entry = entryOf(deps, request, caller, wanted.studyInstanceUid, seen, found);
  if (typeof found !== 'object') await deps.audit.commit([entry]);
  if (!seen) throw notFound();
  if (!seen.decision.allowed || found === undefined) throw denied(seen.row, seen.decision);
  if (typeof found === 'string') throw unretrievable(found);
  return { retrieval: found, studyId: seen.row.id, at, entry };
}

type RecordRow = RowWithEvidence & { held: string | null };

/** Statement: the custodians' records of a study as far as they are judged, and what the index holds where the caller may retrieve. */
function records(access: RequestAccess, caller: Caller, wanted: WadoRequest): Sql {
  const held = heldBy(raw('claim.custodian_id'), wanted);
  const ifAllowed = access.part ? held : sql`case when ${access.filter('retrieve', 'ImagingStudy')} then ${held} end`;
  return studyRecords(access, caller.organizationId, wanted, sql`${judgedColumns(access)}, ${ifAllowed} as held`);
}

interface Choice {
  seen: JudgedStudy<RecordRow> | undefined;
  /** Undefined when the caller may not retrieve the study. */
  found: Retrieval | Unretrievable | undefined;
}

/** Of the custodians whose record the caller may retrieve, the first whose archive has it; otherwise the first record there is. */
function firstRetrievable(studies: readonly JudgedStudy<RecordRow>[], wanted: WadoRequest, isRepresentative: boolean): Choice {
  const { studyInstanceUid, seriesInstanceUid, sopInstanceUid, frames } = wanted;
  let first: Choice = { seen: studies[0], found: undefined };
  for (const seen of studies.filter(({ decision }) => decision.allowed)) {
    const of = { custodianId: seen.row.custodian_id, studyInstanceUid, seriesInstanceUid, sopInstanceUid, frames };
    const found = locateOf(seen, of, isRepresentative);
    if (typeof found !== 'string') return { seen, found };
    if (first.found === undefined) first = { seen, found };
  }
  return first;
}

function locateOf({ row, series }: JudgedStudy<RecordRow>, wanted: Wanted, isRepresentative: boolean): Retrieval | Unretrievable {
  if (row.held === null) return 'unknown';
  const held = heldOf(row.held);
  if (isRepresentative) return locateRepresentative(held, wanted, series);
  return series ? locateInPart(held, wanted, series) : locate(held, wanted);
}

function unretrievable(why: Unretrievable): Refusal {
  if (why === 'several-sources')
    return notSupported('The study lies in several archives of its custodian: retrieve it series by series, or by instance.');
  if (why === 'in-part')
    return notSupported('Some series of the study are opened to you: retrieve it series by series, or by instance.');
  if (why === 'unknown') return notFound();
  if (why === 'quarantined')
    return forbidden('The archive holds objects of this study that are in quarantine: retrieve it by instance.', {
      system: systems.denialReason,
      code: 'quarantine',
    });
  const diagnostics =
    'The study is known but not retrievable: its custodian has described it and connected no archive that holds it.';
  return new Refusal(404, [{ severity: 'error', code: 'not-found', diagnostics }]);
}

/** The refusal of a token whose scope does not cover it, which is on record. */
export async function outOfScope(
  deps: ReleaseDeps,
  request: Request,
  caller: Caller,
  { studyInstanceUid }: WadoRequest,
): Promise<Refusal> {
  await deps.audit.commit([{ ...entryOf(deps, request, caller, studyInstanceUid, undefined, undefined), detail: 'scope' }]);
  return forbidden('The scope of the token does not include reading ImagingStudy.');
}

function entryOf(
  deps: ReleaseDeps,
  request: Request,
  caller: Caller,
  uid: string,
  seen: JudgedStudy | undefined,
  found: Retrieval | Unretrievable | undefined,
): AuditEntry {
  const isReleased = typeof found === 'object';
  return {
    ...agentOf(caller, requestContext(request, deps.config)),
    type: 'rest',
    subtype: 'retrieve',
    action: 'R',
    query: request.path,
    ...studyOutcome(uid, seen),
    ...(seen?.decision.allowed && !isReleased ? { outcome: 4, detail: found ?? 'not-retrievable' } : {}),
  };
}
