import type { Request, ResponseObject, ResponseToolkit, Server } from '@hapi/hapi';
import { extensions } from '../../fhir-profiles/codes.js';
import type { Access } from '../access/access.js';
import { callerOfRequest } from '../access/authentication/bearer-scheme.js';
import { requestContext } from '../access/authentication/request-context.js';
import { scopeAllows } from '../access/authentication/scopes.js';
import type { Caller } from '../access/caller.js';
import type { RequestAccess } from '../access/decision.js';
import { denied } from '../access/denial.js';
import { findRow } from '../access/find-row.js';
import { outcomeOf, type SeenRecord } from '../access/seen-record.js';
import { agentOf } from '../access/write-request.js';
import type { Audit, AuditEntry } from '../audit/vocabulary.js';
import type { Config } from '../config.js';
import { conflict, notFound } from '../outcomes.js';
import { annotationsOf } from '../scoring/annotations.js';
import { findScoreRecord, type ScoreRecord } from '../scoring/score-record.js';
import { isOfScoredPatient } from '../scoring/scored-patient.sql.js';
import { documentOf } from '../scoring/structured-report/documents.js';
import type { Verdict } from '../scoring/verdict/verdict.js';
import { findVerdicts } from '../scoring/verdict/verdicts.sql.js';
import type { Database, Queryable } from '../store/database.js';
import { type ResourceRow, toResource } from '../store/resources.js';
import { idOf } from './asked.js';
import type { components } from './openapi.generated.js';

type Annotations = components['schemas']['Annotations'];

export interface ScoringResultsDeps {
  db: Database;
  access: Access;
  audit: Audit;
  config: Pick<Config, 'trustedProxy'>;
}

/** `/scoring/reports/{id}`: a published score in other forms than FHIR, for whoever may read its DiagnosticReport. */
export function registerScoringResults(server: Server, deps: ScoringResultsDeps): void {
  const path = '/scoring/reports/{id}';
  server.route([
    { method: 'GET', path: `${path}/structured-report`, handler: (request, h) => asStructuredReport(deps, request, h) },
    { method: 'GET', path: `${path}/annotations`, handler: (request, h) => asAnnotations(deps, request, h) },
  ]);
}

/**
 * The DICOM document that stands: of what the model said, of what a physician has left of it, or that he rejected it. Who the patient is stands in it for those alone
 * who may read the Patient: to have a study scored is not to know whose it is. Nor does it name anybody when the report is another patient's by now than the images
 * that were scored said.
 */
async function asStructuredReport(deps: ScoringResultsDeps, request: Request, h: ResponseToolkit): Promise<ResponseObject> {
  const asksPatient = async (access: RequestAccess, tx: Queryable, row: ResourceRow, caller: Caller) =>
    (await isOfScoredPatient(tx, row.id, row.patient_id)) &&
    (await mayAlso(access, tx, caller, 'read', 'Patient', row.patient_id));
  const { score, more } = await released(deps, request, asksPatient, (named) => `structured report${named ? '' : ', unnamed'}`);
  const document = documentOf(score.record, score.verdict, more);
  if (!document) throw notFound();
  return h
    .response(document.bytes)
    .type('application/dicom')
    .header('content-disposition', `attachment; filename="${document.sopInstanceUid}.dcm"`)
    .header('cache-control', 'no-store');
}

/** Boxes stand in the Observations too; a heat map shows something of the pixels, and is for those who may retrieve them. */
async function asAnnotations(deps: ScoringResultsDeps, request: Request, h: ResponseToolkit): Promise<ResponseObject> {
  const asksPixels = (access: RequestAccess, tx: Queryable, row: ResourceRow, caller: Caller) =>
    mayAlso(access, tx, caller, 'retrieve', 'ImagingStudy', studyOf(row));
  const { score, more } = await released(deps, request, asksPixels, (maps) => `annotations${maps ? '' : ', without heat maps'}`);
  const annotations: Annotations = annotationsOf(score.record, score, score.verdict, more);
  return h.response(annotations).header('cache-control', 'no-store');
}

