import type { Request, ResponseObject, ResponseToolkit, Server } from '@hapi/hapi';
import { type RetrieveReply, SourceError } from '../../connectors/connector.js';
import { callerOfRequest } from '../access/authentication/bearer-scheme.js';
import { scopeAllows } from '../access/authentication/scopes.js';
import type { Config } from '../config.js';
import { PixelFailure } from '../imaging/pixels/failure.js';
import type { PixelRoom } from '../imaging/pixels/pixel-room.js';
import { type ConnectorFor, discard, open } from '../imaging/retrieve.js';
import { whileAllowed } from '../imaging/while-allowed.js';
import { notAcceptable, notFound, Refusal, sourceFailed, unavailable } from '../outcomes.js';
import { chosen } from './accept.js';
import { bulkData } from './answers/bulk-data.js';
import { frames } from './answers/frames.js';
import { instances } from './answers/instances.js';
import type { AnsweredKind, Answering } from './answers/kind.js';
import { metadata } from './answers/metadata.js';
import { rendered } from './answers/rendered.js';
import { thumbnail } from './answers/thumbnail.js';
import { authorized, isStillAllowed, outOfScope, type Released, type ReleaseDeps } from './release.js';
import { createStreamSlots, type StreamSlots } from '../access/stream-slots.js';
import { wadoRequest } from './wado-request.js';

export interface WadoDeps extends ReleaseDeps {
  config: Pick<Config, 'maxStreams' | 'trustedProxy' | 'publicUrl'>;
  connectorFor: ConnectorFor;
  room: PixelRoom;
}

/**
 * WADO-RS (PS3.18 section 10.4): studies, series, instances, frames, their metadata and bulk data, and pictures of them, streamed from the custodian's
 * archive and kept nowhere. Each retrieval, refused ones too, is audited before the first byte leaves.
 */
export function registerWadoRs(server: Server, deps: WadoDeps): void {
  const slots = createStreamSlots(deps.config.maxStreams);
  const route = (path: string, kind: AnsweredKind) => ({
    method: 'GET' as const,
    path: `/dicomweb/studies/{study}${path}`,
    handler: (request: Request, h: ResponseToolkit) => retrieve(deps, slots, request, h, kind),
  });
  const methods = (_request: Request, h: ResponseToolkit) => h.response().code(204).header('allow', 'GET, HEAD, OPTIONS');
  const levels = ['', '/series/{series}', '/series/{series}/instances/{instance}'];
  const ofFrames = `${levels[2]}/frames/{frames}`;
  server.route([
    ...levels.flatMap((level) => [
      route(level, instances),
      route(`${level}/metadata`, metadata),
      route(`${level}/rendered`, rendered),
      route(`${level}/thumbnail`, thumbnail),
    ]),
    route(ofFrames, frames),
    route(`${ofFrames}/rendered`, rendered),
    route(`${ofFrames}/thumbnail`, thumbnail),
    route(`${levels[2]}/bulkdata/{bulk*}`, bulkData),
    { method: 'OPTIONS', path: '/dicomweb/studies/{study}/{resource*}', handler: methods },
  ]);
}

/** Made once: a reason of its own for each retrieval that ends would cost more than its bytes. */
const GONE = new Error('the connection of the answer is closed');

