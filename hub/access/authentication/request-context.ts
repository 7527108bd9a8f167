import type { Request } from '@hapi/hapi';
import type { Config } from '../../config.js';
import type { RequestContext } from '../caller.js';

/** Where a request came from. Behind a trusted proxy that is the last address it forwarded for, the one that the proxy itself saw. */
export function requestContext(request: Request, config: Pick<Config, 'trustedProxy'>): RequestContext {
  const forwarded = config.trustedProxy ? request.headers['x-forwarded-for']?.split(',').at(-1)?.trim() : undefined;
  return { requestId: request.info.id, address: forwarded || request.info.remoteAddress };
}
