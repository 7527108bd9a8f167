import type { ResourceWriter, WriteRequest } from '../../access/write-request.js';
import { nowhere, refused } from '../../access/write-rules.js';
import type { Audit } from '../../audit/vocabulary.js';
import type { Queryable } from '../../store/database.js';
import { type Reference, idOf } from '../../store/fhir-elements.js';
import { mapInTurn } from '../../store/in-turn.js';
import {
  createResources,
  findResource,
  type ResourceRow,
  toResource,
  updateResource,
  type Write,
} from '../../store/resources.js';
import type { FhirResource } from '../../store/search-keys.js';
import { cancelDeliveries } from './cancel-deliveries.js';
import { standingOf } from './planned.js';
import { cancelPlan, prefetchRule, putPlan } from './plans.sql.js';

/** Writer for Appointment: a hospital's own, of its own Patient. */
export const appointmentWriter: ResourceWriter = {
  create: async (tx, requests) => createResources(tx, await mapInTurn(requests, (request) => checked(tx, request))),
  update: async (tx, request) => {
    const { current } = request;
    const write = await checked(tx, request);
    if (patientOf(toResource(current)) !== patientOf(request.resource))
      throw refused('The patient does not change.', 'Appointment.participant');
    return updateResource(tx, { ...write, resource: { ...write.resource, id: current.id } }, current.version);
  },
};

async function checked(tx: Queryable, { caller, resource }: WriteRequest): Promise<Write> {
  const patient = await findResource(tx, 'Patient', patientOf(resource) ?? '');
  if (!patient || patient.deleted || patient.custodian_id !== caller.organizationId) throw nowhere('Appointment.participant');
  return { resource, custodianId: caller.organizationId };
}

const patientOf = (appointment: FhirResource): string | undefined =>
  ((appointment.participant ?? []) as { actor?: Reference }[]).flatMap(({ actor }) => idOf(actor, 'Patient') ?? [])[0];

/** The same records by the same writer; what they plan is prepared for, and what is called off is not, in the same transaction. */
export function preparing(writer: ResourceWriter, audit: Audit): ResourceWriter {
  return {
    create: async (tx, requests) => {
      const rows = await writer.create(tx, requests);
      for (const row of rows) await prepare(tx, audit, row);
      return rows;
    },
    update: async (tx, request) => {
      const row = await writer.update(tx, request);
      await prepare(tx, audit, row);
      return row;
    },
  };
}

async function prepare(tx: Queryable, audit: Audit, row: ResourceRow): Promise<void> {
  const record = `${row.type}/${row.id}`;
  const standing = standingOf(toResource(row), row.custodian_id);
  if (standing.is === 'cancelled' || row.deleted) {
    await cancelPlan(tx, record);
    await cancelDeliveries(tx, audit, record);
  }
  if (standing.is !== 'planned' || row.deleted) return;
  const rule = await prefetchRule(tx, row.custodian_id);
  if (!rule) return;
  await putPlan(tx, {
    record,
    organizationId: row.custodian_id,
    patientId: row.patient_id,
    planned: standing.planned,
    hoursBefore: rule.hoursBefore,
  });
}
