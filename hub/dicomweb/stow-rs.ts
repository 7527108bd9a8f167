import type { Readable } from 'node:stream';
import type { Request, ResponseObject, ResponseToolkit, Server } from '@hapi/hapi';
import type { Connector } from '../../connectors/connector.js';
import { SourceError } from '../../connectors/connector.js';
import { callerOfRequest } from '../access/authentication/bearer-scheme.js';
import { requestContext } from '../access/authentication/request-context.js';
import { scopeAllows } from '../access/authentication/scopes.js';
import type { Caller } from '../access/caller.js';
import type { Access } from '../access/access.js';
import type { Decision } from '../access/decision.js';
import { deniedInGeneral } from '../access/denial.js';
import { agentOf, decidedBy } from '../access/write-request.js';
import type { Audit, AuditEntry } from '../audit/vocabulary.js';
import type { Config } from '../config.js';
import { archiveOf } from '../ingest/push/archive-of.js';
import { type Archive, type Pushed, pushObjects } from '../ingest/push/push-objects.js';
import type { TakeDeps } from '../ingest/take-change.js';
import { forbidden, Refusal, sourceFailed } from '../outcomes.js';
import type { Queryable } from '../store/database.js';
import { sql } from '../store/sql.js';
import { acceptedRanges, chosen } from './accept.js';
import { createStreamSlots, type StreamSlots } from '../access/stream-slots.js';
import { type PushLimits, pushedObjects } from './stow/pushed-objects.js';
import { storeInstancesResponse } from './stow/store-instances-response.js';
import { uid } from './wado-request.js';

export interface StowDeps extends TakeDeps {
  access: Access;
  audit: Audit;
  config: Pick<Config, 'publicUrl' | 'trustedProxy' | 'maxObjectBytes' | 'maxPushes'>;
  connectorFor: (connectorId: string) => Connector | undefined;
}

const MOST_OBJECTS = 20_000;
const LONGEST_PAUSE_MS = 30_000;
/** A push may take so long, other requests may not (`createHttpServer`). */
export const LONGEST_PUSH_MS = 3_600_000;

/**
 * STOW-RS (PS3.18 section 10.5): a hospital's system pushes objects, which its own archive keeps; the hub keeps none. The answer comes when they are
 * kept and indexed.
 */
export function registerStowRs(server: Server, deps: StowDeps): void {
  const slots = createStreamSlots(deps.config.maxPushes);
  const route = (path: string) => ({
    method: 'POST' as const,
    path: `/dicomweb/studies${path}`,
    options: { payload: { output: 'stream', parse: false, maxBytes: Number.MAX_SAFE_INTEGER, timeout: false } as const },
    handler: (request: Request, h: ResponseToolkit) => storing(deps, slots, request, h),
  });
  server.route([route(''), route('/{study}')]);
}

/** Whatever is refused, the sender need not send the rest: the connection ends with the answer. */
async function storing(deps: StowDeps, slots: StreamSlots, request: Request, h: ResponseToolkit): Promise<ResponseObject> {
  try {
    return await store(deps, slots, request, h);
  } catch (error) {
    if (error instanceof Refusal) throw new Refusal(error.status, error.issues, { ...error.headers, connection: 'close' });
    request.raw.res.setHeader('connection', 'close');
    throw error;
  }
}

async function store(deps: StowDeps, slots: StreamSlots, request: Request, h: ResponseToolkit): Promise<ResponseObject> {
  const caller = callerOfRequest(request);
  const { study } = request.params as Record<string, string | undefined>;
  const studyInstanceUid = study === undefined ? undefined : uid(study, 'study');
  const contentType = assertMediaTypes(request);
  const decision = await authorized(deps, request, caller);
  const archive = await archiveOf(deps.db, deps.connectorFor, caller.organizationId);
  // each holds an object in memory
  const release = slots.take('push');
  request.raw.res.once('close', release);
  const limits = {
    objectBytes: deps.config.maxObjectBytes,
    objects: MOST_OBJECTS,
    idleMs: LONGEST_PAUSE_MS,
    totalMs: LONGEST_PUSH_MS,
  };
  const objects = pushedObjects(contentType, request.payload as Readable, limits satisfies PushLimits);
  const pushed = await pushAll(deps, request, caller, archive, { objects, studyInstanceUid }, decision);
  const retrieval = (path: string): string =>
    `${deps.config.publicUrl}/dicomweb/studies/${path}?custodian=${caller.organizationId}`;
  return h
    .response(JSON.stringify(storeInstancesResponse(pushed, retrieval)))
    .code(statusOf(pushed))
    .header('content-type', 'application/dicom+json')
    .header('cache-control', 'no-store');
}

/** PS3.18 table 10.5.3-1: 200 for all, 202 for some, or with warnings, 409 for none. */
export function statusOf(pushed: readonly Pushed[]): number {
  const failed = pushed.filter(({ failure }) => failure !== undefined).length;
  if (failed === pushed.length) return 409;
  return failed > 0 || pushed.some(({ warning }) => warning !== undefined) ? 202 : 200;
}

const MULTIPART = /^multipart\/related\s*;/i;
const TYPE = /;\s*type\s*=\s*(?:"([^"]*)"|([^\s;]+))/i;

