import type { Server } from '@hapi/hapi';
import type { ExceptionalAccessDeps } from './authorized.js';
import { list } from './list.js';
import { anotherToken, openOversightCase, openSession } from './open.js';
import { confirm, end, flag, review } from './steps.js';

/** How one person is let in to one patient for a stated reason and time, and who looks at it afterwards: break-glass sessions and oversight cases. */
export function registerExceptionalAccess(server: Server, deps: ExceptionalAccessDeps): void {
  server.route([
    { method: 'POST', path: '/access/break-glass', handler: (request, h) => openSession(deps, request, h) },
    { method: 'POST', path: '/access/oversight-cases', handler: (request, h) => openOversightCase(deps, request, h) },
    { method: 'GET', path: '/access/exceptional', handler: (request) => list(deps, request) },
    { method: 'POST', path: '/access/exceptional/{id}/token', handler: (request) => anotherToken(deps, request) },
    { method: 'POST', path: '/access/exceptional/{id}/end', handler: (request) => end(deps, request) },
    { method: 'POST', path: '/access/exceptional/{id}/confirm', handler: (request) => confirm(deps, request) },
    { method: 'POST', path: '/access/exceptional/{id}/review', handler: (request) => review(deps, request) },
    { method: 'POST', path: '/access/exceptional/{id}/flag', handler: (request) => flag(deps, request) },
  ]);
}
