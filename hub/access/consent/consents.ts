import { CANONICAL_BASE } from '../../../fhir-profiles/codes.js';
import { forbidden } from '../../outcomes.js';
import type { Queryable } from '../../store/database.js';
import { idOf } from '../../store/fhir-elements.js';
import { createResources, findResource, type ResourceRow, toResource, updateResource } from '../../store/resources.js';
import type { FhirResource } from '../../store/search-keys.js';
import { raw, type Sql, sql } from '../../store/sql.js';
import type { ResourceWriter, WriteRequest } from '../write-request.js';
import { isSamePerson, nowhere, refused } from '../write-rules.js';
import { type Majority, wardsOf } from '../guardians/guardianships.sql.js';
import { compileConsent, DEEPEST_PROVISION, isWithinBounds, MOST_PROVISIONS } from './consent-rules.js';
import { lockPersons } from '../policy/lock-persons.js';

/** Writer for Consent: a patient for herself, a hospital for its own Patients. It takes effect with the commit, at every hospital of the person. */
export function consentWriter(utcOffset: string, ageOfMajority = 18): ResourceWriter {
  const speaking = (tx: Queryable, request: WriteRequest) => speakerOf(tx, request, { utcOffset, ageOfMajority });
  return {
    create: async (tx, requests) => {
      const speakers: Speaker[] = [];
      for (const request of requests) speakers.push(await speaking(tx, request));
      const rows = await createResources(
        tx,
        requests.map((request, i) => ({ resource: signed(request, speakers[i]!), custodianId: speakers[i]!.custodianId })),
      );
      await recordRules(tx, rows, utcOffset);
      return rows;
    },
    update: async (tx, request) => {
      const { current, resource } = request;
      if (!(await isStillAbout(tx, current.patient_id, idOf(resource.patient, 'Patient'))))
        throw refused('The patient of a consent does not change.', 'Consent.patient');
      const speaker = await speaking(tx, request);
      assertMayChange(request, current, speaker);
      const row = await updateResource(
        tx,
        { resource: { ...signed(request, speaker), id: current.id }, custodianId: current.custodian_id },
        current.version,
      );
      await recordRules(tx, [row], utcOffset);
      return row;
    },
  };
}

/** A consent for a number that was merged may be stated anew for the survivor. */
async function isStillAbout(tx: Queryable, before: string, now: string | undefined): Promise<boolean> {
  if (before === now) return true;
  const merged = await tx.query(
    sql`select from patient_merge where retired_id = ${before} and survivor_id = ${now ?? ''} and kind = 'merge'`,
  );
  return merged.length > 0;
}

/** meta.source of a consent that the patient gave herself, by her own login. */
const BY_PATIENT = `${CANONICAL_BASE}/source/patient`;

/** The same of one that a guardian gave in her place. */
const BY_GUARDIAN = `${CANONICAL_BASE}/source/guardian`;

/** For whom a consent is written: the hospital whose Patient it is about, and the guardian where one speaks in her place. */
interface Speaker {
  custodianId: string;
  /** Id of the RelatedPerson. */
  guardian: string | undefined;
}

/** The consent with the mark of who gave it, which its writer can't choose. @throws Refusal 422 for one that is too large to be read. */
function signed({ caller, resource }: WriteRequest, { guardian }: Speaker): FhirResource {
  if (!isWithinBounds(resource))
    throw refused(
      `A consent has at most ${MOST_PROVISIONS} provisions, nested at most ${DEEPEST_PROVISION} deep.`,
      'Consent.provision',
    );
  const { source: _source, ...meta } = resource.meta ?? {};
  if (guardian)
    return { ...resource, meta: { ...meta, source: BY_GUARDIAN }, performer: [{ reference: `RelatedPerson/${guardian}` }] };
  return { ...resource, meta: caller.role === 'patient' ? { ...meta, source: BY_PATIENT } : meta };
}

/** What a patient said herself is hers alone; what her guardian said is theirs, and hers once she speaks for herself. */
function assertMayChange({ caller }: WriteRequest, current: ResourceRow, { guardian }: Speaker): void {
  const source = toResource(current).meta?.source;
  if (source === BY_PATIENT && (caller.role !== 'patient' || guardian))
    throw forbidden('The patient gave this consent herself: only she changes it.');
  if (source === BY_GUARDIAN && caller.role !== 'patient')
    throw forbidden('A guardian gave this consent: only guardians and the patient change it.');
}

