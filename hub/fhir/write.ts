import type { Decision, RequestAccess, RowWithEvidence } from '../access/decision.js';
import { agentOf, decidedBy, type ResourceWriter, type WriteRequest } from '../access/write-request.js';
import type { AuditEntry } from '../audit/vocabulary.js';
import { conflict, gone, invalid, methodNotAllowed, notFound, preconditionFailed } from '../outcomes.js';
import type { Queryable } from '../store/database.js';
import { columns, createResources, newId, type ResourceRow, updateResource, VersionConflict } from '../store/resources.js';
import type { FhirResource } from '../store/search-keys.js';
import { keyed, sql } from '../store/sql.js';
import { denied, deniedInGeneral } from '../access/denial.js';
import type { FhirDeps, FhirRequest, FhirResponse } from './exchange.js';
import { refusalsAudited } from './audit-refusal.js';
import { keepingLabels } from './meta.js';
import { versionResponse } from './read.js';
import { accessAndReferences, assertReferences, keptReferences } from './references.js';
import { matchOwn } from './search.js';
import { admit } from './submission.js';
import { typeRules } from './types.js';

/** What a write came to. */
export interface Written {
  row: ResourceRow;
  /** 201 created, 200 updated, merged, or found by a conditional create. */
  status: 200 | 201;
}

/** FHIR create and conditional create (R4 3.1.0.8). */
export async function create(deps: FhirDeps, request: FhirRequest): Promise<FhirResponse> {
  const type = request.path[0] ?? '';
  return inAuditedTransaction(deps, request, async (tx, resource) => {
    if (request.ifNoneExist !== undefined) {
      const access = await deps.access.forCaller(tx, request.caller);
      const existing = await existingMatch(deps, tx, access, request, type, request.ifNoneExist);
      if (existing) return { row: existing, status: 200 };
    }
    const access = await accessAndReferences(tx, deps.access, request.caller, resource);
    return createOne(deps, tx, access, request, resource);
  });
}

/** FHIR update (R4 3.1.0.4) by id, or by `identifier` (conditional update). */
export async function update(deps: FhirDeps, request: FhirRequest): Promise<FhirResponse> {
  const [type = '', id] = request.path;
  return inAuditedTransaction(deps, request, async (tx, resource) => {
    const access = await deps.access.forCaller(tx, request.caller);
    const kept = await keptReferences(tx, access, type, id);
    await assertReferences(tx, access, [{ resource, at: '', kept }], new Set(id ? [`${type}/${id}`] : []));
    return id ? updateById(deps, tx, access, request, resource, id) : updateByIdentifier(deps, tx, access, request, resource);
  });
}

/** Update of one id; a registry entry may be created under the id that its administrator chose. */
export async function updateById(
  deps: FhirDeps,
  tx: Queryable,
  access: RequestAccess,
  request: FhirRequest,
  resource: FhirResource,
  id: string,
): Promise<Written> {
  if (resource.id !== id) throw invalid('The id of the resource must be the id of the request.', `${resource.resourceType}.id`);
  const current = await currentFor(tx, access, resource.resourceType, id);
  if (!current) {
    if (!typeRules[resource.resourceType]?.clientIds) throw notFound();
    if (request.ifMatch !== undefined) throw preconditionFailed('There is no such version.');
    return createOne(deps, tx, access, request, resource);
  }
  return replaceOne(deps, tx, access, request, resource, current);
}

/** Conditional update: one match is replaced, none is created, several are refused. */
export async function updateByIdentifier(
  deps: FhirDeps,
  tx: Queryable,
  access: RequestAccess,
  request: FhirRequest,
  resource: FhirResource,
): Promise<Written> {
  const criteria = new URLSearchParams(request.query.map(([n, v]): [string, string] => [n, v])).toString();
  if (!criteria) throw methodNotAllowed('An update names an id or an identifier.');
  const current = await existingMatch(deps, tx, access, request, resource.resourceType, criteria);
  if (!current) return createOne(deps, tx, access, request, resource);
  if (resource.id !== undefined && resource.id !== current.id)
    throw invalid('The id of the resource is not the id of the match.', `${resource.resourceType}.id`);
  return replaceOne(deps, tx, access, request, { ...resource, id: current.id }, current);
}

/** The caller's own row that meets the criteria; parallel conditional writes of one identifier wait for each other. */
export async function existingMatch(
  deps: FhirDeps,
  tx: Queryable,
  access: RequestAccess,
  request: FhirRequest,
  type: string,
  criteria: string,
): Promise<RowWithEvidence | undefined> {
  const lock = `${request.caller.organizationId} ${type}?${criteria}`;
  // by its keyed digest: what is searched may be an identity number, and the server of the database may log parameters
  await tx.query(sql`select pg_advisory_xact_lock(hashtextextended(${keyed((p) => p.keys.digests(lock).sort()[0])}, 0))`);
  const matches = await matchOwn(tx, access, type, criteria, custodianOf(request, type), deps.config.utcOffset);
  if (matches.length > 1) throw preconditionFailed('Several resources match the criteria.');
  const [match] = matches;
  if (match) await deps.audit.append(tx, [foundEntry(request, match, access.decide('read', match), criteria)]);
  return match;
}

async function createOne(
  deps: FhirDeps,
  tx: Queryable,
  access: RequestAccess,
  request: FhirRequest,
  resource: FhirResource,
): Promise<Written> {
  const [written] = await createMany(deps, tx, access, [{ request, resource }]);
  if (!written) throw new Error('a writer returned no row');
  return written;
}

