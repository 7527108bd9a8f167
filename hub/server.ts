import { readFileSync } from 'node:fs';
import Hapi, { type Request, type ResponseToolkit, type Server } from '@hapi/hapi';
import type { Logger } from 'pino';
import { crossOrigin, preflight } from './api/cross-origin.js';
import type { Config } from './config.js';
import { type Issue, notFound, outcome, Refusal, unavailable } from './outcomes.js';
import { LONGEST_PUSH_MS } from './dicomweb/stow-rs.js';
import { FHIR_JSON } from './fhir/register.js';
import { IntegrityFailure } from './store/key-ring.js';

/** An HTTP server with the manners that every route shares: TLS, bounds, headers, one log line a request, errors as OperationOutcome. */
export function createHttpServer(config: Config, log: Logger): Server {
  const server = Hapi.server({
    host: config.host,
    port: config.port,
    ...(config.tlsCert && config.tlsKey ? { tls: { cert: readFileSync(config.tlsCert), key: readFileSync(config.tlsKey) } } : {}),
    debug: false,
    compression: false,
    router: { stripTrailingSlash: true },
    routes: {
      payload: { maxBytes: config.maxBodyBytes, timeout: 30_000 },
      cors: crossOrigin(config),
      security: { hsts: config.production, noSniff: true, xframe: 'deny', referrer: 'no-referrer' },
      timeout: { server: false },
    },
  });
  server.listener.headersTimeout = 20_000;
  server.listener.requestTimeout = LONGEST_PUSH_MS;
  server.ext('onRequest', inTime);
  server.ext('onRequest', preflight(config));
  server.ext('onPreResponse', (request, h) => answer(request, h, log));
  server.events.on('response', (request) => logRequest(request, log));
  return server;
}

const LONGEST_REQUEST_MS = 60_000;

/** A request has arrived within a minute; only a push of objects, which is watched as it comes, may take longer. */
function inTime({ method, path, raw: { req } }: Request, h: ResponseToolkit) {
  if (method === 'post' && /^\/dicomweb\/studies(\/|$)/.test(path)) return h.continue;
  const timer = setTimeout(() => req.complete || req.destroy(), LONGEST_REQUEST_MS).unref();
  req.once('close', () => clearTimeout(timer));
  return h.continue;
}

/** Errors leave as OperationOutcome. A defect or an outage is logged once, and tells the caller nothing. */
function answer(request: Request, h: ResponseToolkit, log: Logger) {
  const response = request.response;
  if (!(response instanceof Error)) return h.continue;
  const refusal = refusalOf(response, request, log);
  const reply = h
    .response(JSON.stringify(outcome(refusal.issues)))
    .code(refusal.status)
    .type(FHIR_JSON)
    .header('cache-control', 'no-store');
  for (const [name, value] of Object.entries(refusal.headers)) reply.header(name, value);
  return reply;
}

/** Database states that mean "not now": connection lost, no answer, shutting down, too many connections, statement cancelled; no writes, no right or no table. */
const OUTAGES = /^(08|53|57|25006|42501|42P01)|^ECONN|^EPIPE|^ETIMEDOUT/;

function refusalOf(
  error: Error & { isBoom?: boolean; output?: { statusCode: number }; code?: string },
  request: Request,
  log: Logger,
): Refusal {
  if (error instanceof Refusal) return error;
  if (error instanceof IntegrityFailure) {
    log.fatal(
      { requestId: request.info.id, place: error.place },
      'a stored value was changed or its key is missing: nothing is shown',
    );
    return unavailable();
  }
  const status = error.output?.statusCode ?? 500;
  if (error.isBoom && status < 500) return fromHttp(status);
  log.error({ requestId: request.info.id, route: request.route.path, err: error }, 'request failed');
  if (OUTAGES.test(error.code ?? '') || /connection|terminat|timeout exceeded|read timeout/i.test(error.message))
    return unavailable();
  return new Refusal(500, [{ severity: 'error', code: 'exception', diagnostics: 'The request could not be handled.' }]);
}

const HTTP_ISSUES: Readonly<Record<number, Pick<Issue, 'code' | 'diagnostics'>>> = {
  401: { code: 'login', diagnostics: 'Authentication is required.' },
  403: { code: 'forbidden', diagnostics: 'Not allowed.' },
  405: { code: 'not-supported', diagnostics: 'The method is not offered here.' },
  408: { code: 'timeout', diagnostics: 'The body did not arrive in time.' },
  413: { code: 'too-long', diagnostics: 'The body is larger than is taken.' },
  415: { code: 'not-supported', diagnostics: 'The Content-Type is not taken here.' },
};

function fromHttp(status: number): Refusal {
  if (status === 404) return notFound();
  const issue = HTTP_ISSUES[status] ?? { code: 'invalid', diagnostics: 'The request is malformed.' };
  const headers: Record<string, string> = status === 401 ? { 'www-authenticate': 'Bearer realm="hub"' } : {};
  return new Refusal(status, [{ severity: 'error', ...issue }], headers);
}

/** One line a request: the route's pattern, never its values; no patient data, no token. */
function logRequest(request: Request, log: Logger): void {
  const response = request.response;
  const status = response instanceof Error ? 500 : response?.statusCode;
  const ms = (request.info.completed || Date.now()) - request.info.received;
  log.info({ requestId: request.info.id, method: request.method, route: request.route.path, status, ms }, 'request');
}
