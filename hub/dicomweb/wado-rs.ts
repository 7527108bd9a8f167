import { systems } from '../../fhir-profiles/codes.js';
import type { Request, ResponseObject, ResponseToolkit, Server } from '@hapi/hapi';
import { type RetrieveReply, SourceError } from '../../connectors/connector.js';
import { callerOfRequest } from '../access/authentication/bearer-scheme.js';
import { requestContext } from '../access/authentication/request-context.js';
import { scopeAllows } from '../access/authentication/scopes.js';
import type { Caller } from '../access/caller.js';
import { asCaller, asRemembered } from '../access/as-caller.js';
import type { Access, RequestAccess, RowWithEvidence } from '../access/decision.js';
import { denied } from '../access/denial.js';
import { agentOf, decidedBy } from '../access/write-request.js';
import type { Audit, AuditEntry } from '../audit/vocabulary.js';
import type { Config } from '../config.js';
import { findStudy, judgedStudy, type JudgedStudy } from '../imaging/find-study.js';
import {
  type ConnectorFor,
  discard,
  locate,
  locateInPart,
  open,
  type Retrieval,
  type Unretrievable,
  type Wanted,
} from '../imaging/retrieve.js';
import { whileAllowed } from '../imaging/while-allowed.js';
import { forbidden, notFound, notSupported, Refusal, sourceFailed } from '../outcomes.js';
import type { Database, Queryable } from '../store/database.js';
import { columns } from '../store/resources.js';
import { type Sql, sql } from '../store/sql.js';
import { createStreamSlots, type StreamSlots } from './streams.js';
import { type WadoRequest, wadoRequest } from './wado-request.js';

export interface WadoDeps {
  db: Database;
  access: Access;
  audit: Audit;
  config: Pick<Config, 'maxStreams' | 'trustedProxy'>;
  connectorFor: ConnectorFor;
}

/**
 * WADO-RS (PS3.18 section 10.4): studies, series, instances, frames and their metadata, streamed from the custodian's archive and kept
 * nowhere. Each retrieval, refused ones too, is audited before the first byte leaves.
 */
export function registerWadoRs(server: Server, deps: WadoDeps): void {
  const slots = createStreamSlots(deps.config.maxStreams);
  const route = (path: string, representation: WadoRequest['representation']) => ({
    method: 'GET' as const,
    path: `/dicomweb/studies/{study}${path}`,
    handler: (request: Request, h: ResponseToolkit) => retrieve(deps, slots, request, h, representation),
  });
  server.route([
    route('', 'instances'),
    route('/metadata', 'metadata'),
    route('/series/{series}', 'instances'),
    route('/series/{series}/metadata', 'metadata'),
    route('/series/{series}/instances/{instance}', 'instances'),
    route('/series/{series}/instances/{instance}/metadata', 'metadata'),
    route('/series/{series}/instances/{instance}/frames/{frames}', 'frames'),
  ]);
}

async function retrieve(
  deps: WadoDeps,
  slots: StreamSlots,
  request: Request,
  h: ResponseToolkit,
  representation: WadoRequest['representation'],
): Promise<ResponseObject> {
  const caller = callerOfRequest(request);
  const wanted = wadoRequest(request, representation);
  if (!scopeAllows(caller.scope, 'ImagingStudy', 'r')) throw await outOfScope(deps, request, caller, wanted);
  const release = slots.take(caller.id);
  // The slot is held, and the source's answer read, for as long as the connection of this answer is open.
  const gone = new AbortController();
  request.raw.res.once('close', () => {
    gone.abort();
    release();
  });
  const released = await authorized(deps, request, caller, wanted);
  const reply = await opened(deps, released, gone.signal);
  const guarded = { ...reply, body: whileAllowed(reply.body, () => isStillAllowed(deps, caller, released), released.at) };
  return streamed(h, guarded, gone.signal);
}

/** What was released, when (`Date.now()`), and how that stands in the audit. */
interface Released {
  retrieval: Retrieval;
  studyId: string;
  at: number;
  entry: AuditEntry;
}

/** The policy as it stands now, in one statement as long as no fact about the caller changed. Its refusal is on record before the stream ends. */
async function isStillAllowed(deps: WadoDeps, caller: Caller, { retrieval, studyId, entry }: Released): Promise<boolean> {
  const current = (access: RequestAccess): Sql =>
    sql`select ${columns}, ${access.evidence} from resource r where r.type = 'ImagingStudy' and r.id = ${studyId} and not r.deleted`;
  const { access, rows } =
    (await asRemembered<RowWithEvidence>(deps.db, deps.access, caller, current)) ??
    (await deps.db.snapshot((tx) => asCaller<RowWithEvidence>(tx, deps.access, caller, current)));
  const seen = rows[0] && judgedStudy(access, rows[0]);
  const isOpen = (series: string): boolean => !seen?.series || seen.series.includes(series);
  if (seen?.decision.allowed && retrieval.request.instances.every((i) => isOpen(i.seriesInstanceUid))) return true;
  const why = seen ? (seen.decision.reason ?? 'in-part') : 'not-found';
  await deps.audit.commit([{ ...entry, ...(seen ? decidedBy(seen.decision) : {}), outcome: 4, detail: `revoked: ${why}` }]);
  return false;
}

