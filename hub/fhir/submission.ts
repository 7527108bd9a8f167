import { validateResource } from '../../fhir-profiles/index.js';
import { type Interaction, scopeAllows } from '../access/authentication/scopes.js';
import type { Caller, Role } from '../access/caller.js';
import { forbidden, invalid, type Issue, methodNotAllowed, notFound, unprocessable } from '../outcomes.js';
import type { FhirResource } from '../store/search-keys.js';
import type { FhirDeps, FhirRequest } from './exchange.js';
import { localiseReferences } from './references.js';
import { isSubsetted } from './subset.js';
import { isType, typeRules } from './types.js';

/**
 * Admits a body as a resource of a type that the caller's role may write.
 * @throws Refusal 400 (not this type), 403 (not this role), 405 (the hub alone writes it), 422 (against the profile; names the elements).
 */
export function admit({ config }: FhirDeps, request: FhirRequest, type: string, at = ''): FhirResource {
  const resource = request.body as FhirResource | undefined;
  if (!resource || typeof resource !== 'object' || Array.isArray(resource))
    throw invalid('A resource is expected.', at || undefined);
  if (resource.resourceType !== type) throw invalid(`The resource must be a ${type}.`, `${at}${at ? '.' : ''}resourceType`);
  assertMayWrite(type, request.caller.role);
  assertValid(resource, at);
  assertWhole(resource, at);
  localiseReferences(resource, config.publicUrl);
  return resource;
}

/** @throws Refusal 403 when the token's scope does not cover the interaction, over HTTP or as an entry of a Bundle. */
export function assertScope(caller: Caller, type: string, interaction: Interaction): void {
  if (!scopeAllows(caller.scope, type, interaction))
    throw forbidden(`The token's scope does not cover this interaction with ${type}.`);
}

function assertMayWrite(type: string, role: Role): void {
  const rule = isType(type) ? typeRules[type] : undefined;
  if (!rule) throw notFound();
  if (rule.writers.length === 0) throw methodNotAllowed(`${type} is written by the hub alone.`);
  if (!rule.writers.includes(role)) throw forbidden(`The role ${role} does not write ${type}.`);
}

/** Profiles, required bindings, real dates, bounds: everything that can be said of the resource alone. */
function assertValid(resource: FhirResource, at: string): void {
  const errors = validateResource(resource).filter((i) => i.severity === 'error' || i.severity === 'fatal');
  if (errors.length > 0) throw unprocessable(errors.map((i) => located(i as unknown as Issue, at)));
}

/** What was read in part is not given back as the whole (R4 3.1.1.5.8). */
function assertWhole(resource: FhirResource, at: string): void {
  if (!isSubsetted(resource)) return;
  const expression = [`${at || resource.resourceType}.meta.tag`];
  throw unprocessable([
    {
      severity: 'error',
      code: 'business-rule',
      diagnostics: 'This is a part of a resource (SUBSETTED), not the whole.',
      expression,
    },
  ]);
}

/** Expressions inside a Bundle start at its entry. */
export function located(issue: Issue, at: string): Issue {
  const expression = [issue.expression ?? []]
    .flat()
    .map((e) => (at ? `${at}.${e.replace(/^[A-Za-z]+\.?/, '')}`.replace(/\.$/, '') : e));
  return expression.length > 0 ? { ...issue, expression } : issue;
}
