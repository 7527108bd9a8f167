import type { Server } from '@hapi/hapi';
import pino from 'pino';
import type { Caller } from '../../../hub/access/caller.js';
import type { Access } from '../../../hub/access/access.js';
import { loadConfig } from '../../../hub/config.js';
import { unauthenticated } from '../../../hub/outcomes.js';
import { createHttpServer } from '../../../hub/server.js';
import { raw } from '../../../hub/store/sql.js';

export const officer: Caller = {
  id: 'Account/officer',
  kind: 'person',
  name: '赵敏',
  organizationId: 'commission',
  role: 'commission-officer',
  purposeOfUse: 'PUBHLTH',
  clientId: 'console',
  scope: '',
  authenticatedAt: 0,
};

/** A server with the real manners whose callers are taken at their word: `Authorization: Bearer <JSON of the Caller>`. */
export function serverForCallers(): Server {
  const server = createHttpServer(loadConfig({}, { port: 0 }), pino({ level: 'silent' }));
  server.auth.scheme('at-their-word', () => ({
    authenticate: (request, h) => {
      const token = String(request.headers.authorization ?? '').replace(/^Bearer /, '');
      if (!token) throw unauthenticated();
      return h.authenticated({ credentials: { caller: JSON.parse(decodeURIComponent(token)) } });
    },
  }));
  server.auth.strategy('bearer', 'at-their-word');
  server.auth.default('bearer');
  return server;
}

export const as = (caller: Caller): string => `Bearer ${encodeURIComponent(JSON.stringify(caller))}`;

/** A policy that lets the health commission run reports, and nobody do anything else. */
export const reportsForTheCommission: Access = {
  remembered: () => undefined,
  whatIf: async () => ({ decide: () => ({ allowed: false, mayKnow: false, rule: 'default', evidence: [] }) }),
  forCaller: async (_tx, caller) => ({
    filter: () => raw('false'),
    ways: () => [],
    evidence: raw('null as evidence'),
    decide: () => ({ allowed: false, mayKnow: false, rule: 'default', evidence: [] }),
    decideGeneral: (action) => {
      const allowed =
        action === 'report' && caller.role === 'commission-officer' && ['PUBHLTH', 'HOPERAT'].includes(caller.purposeOfUse);
      return allowed
        ? { allowed, mayKnow: true, rule: 'commission-report', basis: 'oversight', evidence: [] }
        : { allowed, mayKnow: false, rule: 'default', evidence: [], reason: 'no-basis' };
    },
  }),
};
