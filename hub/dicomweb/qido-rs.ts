import type { Request, ResponseObject, ResponseToolkit, Server } from '@hapi/hapi';
import { callerOfRequest } from '../access/authentication/bearer-scheme.js';
import { requestContext } from '../access/authentication/request-context.js';
import { scopeAllows } from '../access/authentication/scopes.js';
import type { Access } from '../access/access.js';
import type { RequestAccess } from '../access/decision.js';
import { denied } from '../access/denial.js';
import { type Shown, shown } from '../access/shown.js';
import { agentOf } from '../access/write-request.js';
import type { Audit, AuditEntry } from '../audit/vocabulary.js';
import type { Config } from '../config.js';
import { assertRecordable, queryText, type Search, searchEntries } from '../fhir/search-audit.js';
import { findStudy, type JudgedStudy } from '../imaging/find-study.js';
import { forbidden, notFound, Refusal, tooCostly } from '../outcomes.js';
import type { Database } from '../store/database.js';
import { isOfPatient } from './qido/patient-keys.sql.js';
import { parseQido, type QidoQuery, type QidoTarget } from './qido/query.js';
import { type Found, searchAll, type Searching, searchWithin } from './qido/search.js';
import { studyOutcome } from './study-outcome.js';
import { uid } from './wado-request.js';
import { warningsOf } from './qido/warnings.js';

export interface QidoDeps {
  db: Database;
  access: Access;
  audit: Audit;
  config: Pick<Config, 'publicUrl' | 'maxPage' | 'trustedProxy'>;
}

/** Series and instances of one answer at most. */
const MOST_BELOW = 5000;

/**
 * QIDO-RS (PS3.18 section 10.6): studies, series and instances, among all that the caller may see or within one study. The policy is that of FHIR
 * search, inside the statement, and so is the audit, which is committed before the answer leaves.
 */
export function registerQidoRs(server: Server, deps: QidoDeps): void {
  const route = (path: string, level: QidoTarget['level']) => ({
    method: 'GET' as const,
    path: `/dicomweb/${path}`,
    handler: (request: Request, h: ResponseToolkit) => search(deps, request, h, level),
  });
  server.route([
    route('studies', 'study'),
    route('series', 'series'),
    route('instances', 'instance'),
    route('studies/{study}/series', 'series'),
    route('studies/{study}/instances', 'instance'),
    route('studies/{study}/series/{series}/instances', 'instance'),
  ]);
}

async function search(deps: QidoDeps, request: Request, h: ResponseToolkit, level: QidoTarget['level']): Promise<ResponseObject> {
  const asked: Search = {
    path: [request.path.slice(1)],
    query: [...request.url.searchParams],
    caller: callerOfRequest(request),
    context: requestContext(request, deps.config),
  };
  assertRecordable(asked);
  assertAcceptable(request.headers.accept);
  const { study, series } = request.params as Record<string, string | undefined>;
  const target: QidoTarget = {
    level,
    ...(study === undefined ? {} : { studyInstanceUid: uid(study, 'study') }),
    ...(series === undefined ? {} : { seriesInstanceUid: uid(series, 'series') }),
  };
  const query = parseQido(target, asked.query, { studies: deps.config.maxPage, others: MOST_BELOW });
  await assertScope(deps, asked, query);
  const found = await withinLimits(() => deps.db.snapshot((tx) => run(deps, asked, query, tx)));
  if ('refused' in found) {
    await deps.audit.commit([refusalEntry(asked, query, found.refused)]);
    throw found.refused ? denied(found.refused.row, found.refused.decision) : notFound();
  }
  await deps.audit.commit(searchEntries(asked, { ...found, type: 'ImagingStudy', included: found.patients, counted: [] }));
  return answer(deps, h, found);
}

/** The search, or the study within which it was asked and which is not shown; undefined where there is none. */
async function run(
  deps: QidoDeps,
  { caller }: Search,
  query: QidoQuery,
  tx: Searching['tx'],
): Promise<Found | { refused: JudgedStudy | undefined }> {
  const access = await deps.access.forCaller(tx, caller);
  const searching = { tx, access, caller, root: `${deps.config.publicUrl}/dicomweb` };
  if (query.studyInstanceUid === undefined) return searchAll(searching, query);
  const records = await findStudy(tx, access, caller.organizationId, {
    studyInstanceUid: query.studyInstanceUid,
    custodianId: query.custodianId,
  });
  const study = firstShown(access, records);
  return study ? searchWithin(searching, query, study) : { refused: refusedOf(access, records) };
}

/** Of the custodians who have the study, the one whose record WADO-RS retrieves, as far as it may be read. */
function firstShown(access: RequestAccess, records: readonly JudgedStudy[]): Shown | undefined {
  for (const { row } of records) {
    const record = shown(access, row);
    if (record) return record;
  }
  return undefined;
}

const refusedOf = (access: RequestAccess, [first]: readonly JudgedStudy[]): JudgedStudy | undefined =>
  first && { row: first.row, decision: access.decide('read', first.row) };

/** What searches by the patient looks at Patients. @throws Refusal 403 when the token's scope does not cover that; it is on record by then. */
async function assertScope(deps: QidoDeps, asked: Search, query: QidoQuery): Promise<void> {
  const types = ['ImagingStudy', ...(query.keys.some(isOfPatient) ? ['Patient'] : [])];
  const missing = types.find((type) => !scopeAllows(asked.caller.scope, type, 's'));
  if (missing === undefined) return;
  await deps.audit.commit([{ ...baseEntry(asked), outcome: 4, entity: [missing], detail: 'scope' }]);
  throw forbidden(`The scope of the token does not include searching ${missing}.`);
}

/** PostgreSQL's query_canceled: a search by what has no index is given up after the time limit of a statement. */
async function withinLimits<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if ((error as { code?: string }).code === '57014') throw tooCostly();
    throw error;
  }
}

/** PS3.18 section 10.6.3: 204 where there is nothing; headers tell what is left over, and what is withheld. */
function answer({ config }: QidoDeps, h: ResponseToolkit, found: Found): ResponseObject {
  const response =
    found.dataSets.length > 0
      ? h.response(JSON.stringify(found.dataSets)).header('content-type', 'application/dicom+json')
      : h.response().code(204);
  for (const warning of warningsOf(config.publicUrl, found)) response.header('warning', warning, { append: true });
  return response.header('cache-control', 'no-store');
}

const JSON_TYPES = /^(\*\/\*|application\/\*|application\/(dicom\+)?json)\s*(;|$)/i;

function assertAcceptable(accept: unknown): void {
  if (typeof accept !== 'string' || accept === '') return;
  const ranges = accept.slice(0, 1000).split(',');
  if (ranges.some((range) => JSON_TYPES.test(range.trim()))) return;
  const diagnostics = 'Results are given as application/dicom+json.';
  throw new Refusal(406, [{ severity: 'error', code: 'not-supported', diagnostics }]);
}

const baseEntry = (asked: Search) =>
  ({
    ...agentOf(asked.caller, asked.context),
    type: 'rest',
    subtype: 'search-type',
    action: 'E',
    query: queryText(asked),
  }) as const;

const refusalEntry = (asked: Search, { studyInstanceUid = '' }: QidoQuery, refused: JudgedStudy | undefined): AuditEntry => ({
  ...baseEntry(asked),
  ...studyOutcome(studyInstanceUid, refused),
});