/** What the caller may retrieve and a source has. @throws Refusal 403 or 404; what was asked is on record by then. */
async function authorized(deps: WadoDeps, request: Request, caller: Caller, wanted: WadoRequest): Promise<Released> {
  const { custodianId, ...scope } = wanted;
  const at = Date.now();
  const { seen, found } = await deps.db.snapshot(async (tx) => {
    const access = await deps.access.forCaller(tx, caller);
    const studies = await findStudy(tx, access, caller.organizationId, wanted.studyInstanceUid, custodianId);
    return firstRetrievable(tx, studies, scope);
  });
  const entry = entryOf(deps, request, caller, wanted.studyInstanceUid, seen, found);
  await deps.audit.commit([entry]);
  if (!seen) throw notFound();
  if (!seen.decision.allowed || found === undefined) throw denied(seen.row, seen.decision);
  if (typeof found === 'string') throw unretrievable(found);
  return { retrieval: found, studyId: seen.row.id, at, entry };
}

interface Choice {
  seen: JudgedStudy | undefined;
  /** Undefined when the caller may not retrieve the study. */
  found: Retrieval | Unretrievable | undefined;
}

/** Of the custodians whose record the caller may retrieve, the first whose archive has it; otherwise the first record there is. */
async function firstRetrievable(
  tx: Queryable,
  studies: readonly JudgedStudy[],
  scope: Omit<Wanted, 'custodianId'>,
): Promise<Choice> {
  let first: Choice = { seen: studies[0], found: undefined };
  for (const seen of studies.filter(({ decision }) => decision.allowed)) {
    const of = { ...scope, custodianId: seen.row.custodian_id };
    const found = seen.series ? await locateInPart(tx, of, seen.series) : await locate(tx, of);
    if (typeof found !== 'string') return { seen, found };
    if (first.found === undefined) first = { seen, found };
  }
  return first;
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

/** The source's answer. One that fails to give it is on record too: what was released did not leave. */
async function opened(deps: WadoDeps, { retrieval, entry }: Released, signal: AbortSignal): Promise<RetrieveReply> {
  try {
    return await open(deps.connectorFor, retrieval, signal);
  } catch (error) {
    if (!(error instanceof SourceError)) throw error;
    await deps.audit.commit([{ ...entry, outcome: 8, detail: `source: ${error.code}` }]);
    if (error.code === 'not-found') throw notFound();
    if (error.code === 'timeout') throw sourceFailed(504, 'The archive of the custodian does not answer in time.');
    throw sourceFailed(502, 'The archive of the custodian does not answer as it should.');
  }
}

/** The source's body as it comes. A caller who goes away ends it; a source that breaks off, or a revocation, breaks the answer off, so that no half study looks whole. */
function streamed(h: ResponseToolkit, reply: RetrieveReply, gone: AbortSignal): ResponseObject {
  if (gone.aborted) discard(reply);
  else gone.addEventListener('abort', () => discard(reply), { once: true });
  return h.response(reply.body).header('content-type', reply.contentType).header('cache-control', 'no-store');
}

async function outOfScope(deps: WadoDeps, request: Request, caller: Caller, { studyInstanceUid }: WadoRequest): Promise<Refusal> {
  await deps.audit.commit([{ ...entryOf(deps, request, caller, studyInstanceUid, undefined, undefined), detail: 'scope' }]);
  return forbidden('The scope of the token does not include reading ImagingStudy.');
}

const unretrievableAs = (found: Retrieval | Unretrievable | undefined): string =>
  typeof found === 'string' ? found : 'not-retrievable';

function entryOf(
  deps: WadoDeps,
  request: Request,
  caller: Caller,
  uid: string,
  seen: JudgedStudy | undefined,
  found: Retrieval | Unretrievable | undefined,
): AuditEntry {
  const base = {
    ...agentOf(caller, requestContext(request, deps.config)),
    type: 'rest',
    subtype: 'retrieve',
    action: 'R',
    query: request.path,
  } as const;
  const named = [`urn:oid:${uid}`];
  if (!seen) return { ...base, outcome: 4, entity: named, detail: 'not-found' };
  const { row, decision } = seen;
  const isReleased = decision.allowed && typeof found === 'object';
  return {
    ...base,
    outcome: isReleased ? 0 : 4,
    patientId: row.patient_id,
    custodianId: row.custodian_id,
    concealed: !decision.mayKnow,
    entity: decision.mayKnow ? [`ImagingStudy/${row.id}`] : named,
    ...decidedBy(decision),
    detail: isReleased ? undefined : decision.allowed ? unretrievableAs(found) : decision.reason,
  };
}
