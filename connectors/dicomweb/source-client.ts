import { SourceError } from '../connector.js';
import { createGate } from '../gate.js';
import { asSourceError, type Outbound, type OutboundReply } from '../outbound.js';

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
  timeouts: Timeouts;
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
}

/** Errors are SourceErrors with the code that the hub acts on; replies' bodies never appear in them. */
export function createSourceClient(settings: ClientSettings): SourceClient {
  const gate = createGate({ maxConcurrent: settings.maxConcurrent });
  const open: SourceClient['open'] = async (url, accept, signal) => {
    const leave = await gate.enter(signal);
    try {
      const reply = await settings.outbound.request(url, {
        headers: { accept, ...authorization(settings.auth) },
        signal,
        headersTimeoutMs: settings.timeouts.headersMs,
        idleTimeoutMs: settings.timeouts.idleMs,
      });
      reply.body.once('close', () => leave(didAnswer(asSourceError(reply.body.errored, signal))));
      return await accepted(reply);
    } catch (error) {
      leave(didAnswer(error));
      throw error;
    }
  };
  return {
    open,
    async json(url, accept, signal) {
      const reply = await open(url, accept, signal);
      if (reply.status === 204) return discard(reply);
      if (!/^application\/(dicom\+)?json\b/i.test(mediaType(reply))) {
        discard(reply);
        throw new SourceError('bad-response', `The source answers '${mediaType(reply).slice(0, 80)}' where JSON is due.`);
      }
      return parse(await readBounded(reply, settings.maxJsonBytes, signal));
    },
  };
}

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
