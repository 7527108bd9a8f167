import { guardianRelationships, parentRelationships } from '../../../fhir-profiles/codes.js';
import type { Queryable } from '../../store/database.js';
import { dateRange } from '../../store/fhir-date.js';
import { type Concept, idOf } from '../../store/fhir-elements.js';
import { createResources, findResource, type ResourceRow, toResource, updateResource } from '../../store/resources.js';
import { sql } from '../../store/sql.js';
import type { ResourceWriter, WriteRequest } from '../write-request.js';
import { nowhere, refused } from '../write-rules.js';

/**
 * Writer for RelatedPerson: whom a hospital has on record as parent or guardian of its own Patient. The record alone opens nothing: a login
 * must be bound to it too. Relationships that are neither are kept and are no guardianship.
 * @param utcOffset of dates without one.
 */
export function relatedPersonWriter(utcOffset: string): ResourceWriter {
  return {
    create: async (tx, requests) => {
      const custodians: string[] = [];
      for (const request of requests) custodians.push(await custodianOf(tx, request));
      const rows = await createResources(
        tx,
        requests.map(({ resource }, i) => ({ resource, custodianId: custodians[i]! })),
      );
      for (const row of rows) await record(tx, row, utcOffset);
      return rows;
    },
    update: async (tx, request) => {
      const { current, resource } = request;
      if (idOf(resource.patient, 'Patient') !== current.patient_id)
        throw refused('The patient of a guardian does not change.', 'RelatedPerson.patient');
      await custodianOf(tx, request);
      const row = await updateResource(
        tx,
        { resource: { ...resource, id: current.id }, custodianId: current.custodian_id },
        current.version,
      );
      await record(tx, row, utcOffset);
      return row;
    },
  };
}

/** @throws Refusal 422 for a Patient that is not the writer's own, or is none. */
async function custodianOf(tx: Queryable, { caller, resource }: WriteRequest): Promise<string> {
  const patient = await findResource(tx, 'Patient', idOf(resource.patient, 'Patient') ?? '');
  const isOwn = caller.organizationId !== '' && patient?.custodian_id === caller.organizationId;
  if (!patient || patient.deleted || !isOwn) throw nowhere('RelatedPerson.patient');
  return patient.custodian_id;
}

/** Brings the fact in step with the record; the period is FHIR's, its end includes the day that it names. */
async function record(tx: Queryable, row: ResourceRow, utcOffset: string): Promise<void> {
  const person = toResource(row);
  await tx.query(sql`delete from guardianship where related_person_id = ${row.id}`);
  const kind = kindOf((person.relationship ?? []) as Concept[]);
  const range = person.period ? dateRange(person.period, utcOffset) : undefined;
  const isLost = (person.period?.start && !range?.from) || (person.period?.end && !range?.until);
  const isBackwards = range?.from && range.until && range.until <= range.from;
  if (isLost || isBackwards) throw refused('The period can’t be read.', 'RelatedPerson.period');
  if (!kind || person.active === false) return;
  await tx.query(sql`
    insert into guardianship (related_person_id, patient_id, custodian_id, kind, valid_from, valid_until)
    values (${row.id}, ${row.patient_id}, ${row.custodian_id}, ${kind}, ${range?.from ?? '-infinity'}, ${range?.until ?? 'infinity'})`);
}

/** An appointment outlasts majority; who is both is held to be a parent, whose part ends. */
function kindOf(relationships: readonly Concept[]): 'parent' | 'guardian' | undefined {
  const has = (codes: readonly string[]): boolean =>
    relationships.some((r) => r.coding?.some((c) => codes.includes(`${c.system ?? ''}|${c.code ?? ''}`)));
  if (has(parentRelationships)) return 'parent';
  return has(guardianRelationships) ? 'guardian' : undefined;
}