/** @throws Refusal 415 for another message than of application/dicom, 406 where the answer may not be DICOM JSON. */
function assertMediaTypes({ headers }: Request): string {
  const contentType = String(headers['content-type'] ?? '').slice(0, 1000);
  const [, quoted, token] = TYPE.exec(contentType) ?? [];
  if (!MULTIPART.test(contentType) || (quoted ?? token)?.toLowerCase() !== 'application/dicom') {
    const diagnostics = 'Objects are sent as multipart/related; type="application/dicom".';
    throw new Refusal(415, [{ severity: 'error', code: 'not-supported', diagnostics }]);
  }
  const offers = ['application/dicom+json', 'application/json'].map((type) => ({ type, framing: 'single' as const }));
  if (chosen(acceptedRanges(headers.accept as string | undefined), offers)) return contentType;
  throw new Refusal(406, [
    { severity: 'error', code: 'not-supported', diagnostics: 'It is answered in application/dicom+json.' },
  ]);
}

/** Who may write ImagingStudy may push its objects. @throws Refusal 403; it is on record by then. */
async function authorized(deps: StowDeps, request: Request, caller: Caller): Promise<Decision> {
  const access = await deps.access.forCaller(deps.db, caller);
  const decision = access.decideGeneral('write', 'ImagingStudy');
  const isInScope = scopeAllows(caller.scope, 'ImagingStudy', 'c') && scopeAllows(caller.scope, 'ImagingStudy', 'u');
  if (decision.allowed && isInScope && caller.organizationId !== '') return decision;
  const entity = ['ImagingStudy'];
  const detail = decision.allowed ? 'scope' : decision.reason;
  await deps.audit.commit([{ ...baseEntry(deps, request, caller), ...decidedBy(decision), outcome: 4, entity, detail }]);
  if (!decision.allowed) throw deniedInGeneral(decision, `The role ${caller.role} does not push objects for this purpose.`);
  throw forbidden('The scope of the token does not include creating and updating ImagingStudy.');
}

/** What was done is on record also where the rest failed. */
async function pushAll(
  deps: StowDeps,
  request: Request,
  caller: Caller,
  archive: Archive,
  given: { objects: AsyncIterable<Buffer>; studyInstanceUid: string | undefined },
  decision: Decision,
): Promise<Pushed[]> {
  const { requestId } = requestContext(request, deps.config);
  const origin = { custodianId: caller.organizationId, connectorId: archive.connectorId, requestId };
  const pushed: Pushed[] = [];
  try {
    for await (const one of pushObjects(deps, origin, archive, given, new AbortController().signal)) pushed.push(one);
    return pushed;
  } catch (error) {
    if (!(error instanceof SourceError)) throw error;
    throw sourceFailed(error.code === 'timeout' ? 504 : 502, 'The archive of the organization does not keep objects now.');
  } finally {
    await deps.audit.commit(await entriesOf(deps, request, caller, pushed, decision));
  }
}

/** One entry for each study, of its patient; one for what is of no study. */
async function entriesOf(
  deps: StowDeps,
  request: Request,
  caller: Caller,
  pushed: readonly Pushed[],
  decision: Decision,
): Promise<AuditEntry[]> {
  const base = { ...baseEntry(deps, request, caller), ...decidedBy(decision), custodianId: caller.organizationId };
  const byStudy = new Map<string, Pushed[]>();
  for (const one of pushed) {
    const uidOfStudy = one.studyInstanceUid ?? '';
    byStudy.set(uidOfStudy, [...(byStudy.get(uidOfStudy) ?? []), one]);
  }
  const known = await claimsOf(deps.db, caller.organizationId, [...byStudy.keys()]);
  const entries = [...byStudy].map(([studyUid, objects]): AuditEntry => {
    const failed = objects.filter(({ failure }) => failure !== undefined).length;
    const claim = known.get(studyUid);
    return {
      ...base,
      outcome: failed === objects.length ? 4 : 0,
      ...(claim ? { patientId: claim.patientId } : {}),
      entity: claim ? [`ImagingStudy/${claim.studyId}`] : studyUid === '' ? ['ImagingStudy'] : [`urn:oid:${studyUid}`],
      detail: `${objects.length - failed} objects stored, ${failed} refused`,
    };
  });
  return entries.length > 0 ? entries : [{ ...base, outcome: 4, entity: ['ImagingStudy'], detail: 'nothing stored' }];
}

async function claimsOf(
  on: Queryable,
  custodianId: string,
  uids: readonly string[],
): Promise<Map<string, { patientId: string; studyId: string }>> {
  const rows = await on.query<{ uid: string; patientId: string; studyId: string }>(sql`
    select study_instance_uid as uid, patient_id as "patientId", study_id as "studyId" from study_claim
    where custodian_id = ${custodianId} and study_instance_uid = any(${uids}::text[])`);
  return new Map(rows.map((row) => [row.uid, row]));
}

const baseEntry = (deps: StowDeps, request: Request, caller: Caller) =>
  ({
    ...agentOf(caller, requestContext(request, deps.config)),
    type: 'rest',
    subtype: 'store',
    action: 'C',
    query: request.path,
  }) as const;
