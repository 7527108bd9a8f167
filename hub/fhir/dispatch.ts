import { auditEvents } from './audit-events.js';
import { methodNotAllowed, notFound } from '../outcomes.js';
import { integrityAudited, refusalsAudited } from './audit-refusal.js';
import type { FhirDeps, FhirRequest, FhirResponse } from './exchange.js';
import { changeMeta, meta } from './meta.js';
import { history, read, vread } from './read.js';
import { isSearchable, search } from './search.js';
import { assertScope } from './submission.js';
import { isType } from './types.js';
import { create, update } from './write.js';

type Interaction = (deps: FhirDeps, request: FhirRequest) => Promise<FhirResponse>;

/** The RESTful interactions of R4 3.1 as a table: method and shape of the path, the SMART scope it needs, what answers it. */
const interactions: readonly { method: FhirRequest['method']; path: RegExp; scope: 'c' | 'r' | 'u' | 's'; run: Interaction }[] = [
  { method: 'GET', path: /^[A-Za-z]+$/, scope: 's', run: search },
  { method: 'POST', path: /^[A-Za-z]+\/_search$/, scope: 's', run: search },
  { method: 'GET', path: /^[A-Za-z]+\/[^/]+$/, scope: 'r', run: read },
  { method: 'GET', path: /^[A-Za-z]+\/[^/]+\/_history$/, scope: 'r', run: history },
  { method: 'GET', path: /^[A-Za-z]+\/[^/]+\/_history\/[^/]+$/, scope: 'r', run: vread },
  { method: 'POST', path: /^[A-Za-z]+$/, scope: 'c', run: create },
  { method: 'GET', path: /^[A-Za-z]+\/[^/]+\/\$meta$/, scope: 'r', run: meta },
  { method: 'POST', path: /^[A-Za-z]+\/[^/]+\/\$meta-(add|delete)$/, scope: 'u', run: changeMeta },
  { method: 'PUT', path: /^[A-Za-z]+(\/[^/]+)?$/, scope: 'u', run: update },
];

const ID = /^[A-Za-z0-9\-.]{1,64}$/;

/** Answers one interaction, over HTTP or inside a batch: known type, well-formed id, scope of the token, then the interaction's own policy. */
export async function dispatch(deps: FhirDeps, request: FhirRequest): Promise<FhirResponse> {
  const [type = '', id] = request.path;
  if (!isType(type)) throw notFound();
  const path = request.path.join('/');
  const interaction = interactions.find((i) => i.method === request.method && i.path.test(path));
  if (!interaction) throw methodNotAllowed(`${request.method} is not offered here.`);
  if (id !== undefined && id !== '_search' && !ID.test(id)) throw notFound();
  await refusalsAudited(deps, request, async () => assertScope(request.caller, type, interaction.scope));
  if (type === 'AuditEvent' && request.method !== 'PUT' && interaction.run !== create)
    return integrityAudited(deps, request, () => auditEvents(deps, request));
  if (interaction.run === search && !isSearchable(type)) throw methodNotAllowed(`${type} can't be searched.`);
  return integrityAudited(deps, request, () => interaction.run(deps, request));
}