const studyOf = (report: ResourceRow): string =>
  (JSON.parse(report.content) as { imagingStudy?: { reference: string }[] }).imagingStudy?.[0]?.reference.split('/')[1] ?? '';

type Further = (access: RequestAccess, tx: Queryable, report: ResourceRow, caller: Caller) => Promise<boolean>;

/** A published score as it stands at one instant. */
interface StandingScore {
  record: ScoreRecord;
  /** The latest word of a physician. */
  verdict: Verdict | undefined;
  status: Annotations['status'];
  supersededBy?: string;
}

/**
 * The score behind a report that the caller may read, and whether he may have the rest of it too. What leaves is on record before.
 * @throws Refusal 404 or 403, on record as well; 404 for a report that no model made.
 */
async function released(
  deps: ScoringResultsDeps,
  request: Request,
  further: Further,
  inWords: (more: boolean) => string,
): Promise<{ score: StandingScore; more: boolean }> {
  const caller = callerOfRequest(request);
  const id = idOf(request);
  const seen = await deps.db.snapshot(async (tx) => {
    const access = await deps.access.forCaller(tx, caller);
    const row = await findRow(tx, access, 'DiagnosticReport', id);
    if (!row) return undefined;
    const decision = access.decide('read', row);
    if (!decision.allowed) return { row, decision, more: false };
    return { row, decision, more: await further(access, tx, row, caller), score: await standingScore(deps, tx, row) };
  });
  await deps.audit.commit([
    { ...entryOf(deps, request, caller, id, seen), ...(seen?.decision.allowed ? { detail: inWords(seen.more) } : {}) },
  ]);
  if (!seen) throw notFound();
  if (!seen.decision.allowed) throw denied(seen.row, seen.decision);
  if (!seen.score) throw notFound();
  assertKnown(seen.score);
  return { score: seen.score, more: seen.more };
}

async function standingScore({ db }: ScoringResultsDeps, tx: Queryable, row: ResourceRow): Promise<StandingScore | undefined> {
  const record = await findScoreRecord(db, tx, row.id);
  if (!record) return undefined;
  const { status, extension = [] } = toResource(row);
  const by: { valueReference: { reference: string } } | undefined = extension.find(
    ({ url }: { url: string }) => url === extensions.supersededBy,
  );
  return {
    record,
    verdict: (await findVerdicts(db, tx, row.id)).at(-1),
    status,
    ...(by ? { supersededBy: by.valueReference.reference } : {}),
  };
}

/** DiagnosticReport.status that a word leaves. */
const LEFT_BY: Readonly<Record<Verdict['decision'], readonly string[]>> = {
  accept: ['final', 'corrected'],
  correct: ['corrected'],
  reject: ['entered-in-error'],
};

/**
 * @throws Refusal 409 where the report is not as the model or a kept word left it: a correction of long ago, of which nothing but the resources is left, or a report that was
 * withdrawn because its study is another patient's.
 */
function assertKnown({ status, verdict }: StandingScore): void {
  if ((verdict ? LEFT_BY[verdict.decision] : ['preliminary', 'final']).includes(status)) return;
  throw conflict(`The report is ${status}: what stands is in the DiagnosticReport itself.`, 'DiagnosticReport.status');
}

async function mayAlso(
  access: RequestAccess,
  tx: Queryable,
  caller: Caller,
  action: 'read' | 'retrieve',
  type: string,
  id: string,
): Promise<boolean> {
  if (!scopeAllows(caller.scope, type, 'r')) return false;
  const row = await findRow(tx, access, type, id);
  return row !== undefined && access.decide(action, row).allowed;
}

const entryOf = (deps: ScoringResultsDeps, request: Request, caller: Caller, id: string, seen: SeenRecord): AuditEntry => ({
  ...agentOf(caller, requestContext(request, deps.config)),
  type: 'rest',
  subtype: 'read',
  action: 'R',
  query: request.path,
  entity: [`DiagnosticReport/${id}`],
  ...outcomeOf(seen),
});
