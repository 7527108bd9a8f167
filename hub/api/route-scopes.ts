import type { Request, Server } from '@hapi/hapi';
import { type Interaction, scopeAllows } from '../access/authentication/scopes.js';
import { requestContext } from '../access/authentication/request-context.js';
import type { Caller } from '../access/caller.js';
import { agentOf } from '../access/write-request.js';
import type { Audit } from '../audit/vocabulary.js';
import type { Config } from '../config.js';
import { forbidden } from '../outcomes.js';

type Reach = readonly [type: string, interaction: Interaction];

/**
 * What a token's scope has to cover at routes outside FHIR, by the resources that they show or change (SMART App Launch 2: the scope bounds what an app does
 * in a person's name). `by itself`: the handler looks at the scope, by what was asked. `any`: it shows and opens nothing.
 */
export const ROUTE_SCOPES: Readonly<Record<string, Reach | 'by itself' | 'any'>> = {
  'get /reports': ['MeasureReport', 'r'],
  'get /reports/{name}': ['MeasureReport', 'r'],
  'post /access/explain': 'by itself',
  'post /access/break-glass': ['Patient', 'r'],
  'post /access/oversight-cases': ['Patient', 'r'],
  'get /access/exceptional': ['AuditEvent', 'r'],
  'post /access/exceptional/{id}/token': ['Patient', 'r'],
  'post /access/exceptional/{id}/end': 'any',
  'post /access/exceptional/{id}/confirm': ['Patient', 'r'],
  'post /access/exceptional/{id}/review': ['AuditEvent', 'u'],
  'post /access/exceptional/{id}/flag': ['AuditEvent', 'u'],
  'get /access/agreements/{id}': 'by itself',
  'post /access/agreements/{id}/signature': 'by itself',
  'delete /access/agreements/{id}/signature': 'by itself',
  'get /access/policy': ['AccessPolicy', 'r'],
  'get /access/policy/epochs/{number}': ['AccessPolicy', 'r'],
  'post /access/policy/proposals': ['AccessPolicy', 'c'],
  'get /access/policy/proposals/{id}': ['AccessPolicy', 'r'],
  'post /access/policy/proposals/{id}/publish': ['AccessPolicy', 'u'],
  'post /access/policy/proposals/{id}/withdraw': ['AccessPolicy', 'u'],
  'post /access/policy/replay': ['AuditEvent', 'r'],
  // references only, which a system fetches however narrow its registration is
  'get /notices': 'any',
  'post /notices/{id}/acknowledgement': 'any',
  'post /launch': ['Patient', 'r'],
  'get /scoring/course': ['Observation', 's'],
  'get /quarantine': ['Endpoint', 'r'],
  'post /quarantine/{id}/retry': ['Endpoint', 'u'],
  'post /quarantine/{id}/discard': ['Endpoint', 'u'],
  'get /scoring/reports/{id}/structured-report': ['DiagnosticReport', 'r'],
  'get /scoring/reports/{id}/annotations': ['DiagnosticReport', 'r'],
  'post /scoring/reports/{id}/review': ['DiagnosticReport', 'u'],
  'get /scoring/failures': ['Task', 'r'],
  'get /scoring/jobs/{id}/events': ['Task', 'r'],
  'get /identity/links': ['Patient', 'r'],
  'post /identity/links/{id}/{step}': ['Patient', 'u'],
  'get /audit/tree-heads': 'by itself',
  'get /audit/tree-heads/latest': 'by itself',
  'get /audit/proof/inclusion': 'by itself',
  'get /audit/proof/consistency': 'by itself',
  'get /audit/export': 'by itself',
};

/** Looks at the scope before a handler does anything. What it does not cover is a 403, on record. */
export function guardRouteScopes(server: Server, deps: { audit: Audit; config: Pick<Config, 'trustedProxy'> }): void {
  server.ext('onPostAuth', async (request, h) => {
    const caller = request.auth.credentials?.['caller'] as Caller | undefined;
    const reach = ROUTE_SCOPES[`${request.route.method} ${request.route.path}`];
    if (!caller || typeof reach !== 'object' || scopeAllows(caller.scope, ...reach)) return h.continue;
    await deps.audit.commit([refusalOf(request, caller, deps.config)]);
    throw forbidden(`The token's scope does not cover this: it needs ${reach.join('.')}.`);
  });
}

const refusalOf = (request: Request, caller: Caller, config: Pick<Config, 'trustedProxy'>) =>
  ({
    ...agentOf(caller, requestContext(request, config)),
    type: 'access',
    subtype: 'scope',
    action: 'E',
    outcome: 4,
    query: `${request.method} ${request.path}${request.url.search}`,
    detail: 'scope',
  }) as const;
