import type { Request } from '@hapi/hapi';
import type { Config } from '../../config.js';
import type { RequestContext } from '../caller.js';

/** Where a request came from. Behind a trusted proxy that is the last address it forwarded for, the one that the proxy itself saw. */
export function requestContext(request: Request, config: Pick<Config, 'trustedProxy'>): RequestContext {
  const header = request.headers['x-forwarded-for'] as string | undefined;
  const forwarded = config.trustedProxy ? header?.split(',').at(-1)?.trim().slice(0, 64) : undefined;
  return { requestId: request.info.id, address: forwarded || request.info.remoteAddress };
}
