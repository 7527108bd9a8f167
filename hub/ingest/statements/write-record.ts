import { isDeepStrictEqual } from 'node:util';
import { validateResource } from '../../../fhir-profiles/index.js';
import { deniedInGeneral, denied } from '../../access/denial.js';
import type { Decision, RowWithEvidence } from '../../access/decision.js';
import { decidedBy, type ResourceWriter, type WriteRequest } from '../../access/write-request.js';
import type { AuditEntry } from '../../audit/vocabulary.js';
import { gone, type Issue, unprocessable } from '../../outcomes.js';
import { newId, type ResourceRow } from '../../store/resources.js';
import type { FhirResource } from '../../store/search-keys.js';
import { joinedLabels } from '../../store/sensitivity-labels.js';
import { toResource } from '../../store/resources.js';
import { sourceAgent, type Taking } from './taking.js';

/** Stores a new record by the writer that pushed ones go through. @throws Refusal that names the element. */
export async function createRecord(taking: Taking, resource: FhirResource): Promise<ResourceRow> {
  const decision = taking.access.decideGeneral('write', resource.resourceType);
  if (!decision.allowed) throw deniedInGeneral(decision, `${resource.resourceType} can not be written now.`);
  const [row] = await writerOf(taking, resource).create(taking.tx, [requestOf(taking, { ...resource, id: newId() })]);
  if (!row) throw new Error('a writer returned no row');
  await record(taking, row, row.version === 1 ? 'C' : 'U', decision);
  return row;
}

/**
 * Stores the next version of a record by the writer that pushed ones go through; labels that it carries stay.
 * @param options.comesBack its source had it no longer, and has it again: then one that was deleted is the same record.
 * @throws Refusal that names the element.
 */
export async function updateRecord(
  taking: Taking,
  current: RowWithEvidence,
  next: FhirResource,
  { comesBack = false }: { comesBack?: boolean } = {},
): Promise<ResourceRow> {
  const decision = taking.access.decide('write', current);
  if (!decision.allowed) throw denied(current, decision);
  if (current.deleted && !comesBack) throw gone();
  const row = await writerOf(taking, next).update(taking.tx, { ...requestOf(taking, labelled(current, next)), current });
  if (row.version !== current.version) await record(taking, row, 'U', decision);
  return row;
}

/** The same record: what differs only in version, date and empty elements makes none. */
export function isUnchanged(before: FhirResource, next: FhirResource): boolean {
  const plain = ({ meta = {}, ...rest }: FhirResource): unknown => {
    const { versionId: _version, lastUpdated: _updated, ...kept } = meta;
    return JSON.parse(JSON.stringify({ ...rest, ...(Object.keys(kept).length > 0 ? { meta: kept } : {}) }));
  };
  return isDeepStrictEqual(plain(before), plain(next));
}

function labelled(current: ResourceRow, next: FhirResource): FhirResource {
  const labels = joinedLabels(toResource(current).meta?.security ?? [], next.meta?.security ?? []);
  return labels.length > 0 ? { ...next, id: current.id, meta: { ...next.meta, security: labels } } : { ...next, id: current.id };
}

function writerOf({ records }: Taking, resource: FhirResource): ResourceWriter {
  const errors = validateResource(resource).filter((i) => i.severity === 'error' || i.severity === 'fatal');
  if (errors.length > 0) throw unprocessable(errors.map((i) => ({ ...i, expression: [i.expression ?? []].flat() }) as Issue));
  const writer = records.writers[resource.resourceType];
  if (!writer) throw new Error('a record without a writer');
  return writer;
}

const requestOf = ({ caller, access, origin }: Taking, resource: FhirResource): WriteRequest => ({
  caller,
  context: { requestId: origin.requestId, address: '' },
  access,
  resource,
});

async function record(taking: Taking, row: ResourceRow, action: 'C' | 'U', decision: Decision): Promise<void> {
  const entry: AuditEntry = {
    ...sourceAgent(taking),
    type: 'ingest',
    subtype: 'submit',
    action,
    outcome: 0,
    role: taking.caller.role,
    purpose: taking.caller.purposeOfUse,
    patientId: row.patient_id,
    entity: [`${row.type}/${row.id}`],
    detail: taking.what,
    ...decidedBy(decision),
  };
  await taking.audit.append(taking.tx, [entry]);
}
