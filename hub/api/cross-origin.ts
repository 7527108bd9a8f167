import type { Lifecycle, Request, ResponseToolkit, RouteOptionsCors } from '@hapi/hapi';
import type { Config } from '../config.js';

type Origins = Pick<Config, 'webOrigins'>;

const METHODS = 'GET, HEAD, POST, PUT, DELETE';
const ASKED_HEADERS = ['Accept', 'Authorization', 'Content-Type', 'If-Match', 'If-None-Exist', 'If-None-Match', 'Prefer'];
const SHOWN_HEADERS = ['Content-Location', 'ETag', 'Last-Modified', 'Location', 'Retry-After', 'Warning', 'WWW-Authenticate'];
const SECONDS = 600;

/**
 * Pages of the origins that are listed may read answers of the hub (CORS, Fetch standard), others may not. A page shows its token itself; the browser
 * sends no cookie along.
 */
export const crossOrigin = ({ webOrigins }: Origins): RouteOptionsCors | false =>
  webOrigins.length > 0 && { origin: [...webOrigins], credentials: false, exposedHeaders: SHOWN_HEADERS };

/**
 * Answers a browser that asks before it sends a page's request (CORS preflight), which carries no token. hapi would answer itself, but not where a route
 * has an OPTIONS of its own.
 */
export const preflight =
  ({ webOrigins }: Origins) =>
  ({ method, headers }: Request, h: ResponseToolkit): Lifecycle.ReturnValue => {
    const { origin } = headers;
    if (method !== 'options' || headers['access-control-request-method'] === undefined || webOrigins.length === 0)
      return h.continue;
    const answer = h.response().code(204).header('vary', 'origin');
    if (typeof origin === 'string' && webOrigins.includes(origin))
      answer
        .header('access-control-allow-origin', origin)
        .header('access-control-allow-methods', METHODS)
        .header('access-control-allow-headers', ASKED_HEADERS.join(', '))
        .header('access-control-max-age', String(SECONDS));
    return answer.takeover();
  };
