import type { ResourceWriter, WriteRequest } from '../access/write-request.js';
import { mapInTurn } from '../store/in-turn.js';
import { nowhere, refused } from '../access/write-rules.js';
import { forbidden } from '../outcomes.js';
import type { Queryable } from '../store/database.js';
import { idOf } from '../store/fhir-elements.js';
import { createResources, findResource, toResource, updateResource, type Write } from '../store/resources.js';

/** Writer for ServiceRequest: what is asked about one's own patient, in one's own organization's name. The performers it names may read it. */
export const serviceRequestWriter: ResourceWriter = {
  create: async (tx, requests) => createResources(tx, await mapInTurn(requests, (r) => place(tx, r))),
  update: async (tx, request) => {
    if (request.current.custodian_id !== request.caller.organizationId)
      throw forbidden('A ServiceRequest is changed by the organization that placed it.');
    const before = toResource(request.current);
    if (idOf(before.subject, 'Patient') !== idOf(request.resource.subject, 'Patient'))
      throw refused('The patient does not change.', 'ServiceRequest.subject');
    const write = await place(tx, request);
    return updateResource(tx, { ...write, resource: { ...write.resource, id: before.id } }, request.current.version);
  },
};

async function place(tx: Queryable, { caller, resource }: WriteRequest): Promise<Write> {
  const patient = await findResource(tx, 'Patient', idOf(resource.subject, 'Patient') ?? '');
  if (!patient || patient.deleted || patient.custodian_id !== caller.organizationId) throw nowhere('ServiceRequest.subject');
  const requester = idOf(resource.requester, 'Organization');
  if (requester && requester !== caller.organizationId)
    throw forbidden('A request is placed in the name of one’s own organization: ServiceRequest.requester.');
  return { resource, custodianId: caller.organizationId };
}
