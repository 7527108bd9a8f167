import { Denial } from '../access/denial.js';
import { agentOf, decidedBy } from '../access/write-request.js';
import { findRow } from '../access/find-row.js';
import type { AuditEntry } from '../audit/vocabulary.js';
import { Refusal } from '../outcomes.js';
import { IntegrityFailure } from '../store/key-ring.js';
import type { FhirDeps, FhirRequest } from './exchange.js';

/** Not allowed, not there, or against what stands or what may be referred to: tries that say what somebody was after. */
const TRACED: ReadonlySet<number> = new Set([403, 404, 409, 412, 422]);

/** Does the work; what is refused in it leaves a trace before the answer does, although nothing was done. */
export async function refusalsAudited<T>(deps: FhirDeps, request: FhirRequest, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof Refusal && TRACED.has(error.status)) await auditRefusal(deps, request, error);
    throw error;
  }
}

/** Does the work; a stored value in it that does not open, because somebody changed it, is on record before the answer leaves. */
export async function integrityAudited<T>(deps: FhirDeps, request: FhirRequest, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof IntegrityFailure)
      await deps.audit.commit([
        {
          ...agentOf(request.caller, request.context),
          ...interactionOf(request),
          type: 'access',
          outcome: 8,
          entity: [error.place],
          detail: 'a stored value can not be opened',
        },
      ]);
    throw error;
  }
}

async function auditRefusal(deps: FhirDeps, request: FhirRequest, refusal: Refusal): Promise<void> {
  await deps.audit.commit([
    {
      ...agentOf(request.caller, request.context),
      ...interactionOf(request),
      ...(await subjectOf(deps, request)),
      type: 'rest',
      outcome: 4,
      entity: [request.path.slice(0, 2).join('/') || 'Bundle'],
      detail: refusal.issues[0]?.code,
      ...(refusal instanceof Denial ? decidedBy(refusal.decision) : {}),
    },
  ]);
}

/** Codes of R4 restful-interaction and audit-event-action. */
function interactionOf({ method, path }: FhirRequest): Pick<AuditEntry, 'subtype' | 'action'> {
  if (method === 'PUT') return { subtype: 'update', action: 'U' };
  if (path[2]?.startsWith('$meta-')) return { subtype: path[2].slice(1), action: 'U' };
  if (method === 'POST' && path[1] !== '_search') return { subtype: 'create', action: 'C' };
  return path.length === 1 || path[1] === '_search' ? { subtype: 'search-type', action: 'E' } : { subtype: 'read', action: 'R' };
}

/** Whose record was named, and whether the caller may know that it exists. */
async function subjectOf(deps: FhirDeps, { caller, path }: FhirRequest): Promise<Partial<AuditEntry>> {
  const [type = '', id = '_search'] = path;
  if (id === '_search') return {};
  return deps.db.snapshot(async (tx) => {
    const access = await deps.access.forCaller(tx, caller);
    const row = await findRow(tx, access, type, id);
    if (!row) return { concealed: true }; // looks to the asker's administrator like what he may not know of
    const concealed = !access.decide('know', row).allowed;
    return { patientId: row.patient_id, custodianId: row.custodian_id, concealed };
  });
}
