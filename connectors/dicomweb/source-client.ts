import { SourceError } from '../connector.js';
import { createGate } from '../gate.js';
import { asSourceError, type Outbound, type OutboundReply, type OutboundRequest } from '../outbound.js';
import type { AccessTokens } from '../smart-backend.js';

export type Credentials = { kind: 'basic'; username: string; password: string } | { kind: 'bearer'; token: string };

export interface Timeouts {
  /** Until the headers of a reply are there, ms. */
  headersMs: number;
  /** Longest pause within a body, ms. */
  idleMs: number;
}

export interface ClientSettings {
  outbound: Outbound;
  auth?: Credentials;
  /** In the place of `auth`, for a server that gives tokens. */
  tokens?: AccessTokens;
  timeouts: Timeouts;
  /** PEM file of the authorities that are believed instead of the public ones. */
  tlsCa?: string;
  maxConcurrent: number;
  /** Largest JSON reply, bytes. */
  maxJsonBytes: number;
}

/** HTTP to one source, with its credentials, limits and circuit breaker. */
export interface SourceClient {
  /** The parsed JSON of a reply; undefined for 204 No Content. */
  json(url: URL, accept: string, signal: AbortSignal): Promise<unknown>;
  /** A reply whose body is still to be read. The source's place is held until the body ends. */
  open(url: URL, accept: string, signal: AbortSignal): Promise<OutboundReply>;
  /**
   * Sends a body and reads the JSON that is answered, undefined where none is. Statuses below 500 that are about what was sent come back as they
   * are, and 500 too; what is about the source as a whole is thrown.
   */
  post(url: URL, content: Content, signal: AbortSignal): Promise<{ status: number; json: unknown }>;
}

export interface Content {
  contentType: string;
  accept: string;
  parts: readonly Uint8Array[];
  /** Least time until the headers of the reply, ms: what was sent is worked on first. */
  headersMs: number;
}

/** Errors are SourceErrors with the code that the hub acts on; replies' bodies never appear in them. */
export function createSourceClient(settings: ClientSettings): SourceClient {
  const gate = createGate({ maxConcurrent: settings.maxConcurrent });
  const { headersMs, idleMs } = settings.timeouts;
  const ask = async (url: URL, request: OutboundRequest & { signal: AbortSignal }): Promise<OutboundReply> => {
    const { tokens } = settings;
    if (!tokens) return askWith(url, request, settings.auth);
    const token = await tokens.get();
    const reply = await askWith(url, request, { kind: 'bearer', token });
    if (reply.status !== 401) return reply;
    // it may have been revoked, or the server's clock runs ahead
    discard(reply);
    tokens.forget(token);
    return askWith(url, request, { kind: 'bearer', token: await tokens.get() });
  };
  const askWith = async (
    url: URL,
    request: OutboundRequest & { signal: AbortSignal },
    auth: Credentials | undefined,
  ): Promise<OutboundReply> => {
    const leave = await gate.enter(request.signal);
    try {
      const reply = await settings.outbound.request(url, {
        headersTimeoutMs: headersMs,
        idleTimeoutMs: idleMs,
        ca: settings.tlsCa,
        ...request,
        headers: { ...request.headers, ...authorization(auth) },
      });
      reply.body.once('close', () => leave(didAnswer(asSourceError(reply.body.errored, request.signal))));
      return reply;
    } catch (error) {
      leave(didAnswer(error));
      throw error;
    }
  };
  const open: SourceClient['open'] = async (url, accept, signal) => accepted(await ask(url, { headers: { accept }, signal }));
  return {
    open,
    async json(url, accept, signal) {
      const reply = await open(url, accept, signal);
      if (reply.status === 204) return discard(reply);
      if (!isJson(reply)) {
        discard(reply);
        throw new SourceError('bad-response', `The source answers '${mediaType(reply).slice(0, 80)}' where JSON is due.`);
      }
      return parse(await readBounded(reply, settings.maxJsonBytes, signal));
    },
    async post(url, { contentType, accept, parts, headersMs: least }, signal) {
      const reply = await ask(url, {
        method: 'POST',
        headers: { accept, 'content-type': contentType },
        body: parts,
        signal,
        headersTimeoutMs: Math.max(headersMs, least),
      });
      if (!isAboutContent(reply.status)) await accepted(reply);
      const text = await readBounded(reply, settings.maxJsonBytes, signal);
      return { status: reply.status, json: isJson(reply) ? parse(text) : undefined };
    },
  };
}

/** Bad Request, Conflict, Content Too Large, Unsupported Media Type, Unprocessable Content, and a server that failed over what it got. */
const isAboutContent = (status: number): boolean => [400, 409, 413, 415, 422, 500].includes(status);
const isJson = (reply: OutboundReply): boolean => /^application\/((dicom|fhir)\+)?json\b/i.test(mediaType(reply));

/** Whether the source did its part: it is not to blame for what was asked or given up. */
const didAnswer = (error: unknown) => !(error instanceof SourceError) || !['timeout', 'unreachable'].includes(error.code);

/** The Content-Type of a reply, or nothing. */
export const mediaType = ({ headers }: OutboundReply): string => String(headers['content-type'] ?? '');

function authorization(auth: Credentials | undefined): Record<string, string> {
  if (auth === undefined) return {};
  if (auth.kind === 'bearer') return { authorization: `Bearer ${auth.token}` };
  return { authorization: `Basic ${Buffer.from(`${auth.username}:${auth.password}`).toString('base64')}` };
}

async function accepted(reply: OutboundReply): Promise<OutboundReply> {
  const { status } = reply;
  if (status >= 200 && status < 300) return reply;
  discard(reply);
  if (status >= 300 && status < 400)
    throw new SourceError('bad-response', `The source redirects (${status}), which is not followed.`);
  if (status === 404 || status === 410) throw new SourceError('not-found', `The source has no such object (${status}).`);
  if (status === 401 || status === 403) throw new SourceError('refused', `The source refuses the hub's credentials (${status}).`);
  if (status === 429 || status === 503) throw new SourceError('unreachable', `The source is too busy (${status}).`);
  throw new SourceError('bad-response', `The source answers ${status}.`);
}

/** Gives up the rest of a reply, and with it the connection. */
function discard(reply: OutboundReply): undefined {
  reply.body.once('error', () => {});
  reply.body.destroy();
}

async function readBounded(reply: OutboundReply, limit: number, signal: AbortSignal): Promise<string> {
  const received: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of reply.body) {
      length += (chunk as Buffer).length;
      if (length > limit) throw new SourceError('bad-response', `The source's answer is longer than ${limit} bytes.`);
      received.push(chunk as Buffer);
    }
  } catch (error) {
    throw asSourceError(error, signal);
  }
  return Buffer.concat(received).toString('utf8');
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new SourceError('bad-response', 'The source answers what is not JSON.', { cause: error });
  }
}
