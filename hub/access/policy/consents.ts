import { Refusal } from '../../outcomes.js';
import type { Queryable } from '../../store/database.js';
import { columns, createResources, findResource, type ResourceRow, toResource, updateResource } from '../../store/resources.js';
import { sql } from '../../store/sql.js';
import type { ResourceWriter, WriteRequest } from '../write-request.js';
import { nowhere } from '../write-rules.js';
import { consentRules } from './consent-rules.js';

/** Writer for Consent: a patient for herself, a hospital for its own Patients. Takes effect with the commit, at every hospital of the person. */
export function consentWriter(utcOffset: string): ResourceWriter {
  return {
    create: async (tx, requests) => {
      const rows: ResourceRow[] = [];
      for (const request of requests) {
        const custodianId = await custodianOf(tx, request);
        const [row] = await createResources(tx, [{ resource: request.resource, custodianId }]);
        if (row) rows.push(row);
        if (row) await compile(tx, [row], utcOffset);
      }
      return rows;
    },
    update: async (tx, request) => {
      await custodianOf(tx, request);
      const row = await updateResource(tx, { resource: { ...request.resource, id: request.current.id }, custodianId: request.current.custodian_id }, request.current.version);
      if (row.patient_id !== request.current.patient_id) throw new Refusal(422, [{ severity: 'error', code: 'business-rule', diagnostics: 'The patient of a consent does not change.', expression: ['Consent.patient'] }]);
      await compile(tx, [row], utcOffset);
      return row;
    },
  };
}

/** The hospital whose Patient the consent is about. @throws Refusal 422 for a patient that is not the writer's. */
async function custodianOf(tx: Queryable, { caller, resource }: WriteRequest): Promise<string> {
  const reference = String((resource.patient as { reference?: string } | undefined)?.reference ?? '');
  const id = reference.startsWith('Patient/') ? reference.slice('Patient/'.length) : '';
  const patient = await findResource(tx, 'Patient', id);
  const ofCaller = caller.role === 'patient' ? await isHerself(tx, caller.patientId, id) : patient?.custodian_id === caller.organizationId;
  if (!patient || patient.deleted || !ofCaller) throw nowhere('Consent.patient');
  return patient.custodian_id;
}

async function isHerself(tx: Queryable, own: string | undefined, id: string): Promise<boolean> {
  if (!own) return false;
  if (own === id) return true;
  const linked = await tx.query(sql`select 1 from cross_reference a join cross_reference b using (cluster_id) where a.patient_id = ${own} and b.patient_id = ${id}`);
  return linked.length > 0;
}

/** Rewrites the rules of all consents of these patients' persons: to be called when a cluster changed. */
export async function refreshConsents(tx: Queryable, patientIds: readonly string[], utcOffset = '+08:00'): Promise<void> {
  if (patientIds.length === 0) return;
  const clusters = await tx.query<{ id: string }>(sql`
    select unnest(${patientIds}::text[]) as id union
    select mate.patient_id from cross_reference own join cross_reference mate using (cluster_id) where own.patient_id = any(${patientIds}::text[])`);
  const ids = clusters.map((c) => c.id);
  await tx.query(sql`delete from consent_rule where patient_id = any(${ids}::text[])`);
  const rows = await tx.query<ResourceRow & Record<string, unknown>>(sql`select ${columns} from resource r where r.type = 'Consent' and r.patient_id = any(${ids}::text[]) and not r.deleted`);
  await compile(tx, rows, utcOffset);
}

/** Rules of a consent, for every Patient of the person. */
async function compile(tx: Queryable, rows: readonly ResourceRow[], utcOffset: string): Promise<void> {
  for (const row of rows) {
    await tx.query(sql`delete from consent_rule where consent_id = ${row.id}`);
    const rules = consentRules(toResource(row), utcOffset);
    if (rules.length === 0) continue;
    await tx.query(sql`
      insert into consent_rule (consent_id, patient_id, consent_version, provision, decision, actor, purpose, valid_from, valid_until)
      select ${row.id}, p.id, ${row.version}, n.provision, n.decision, n.actor, n.purpose, coalesce(n.valid_from, '-infinity'), coalesce(n.valid_until, 'infinity')
      from json_to_recordset(${JSON.stringify(rules.map((r) => ({ ...r, valid_from: r.from, valid_until: r.until })))}::json)
          as n (provision text, decision text, actor text[], purpose text[], valid_from timestamptz, valid_until timestamptz),
        (select ${row.patient_id} as id union select mate.patient_id from cross_reference own join cross_reference mate using (cluster_id) where own.patient_id = ${row.patient_id}) p`);
  }
}