async function retrieve(
  deps: WadoDeps,
  slots: StreamSlots,
  request: Request,
  h: ResponseToolkit,
  kind: AnsweredKind,
): Promise<ResponseObject> {
  const caller = callerOfRequest(request);
  const wanted = wadoRequest(request, kind);
  if (!scopeAllows(caller.scope, 'ImagingStudy', 'r')) throw await outOfScope(deps, request, caller, wanted);
  const release = slots.take(caller.id);
  // The slot is held, and the source's answer read, for as long as the connection of this answer is open.
  const gone = new AbortController();
  request.raw.res.once('close', () => {
    gone.abort(GONE);
    release();
  });
  const released = await authorized(deps, request, caller, wanted, kind.isRepresentative ?? false);
  const answering: Answering = {
    wanted,
    retrieval: released.retrieval,
    room: deps.room,
    signal: gone.signal,
    baseUrl: `${deps.config.publicUrl}/dicomweb`,
    ask: (representation, frames) => asked(deps, released, representation, frames, gone.signal),
  };
  // The archive is asked meanwhile; nothing of what it sends leaves before the retrieval is on record.
  const [, begun] = await Promise.all([
    deps.audit.commit([released.entry]),
    answered(deps, released, answering, kind, request.method === 'head'),
  ]);
  if (typeof begun === 'string') return h.response().code(200).header('content-type', begun).header('cache-control', 'no-store');
  const guarded = { ...begun, body: whileAllowed(begun.body, () => isStillAllowed(deps, caller, released), released.at) };
  return streamed(h, guarded, gone.signal);
}

/** The source's body. A caller who goes away ends it. @throws SourceError */
async function asked(
  { connectorFor }: WadoDeps,
  { retrieval }: Released,
  representation: Parameters<Answering['ask']>[0],
  frames: number[] | undefined,
  gone: AbortSignal,
): Promise<RetrieveReply> {
  const request = frames ? { ...retrieval.request, frames } : retrieval.request;
  const reply = await open(connectorFor, { ...retrieval, request }, representation, gone);
  // One that breaks off before it is read is found by whoever reads it.
  reply.body.on('error', () => undefined);
  if (gone.aborted) discard(reply);
  else gone.addEventListener('abort', () => discard(reply), { once: true });
  return reply;
}

/** The answer, once it has begun; of HEAD its media type. One that can't be given is on record too: what was released did not leave. */
async function answered(
  deps: WadoDeps,
  { entry }: Released,
  answering: Answering,
  kind: AnsweredKind,
  isHead: boolean,
): Promise<RetrieveReply | string> {
  try {
    const taken = chosen(answering.wanted.ranges, kind.fitting(answering));
    if (!taken) throw notAcceptable();
    const { type, framing } = taken.offer;
    if (isHead) return framing === 'single' ? type : `multipart/related; type="${type}"`;
    return await kind.answer(answering, taken);
  } catch (error) {
    const [refusal, detail] = refusalOf(error);
    await deps.audit.commit([{ ...entry, outcome: 8, detail }]);
    throw refusal;
  }
}

/** What the caller is told, and what is on record. Anything else than what is expected is thrown on. */
function refusalOf(error: unknown): [Refusal, string] {
  if (error instanceof Refusal) return [error, `status: ${error.status}`];
  if (error instanceof PixelFailure) return [refusedPixels(error), `pixels: ${error.code}`];
  if (!(error instanceof SourceError)) throw error;
  return [failedSource(error), `source: ${error.code}`];
}

function failedSource({ code }: SourceError): Refusal {
  if (code === 'not-found') return notFound();
  if (code === 'timeout') return sourceFailed(504, 'The archive of the custodian does not answer in time.');
  return sourceFailed(502, 'The archive of the custodian does not answer as it should.');
}

function refusedPixels({ code }: PixelFailure): Refusal {
  if (code === 'no-such-part') return notFound();
  if (code === 'busy') return unavailable();
  if (code === 'unsupported') return notAcceptable("The object can't be answered in the media types of the Accept header.");
  if (code === 'too-large') return notAcceptable('The object is too large to be answered otherwise than as it is stored.');
  return sourceFailed(502, "The archive of the custodian holds an object that can't be decoded.");
}

/** A source that breaks off, or a revocation, breaks the answer off, so that no half study looks whole. */
function streamed(h: ResponseToolkit, { contentType, contentLength, body }: RetrieveReply, gone: AbortSignal): ResponseObject {
  const end = (): void => void body.once('error', () => undefined).destroy();
  if (gone.aborted) end();
  else gone.addEventListener('abort', end, { once: true });
  const answer = h.response(body).header('content-type', contentType).header('cache-control', 'no-store');
  // A length that is known spares the framing of chunks.
  return contentLength === undefined ? answer : answer.header('content-length', String(contentLength));
}
