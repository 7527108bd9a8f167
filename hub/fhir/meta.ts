import type { Action } from '../access/caller.js';
import { denied } from '../access/denial.js';
import type { RowWithEvidence } from '../access/decision.js';
import { agentOf, decidedBy } from '../access/write-request.js';
import { gone, invalid, methodNotAllowed, notFound, unprocessable } from '../outcomes.js';
import type { Queryable } from '../store/database.js';
import { columns, type ResourceRow, toResource, updateResource } from '../store/resources.js';
import { rewrite } from '../store/rewrite.js';
import type { FhirResource } from '../store/search-keys.js';
import { type Coding, isAmong, joinedLabels } from '../store/sensitivity-labels.js';
import { sql } from '../store/sql.js';
import { settleLabels } from '../store/study-labels.sql.js';
import { refusalsAudited } from './audit-refusal.js';
import type { FhirDeps, FhirRequest, FhirResponse } from './exchange.js';
import { read } from './read.js';

const OPERATIONS: Readonly<
  Record<string, { action: Action; change: (before: readonly Coding[], given: readonly Coding[]) => Coding[] }>
> = {
  '$meta-add': { action: 'label', change: (before, given) => joinedLabels(before, given) },
  '$meta-delete': { action: 'unlabel', change: (before, given) => before.filter((label) => !isAmong(label, given)) },
};

/** FHIR `$meta` (R4 Resource-meta): what labels a record carries itself; those of the study that it is about hold for it too. */
export async function meta(deps: FhirDeps, request: FhirRequest): Promise<FhirResponse> {
  const answer = await read(deps, { ...request, path: request.path.slice(0, 2), ifNoneMatch: undefined });
  return { ...answer, body: asParameters(JSON.parse(answer.body ?? '{}').meta) };
}

/**
 * FHIR `$meta-add` and `$meta-delete` (R4 Resource-meta-add, Resource-meta-delete) for sensitivity labels, by the custodian's own people. The change
 * is a new version, holds from its commit on, and reaches what was written about a study and scores that were made from it (trigger `pass_labels_on`).
 */
export async function changeMeta(deps: FhirDeps, request: FhirRequest): Promise<FhirResponse> {
  const [type = '', id = '', name = ''] = request.path;
  const operation = OPERATIONS[name];
  if (!operation) throw methodNotAllowed(`${name} is not offered here.`);
  return refusalsAudited(deps, request, async () => {
    const given = labelsIn(request.body);
    const row = await deps.db.transaction(async (tx) => {
      const access = await deps.access.forCaller(tx, request.caller);
      const [current] = await tx.query<RowWithEvidence>(
        sql`select ${columns}, ${access.evidence} from resource r where r.type = ${type} and r.id = ${id} for update of r`,
      );
      if (!current) throw notFound();
      const decision = access.decide(operation.action, current);
      if (!decision.allowed) throw denied(current, decision);
      if (current.deleted) throw gone();
      const labelled = await relabelled(tx, current, (before) => operation.change(before, given));
      await deps.audit.append(tx, [
        {
          ...agentOf(request.caller, request.context),
          type: 'rest',
          subtype: name.slice(1),
          action: 'U',
          outcome: 0,
          patientId: current.patient_id,
          custodianId: current.custodian_id,
          entity: [`${type}/${id}`],
          ...decidedBy(decision),
        },
      ]);
      return labelled;
    });
    return { status: 200, headers: { etag: `W/"${row.version}"` }, body: asParameters(toResource(row).meta) };
  });
}

/** The record with its labels changed: the next version, or the same where that makes no difference. */
async function relabelled(
  tx: Queryable,
  current: ResourceRow,
  change: (before: readonly Coding[]) => Coding[],
): Promise<ResourceRow> {
  const resource = toResource(current);
  const before = resource.meta?.security ?? [];
  const security = change(before);
  if (security.length === before.length && security.every((label) => isAmong(label, before))) return current;
  const labelled = { ...resource, meta: { ...resource.meta, security: security.length > 0 ? security : undefined } };
  const row = await updateResource(tx, rewrite(current, labelled), current.version);
  await settleLabels(tx, row);
  return row;
}

/** The resource with the labels that its stored version carries: an update adds labels, only `$meta-delete` takes one away (R4 2.26.3.5). */
export function keepingLabels(current: ResourceRow, resource: FhirResource): FhirResource {
  const before = toResource(current).meta?.security ?? [];
  if (before.length === 0) return resource;
  return { ...resource, meta: { ...resource.meta, security: joinedLabels(before, resource.meta?.security ?? []) } };
}

const MOST_LABELS = 20;

/** @throws Refusal 400 for what is no Parameters with a meta, 422 for a label without system and code, or for anything beside labels. */
function labelsIn(body: unknown): Coding[] {
  const { resourceType, parameter } = (body ?? {}) as {
    resourceType?: string;
    parameter?: { name?: string; valueMeta?: unknown }[];
  };
  const value = Array.isArray(parameter) ? parameter.find((p) => p?.name === 'meta')?.valueMeta : undefined;
  if (resourceType !== 'Parameters' || typeof value !== 'object' || value === null)
    throw invalid('Parameters with a meta are expected.', 'Parameters.parameter');
  const { security, ...others } = value as { security?: unknown };
  const [other] = Object.keys(others);
  const at = 'Parameters.parameter.valueMeta';
  if (other) throw wrong('Only security labels are set by hand.', `${at}.${other.slice(0, 64)}`);
  const isLabel = (label: unknown): label is Coding => {
    const { system, code } = (label ?? {}) as Record<string, unknown>;
    return [system, code].every((text) => typeof text === 'string' && /^[^\s|]{1,200}$/.test(text));
  };
  if (!Array.isArray(security) || security.length === 0 || security.length > MOST_LABELS || !security.every(isLabel))
    throw wrong(`1 to ${MOST_LABELS} labels with system and code are expected.`, `${at}.security`);
  return security.map(({ system, code, display }) => ({
    system,
    code,
    ...(typeof display === 'string' ? { display: display.slice(0, 200) } : {}),
  }));
}

const wrong = (diagnostics: string, expression: string) =>
  unprocessable([{ severity: 'error', code: 'invalid', diagnostics, expression: [expression] }]);

const asParameters = (value: unknown): string =>
  JSON.stringify({ resourceType: 'Parameters', parameter: [{ name: 'return', valueMeta: value }] });
