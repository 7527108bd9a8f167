import type { ReqRefDefaults, Request, ResponseToolkit, Server } from '@hapi/hapi';
import { callerOfRequest, chargeRequest } from '../access/authentication/bearer-scheme.js';
import { costOfBundle, costOfForm } from '../access/authentication/request-cost.js';
import { requestContext } from '../access/authentication/request-context.js';
import { invalid } from '../outcomes.js';
import { submitBundle } from './bundle-request.js';
import { capabilityStatement } from './capability-statement.js';
import { definition } from './definitions.js';
import { dispatch } from './dispatch.js';
import type { FhirDeps, FhirRequest, FhirResponse } from './exchange.js';
import { parseJsonBody } from './json-body.js';

export const FHIR_JSON = 'application/fhir+json; charset=utf-8';

/** The FHIR R4 face below `/fhir`. */
export function registerFhir(server: Server, deps: FhirDeps): void {
  const payload = { parse: false, output: 'data', maxBytes: deps.config.maxBodyBytes, timeout: 30_000 } as const;
  const statement = JSON.stringify(capabilityStatement(deps.config));
  server.route([
    { method: 'GET', path: '/fhir/metadata', options: { auth: false }, handler: (_, h) => h.response(statement).type(FHIR_JSON) },
    {
      method: 'POST',
      path: '/fhir',
      options: { payload },
      handler: async (r, h) => reply(h, await bundle(deps, r)),
    },
    { method: 'GET', path: '/fhir/{path*}', handler: async (r, h) => reply(h, await get(deps, r)) },
    {
      method: ['POST', 'PUT'],
      path: '/fhir/{path*}',
      options: { payload },
      handler: async (r, h) => reply(h, await write(deps, r)),
    },
  ]);
}

async function bundle(deps: FhirDeps, request: Request): Promise<FhirResponse> {
  const body = bodyOf(request);
  await chargeRequest(request, costOfBundle(body));
  return submitBundle(deps, { ...requestOf(deps, request, []), body });
}

async function get(deps: FhirDeps, request: Request): Promise<FhirResponse> {
  const path = pathOf(request);
  return definition(path) ?? dispatch(deps, requestOf(deps, request, path));
}

async function write(deps: FhirDeps, request: Request): Promise<FhirResponse> {
  const path = pathOf(request);
  const asked = requestOf(deps, request, path);
  if (path.at(-1) === '_search') {
    const form = formOf(request);
    await chargeRequest(request, costOfForm(form));
    return dispatch(deps, { ...asked, query: [...asked.query, ...form] });
  }
  return dispatch(deps, { ...asked, body: bodyOf(request) });
}

const pathOf = (request: Request): string[] =>
  String(request.params.path ?? '')
    .split('/')
    .filter(Boolean);

function requestOf({ config }: FhirDeps, request: Request, path: string[]): FhirRequest {
  const header = (name: string): string | undefined => request.headers[name] as string | undefined;
  return {
    method: request.method.toUpperCase() as FhirRequest['method'],
    path,
    query: [...request.url.searchParams],
    ifMatch: header('if-match'),
    ifNoneExist: header('if-none-exist'),
    ifNoneMatch: header('if-none-match'),
    strict: /handling=strict/.test(header('prefer') ?? ''),
    caller: callerOfRequest(request),
    context: requestContext(request, config),
  };
}

function bodyOf(request: Request): Record<string, unknown> {
  const type = String(request.headers['content-type'] ?? '');
  if (!/^application\/(fhir\+)?json/.test(type)) throw invalid('The Content-Type must be application/fhir+json.', 'Content-Type');
  return parseJsonBody(request.payload as Buffer);
}

function formOf(request: Request): [string, string][] {
  const body = request.payload as Buffer | null;
  if (!body || body.length === 0) return [];
  if (!/^application\/x-www-form-urlencoded/.test(String(request.headers['content-type'] ?? '')))
    throw invalid('A search is posted as application/x-www-form-urlencoded.', 'Content-Type');
  return [...new URLSearchParams(body.toString('utf8'))];
}

function reply(h: ResponseToolkit<ReqRefDefaults>, response: FhirResponse) {
  const answer = h.response(response.body ?? '').code(response.status);
  if (response.body) answer.type(FHIR_JSON);
  for (const [name, value] of Object.entries(response.headers ?? {})) answer.header(name, value);
  return answer.header('cache-control', 'no-store');
}