/** @throws Refusal 422 for a Patient that is not the writer's to speak for, or is none. */
async function speakerOf(tx: Queryable, { caller, resource }: WriteRequest, majority: Majority): Promise<Speaker> {
  const id = idOf(resource.patient, 'Patient') ?? '';
  const patient = await findResource(tx, 'Patient', id);
  const isSelf = caller.role === 'patient' && caller.patientId !== undefined && (await isSamePerson(tx, caller.patientId, id));
  const guardian = isSelf ? undefined : (await wardsOf(tx, caller, majority)).find((ward) => ward.patient === id)?.id;
  const isHospitals = caller.organizationId !== '' && patient?.custodian_id === caller.organizationId;
  const mayWrite = caller.role === 'patient' ? isSelf || guardian !== undefined : isHospitals;
  if (!patient || patient.deleted || !mayWrite) throw nowhere('Consent.patient');
  return { custodianId: patient.custodian_id, guardian };
}

const COLUMNS: Sql =
  raw(`consent_id, consent_version, provision, decision, place, last, btg, policy, actor, holder, purpose, class, level, sensitivity,
    data, data_refers, data_referred, author, data_from, data_until`);

/** Replaces the rules of these consents, and copies them to the other Patients of the same persons. */
export async function recordRules(tx: Queryable, rows: readonly ResourceRow[], utcOffset: string): Promise<void> {
  const rules = rows.flatMap((row) =>
    compileConsent(toResource(row), utcOffset).map((rule) => ({
      ...rule,
      consent_id: row.id,
      patient_id: row.patient_id,
      consent_version: row.version,
    })),
  );
  const patientIds = [...new Set(rows.map((row) => row.patient_id))];
  await lockPersons(tx, patientIds);
  await tx.query(sql`delete from consent_rule where consent_id = any(${rows.map((row) => row.id)}::text[])`);
  await tx.query(sql`
    insert into consent_rule (${COLUMNS}, patient_id, valid_from, valid_until)
    select ${COLUMNS}, patient_id, coalesce("from", '-infinity'), coalesce("until", 'infinity')
    from json_to_recordset(${JSON.stringify(rules)}::json) as n
      (consent_id text, patient_id text, consent_version integer, provision text, decision text, place integer, last integer, btg boolean, policy text[],
       actor text[], holder text[], purpose text[], class text[], level smallint, sensitivity text[], data text[], data_refers text[], data_referred text[],
       author text[], data_from timestamptz, data_until timestamptz, "from" timestamptz, "until" timestamptz)`);
  await copyRules(tx, patientIds);
}

/**
 * Brings the consents of these persons to all of their Patients, and takes them from those who are no longer the same person. To be called
 * in the transaction that links or unlinks, after the cross-reference was changed.
 * @param patientIds every Patient whose cluster changed, on both sides.
 */
export async function refreshConsents(tx: Queryable, patientIds: readonly string[]): Promise<void> {
  if (patientIds.length === 0) return;
  const persons = await lockPersons(tx, patientIds);
  await tx.query(sql`
    delete from consent_rule c using resource r
    where c.patient_id = any(${persons}::text[]) and r.type = 'Consent' and r.id = c.consent_id and r.patient_id <> c.patient_id`);
  await copyRules(tx, persons);
}

/**
 * The rules that stand at a consent's own Patient hold for the linked ones too; but a label is lifted, at another hospital's Patient, only by what the patient
 * or her guardian said: no hospital opens to itself what another keeps closed. Nor does what a hospital recorded for a number that was given up open anything
 * at the survivor's, until it is recorded there. Of a number that was moved to another patient the denials alone go along.
 */
async function copyRules(tx: Queryable, patientIds: readonly string[]): Promise<void> {
  await tx.query(sql`
    insert into consent_rule (${COLUMNS}, patient_id, valid_from, valid_until, lifts)
    select ${COLUMNS}, mate.patient_id, c.valid_from, c.valid_until,
      p.custodian_id = r.custodian_id and not exists (select from patient_merge m where m.retired_id = c.patient_id)
        or coalesce(r.meta->>'source', '') = any(${[BY_PATIENT, BY_GUARDIAN]}::text[])
    from consent_rule c
    join resource r on r.type = 'Consent' and r.id = c.consent_id and r.patient_id = c.patient_id and not r.deleted
    join cross_reference own on own.patient_id = c.patient_id
    join cross_reference mate on mate.cluster_id = own.cluster_id and mate.patient_id <> own.patient_id
    join resource p on p.type = 'Patient' and p.patient_id = mate.patient_id and p.id = mate.patient_id
    where c.patient_id = any(${patientIds}::text[])
    on conflict do nothing`);
  await tx.query(sql`
    insert into consent_rule (${COLUMNS}, patient_id, valid_from, valid_until, lifts)
    select ${COLUMNS}, m.survivor_id, c.valid_from, c.valid_until, false
    from patient_merge m
    join consent_rule c on c.patient_id = m.retired_id and c.decision = 'deny'
    join resource r on r.type = 'Consent' and r.id = c.consent_id and r.patient_id = c.patient_id and not r.deleted
    where m.kind = 'move' and (m.retired_id = any(${patientIds}::text[]) or m.survivor_id = any(${patientIds}::text[]))
    on conflict do nothing`);
}