/** Creates resources of one type, set-based, through the domain's writer where there is one. */
export async function createMany(
  deps: FhirDeps,
  tx: Queryable,
  access: RequestAccess,
  items: readonly { request: FhirRequest; resource: FhirResource }[],
): Promise<Written[]> {
  const first = items[0];
  if (!first) return [];
  const type = first.resource.resourceType;
  const general = access.decideGeneral('write', type);
  if (!general.allowed)
    throw deniedInGeneral(general, `The role ${first.request.caller.role} does not write ${type} for this purpose.`);
  const writeRequests = items.map(
    ({ request, resource }): WriteRequest => ({
      caller: request.caller,
      context: request.context,
      access,
      resource: keepId(type, resource),
    }),
  );
  const rows = await storing(() => writerOf(deps, type).create(tx, writeRequests));
  await deps.audit.append(
    tx,
    rows.map((row, i) => writeEntry(items[i]?.request ?? first.request, row, general)),
  );
  return rows.map((row, i) => ({ row, status: row.version === 1 && row.id === writeRequests[i]?.resource.id ? 201 : 200 }));
}

/** Ids are the hub's to give, except in the registry. */
function keepId(type: string, resource: FhirResource): FhirResource {
  return typeRules[type]?.clientIds && resource.id ? resource : { ...resource, id: assignedId(resource) };
}

const ASSIGNED = Symbol('assigned id');

/** Marks a resource of a transaction with the id that its references were resolved to. */
export function assignId<T extends FhirResource>(resource: T): T & { id: string } {
  return Object.assign(resource, { id: newId(), [ASSIGNED]: true });
}

const assignedId = (resource: FhirResource): string =>
  (resource as { [ASSIGNED]?: boolean })[ASSIGNED] && resource.id ? resource.id : newId();

async function replaceOne(
  deps: FhirDeps,
  tx: Queryable,
  access: RequestAccess,
  request: FhirRequest,
  resource: FhirResource,
  current: RowWithEvidence,
): Promise<Written> {
  const decision = access.decide('write', current);
  if (!decision.allowed) throw denied(current, { ...decision, mayKnow: access.decide('know', current).allowed });
  if (current.deleted) throw gone();
  assertVersion(request.ifMatch, current);
  const write = {
    caller: request.caller,
    context: request.context,
    access,
    resource: keepingLabels(current, resource),
    current,
  };
  const row = await storing(() => writerOf(deps, resource.resourceType).update(tx, write));
  await deps.audit.append(tx, [{ ...writeEntry(request, row, decision), subtype: 'update', action: 'U' }]);
  return { row, status: 200 };
}

function assertVersion(ifMatch: string | undefined, current: ResourceRow): void {
  if (ifMatch === undefined) return;
  if (ifMatch !== `W/"${current.version}"` && ifMatch !== `"${current.version}"`)
    throw preconditionFailed(`The current version is ${current.version}.`);
}

/** The row under lock: two updates of one resource follow each other. */
async function currentFor(tx: Queryable, access: RequestAccess, type: string, id: string): Promise<RowWithEvidence | undefined> {
  const [row] = await tx.query<RowWithEvidence>(
    sql`select ${columns}, ${access.evidence} from resource r where r.type = ${type} and r.id = ${id} for update of r`,
  );
  return row;
}

/** Types without rules of their own: stored as they are, under the caller's organization. */
const plainWriter: ResourceWriter = {
  create: (tx, requests) =>
    createResources(
      tx,
      requests.map((r) => ({ resource: r.resource, custodianId: custodianOf(r, r.resource.resourceType) })),
    ),
  update: (tx, r) =>
    updateResource(tx, { resource: { ...r.resource, id: r.current.id }, custodianId: r.current.custodian_id }, r.current.version),
};

const writerOf = (deps: FhirDeps, type: string): ResourceWriter => deps.writers[type] ?? plainWriter;

/** Registry entries are the hub's; everything else belongs to the organization that wrote it. */
function custodianOf(request: { caller: FhirRequest['caller'] }, type: string): string {
  return typeRules[type]?.clientIds ? '' : request.caller.organizationId;
}

/** Database conflicts as the answers that FHIR gives them. */
async function storing<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof VersionConflict) throw preconditionFailed('The resource was changed in the meantime.');
    if ((error as { code?: string }).code === '23505')
      throw conflict('A resource with this identifier exists already.', 'identifier');
    throw error;
  }
}

function writeEntry(request: FhirRequest, row: ResourceRow, decision: Decision): AuditEntry {
  return {
    ...agentOf(request.caller, request.context),
    type: 'rest',
    subtype: 'create',
    action: 'C',
    outcome: 0,
    patientId: row.patient_id,
    custodianId: row.custodian_id,
    entity: [`${row.type}/${row.id}`],
    ...decidedBy(decision),
  };
}

/** What is found by a conditional write may be shown in its answer. */
const foundEntry = (request: FhirRequest, row: ResourceRow, decision: Decision, criteria: string): AuditEntry => ({
  ...writeEntry(request, row, decision),
  subtype: 'search-type',
  action: 'E',
  query: `${row.type}?${criteria}`,
});

async function inAuditedTransaction(
  deps: FhirDeps,
  request: FhirRequest,
  work: (tx: Queryable, resource: FhirResource) => Promise<Written>,
): Promise<FhirResponse> {
  return refusalsAudited(deps, request, async () => {
    const resource = admit(deps, request, request.path[0] ?? '');
    return writtenResponse(deps, await deps.db.transaction((tx) => work(tx, resource)));
  });
}

export function writtenResponse(deps: FhirDeps, { row, status }: Written): FhirResponse {
  const response = versionResponse(row, undefined, status);
  return {
    ...response,
    headers: { ...response.headers, location: `${deps.config.publicUrl}/fhir/${row.type}/${row.id}/_history/${row.version}` },
  };
}
