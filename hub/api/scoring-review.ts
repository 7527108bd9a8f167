import type { Request, ResponseObject, ResponseToolkit, Server } from '@hapi/hapi';
import type { Access } from '../access/access.js';
import { callerOfRequest } from '../access/authentication/bearer-scheme.js';
import { requestContext } from '../access/authentication/request-context.js';
import { Denial } from '../access/denial.js';
import { findRow } from '../access/find-row.js';
import { agentOf, decidedBy } from '../access/write-request.js';
import type { Audit, AuditEntry } from '../audit/vocabulary.js';
import type { Config } from '../config.js';
import { invalid, preconditionFailed, Refusal } from '../outcomes.js';
import { review } from '../scoring/review/review.js';
import { type Asked, reviewReport } from '../scoring/review/review-report.js';
import type { Models } from '../scoring/models.js';
import type { Database } from '../store/database.js';
import { render, type ResourceRow, VersionConflict } from '../store/resources.js';
import { asked, idOf } from './asked.js';

export interface ScoringReviewDeps {
  db: Database;
  access: Access;
  audit: Audit;
  config: Pick<Config, 'trustedProxy'>;
  models: Models;
}

const FHIR_JSON = 'application/fhir+json';

/** `POST /scoring/reports/{id}/review`: a physician's word on a machine's report. Done or refused, it is on record before it is answered. */
export function registerScoringReview(server: Server, deps: ScoringReviewDeps): void {
  server.route({
    method: 'POST',
    path: '/scoring/reports/{id}/review',
    options: { payload: { maxBytes: 256 * 1024 } },
    handler: (request, h) => take(deps, request, h),
  });
}

async function take(deps: ScoringReviewDeps, request: Request, h: ResponseToolkit): Promise<ResponseObject> {
  const word: Asked = {
    reportId: idOf(request),
    caller: callerOfRequest(request),
    context: requestContext(request, deps.config),
    version: versionIn(request),
    review: asked(review, request.payload),
  };
  const row = await reviewed(deps, word);
  return h.response(render(row)).type(FHIR_JSON).header('etag', `W/"${row.version}"`).header('cache-control', 'no-store');
}

async function reviewed(deps: ScoringReviewDeps, word: Asked): Promise<ResourceRow> {
  try {
    return await deps.db.transaction(async (tx) => reviewReport(deps, tx, await deps.access.forCaller(tx, word.caller), word));
  } catch (error) {
    const refusal = error instanceof VersionConflict ? preconditionFailed('The report was changed in the meantime.') : error;
    if (refusal instanceof Refusal && refusal.status < 500) await deps.audit.commit([await refusalEntry(deps, word, refusal)]);
    throw refusal;
  }
}

/** The version that was read: nobody decides on what he has not seen. @throws Refusal 400 where none is named */
function versionIn(request: Request): number {
  const [, version] = /^(?:W\/)?"(\d{1,9})"$/.exec(String(request.headers['if-match'] ?? '')) ?? [];
  if (version === undefined) throw invalid('If-Match names the version that was read, e.g. W/"1".', 'If-Match');
  return Number(version);
}

async function refusalEntry(
  deps: ScoringReviewDeps,
  { reportId, review: { decision }, caller, context }: Asked,
  refusal: Refusal,
): Promise<AuditEntry> {
  const about = await deps.db.snapshot(async (tx) => {
    const access = await deps.access.forCaller(tx, caller);
    const row = await findRow(tx, access, 'DiagnosticReport', reportId);
    if (!row) return { concealed: true };
    return { patientId: row.patient_id, custodianId: row.custodian_id, concealed: !access.decide('know', row).allowed };
  });
  return {
    ...agentOf(caller, context),
    ...about,
    ...(refusal instanceof Denial ? decidedBy(refusal.decision) : {}),
    type: 'scoring',
    subtype: `review-${decision}`,
    action: 'U',
    outcome: 4,
    entity: [`DiagnosticReport/${reportId}`],
    detail: refusal.issues[0]?.code,
  };
}
