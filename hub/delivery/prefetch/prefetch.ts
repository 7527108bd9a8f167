import { systems } from '../../../fhir-profiles/codes.js';
import type { Access } from '../../access/access.js';
import type { RequestAccess, RowWithEvidence } from '../../access/decision.js';
import { type Series, seriesOf } from '../../access/policy/part-terms.js';
import type { Audit } from '../../audit/vocabulary.js';
import { clusterOf } from '../../identity/cluster.js';
import { type JudgedStudy, judgedStudy } from '../../imaging/find-study.js';
import { studyInstanceUidOf } from '../../imaging/study-uid.js';
import type { Database, Queryable } from '../../store/database.js';
import { columns, newId } from '../../store/resources.js';
import { or, sql } from '../../store/sql.js';
import { localPatient } from '../local-patient.js';
import { openSeries } from '../permission.js';
import { recipientArchive } from '../recipient-archive.sql.js';
import { placeDelivery } from '../task-writer.js';
import { callerByRule, HUB_ADDRESS } from './caller-by-rule.js';
import { hasStudy, type Plan, type PrefetchRule, prefetchRule, settlePlan, takeDuePlan } from './plans.sql.js';
import { isRelevant } from './relevance.js';

export interface PrefetchDeps {
  db: Database;
  access: Access;
  audit: Audit;
}

/** Plans that are seen to in one go. */
const MOST_PLANS = 100;

/**
 * Sees to the appointments that are near: the relevant prior studies of other hospitals that the hospital may retrieve now are delivered before them, the
 * newest first. What policy withholds is passed over and leaves no trace. Safe to run in many processes at once.
 * @returns how many deliveries were placed.
 */
export async function prefetchDue({ db, access, audit }: PrefetchDeps): Promise<number> {
  let placed = 0;
  for (let i = 0; i < MOST_PLANS; i += 1) {
    const done = await db.transaction(async (tx) => {
      const plan = await takeDuePlan(tx);
      if (!plan) return undefined;
      await settlePlan(tx, plan.record);
      return placePriors(tx, access, audit, plan);
    });
    if (done === undefined) break;
    placed += done;
  }
  return placed;
}

async function placePriors(tx: Queryable, access: Access, audit: Audit, plan: Plan): Promise<number> {
  const { organization_id: organizationId, patient_id: patientId, record } = plan;
  const rule = await prefetchRule(tx, organizationId);
  const archive = await recipientArchive(tx, organizationId);
  const local = await localPatient(tx, organizationId, patientId, patientId);
  if (!rule || !archive || 'why' in local) return 0;
  const caller = callerByRule(organizationId);
  const priors = await retrievablePriors(tx, await access.forCaller(tx, caller), plan, rule);
  let placed = 0;
  for (const { row } of priors) {
    if (placed >= rule.most) break;
    const studyInstanceUid = studyInstanceUidOf(row);
    if (!studyInstanceUid || (await hasStudy(tx, row.id, organizationId))) continue;
    const delivery = {
      study_id: row.id,
      study_instance_uid: studyInstanceUid,
      patient_id: row.patient_id,
      custodian_id: row.custodian_id,
      recipient_id: organizationId,
      connector_id: archive.connectorId,
      local_patient_id: local.patient.id,
      series: null,
      caller,
      address: HUB_ADDRESS,
    };
    await placeDelivery(tx, audit, taskFor(row.id, local.patient.id, organizationId), delivery, record);
    placed += 1;
  }
  return placed;
}

/** Studies that are looked at for one appointment. */
const MOST_STUDIES = 200;

async function retrievablePriors(
  tx: Queryable,
  access: RequestAccess,
  { patient_id: patientId, organization_id: organizationId, modality, body_site: bodySite }: Plan,
  { years }: PrefetchRule,
): Promise<JudgedStudy[]> {
  const filter = access.filter('retrieve', 'ImagingStudy');
  const rows = await tx.query<RowWithEvidence & Record<string, unknown>>(sql`
    select ${columns}, ${access.evidence} from resource r
    where r.type = 'ImagingStudy' and r.patient_id = any(${await clusterOf(tx, patientId)}::text[]) and r.custodian_id <> ${organizationId} and not r.deleted
      and r.date_from >= now() - make_interval(years => ${years}) and ${access.part ? or([filter, access.part.filter]) : filter}
    order by r.date_from desc, r.id limit ${MOST_STUDIES}`);
  return rows
    .map((row) => judgedStudy(access, row))
    .filter((study) => study.decision.allowed && isRelevant({ modality, bodySite }, openedOf(study)));
}

/** Only what is opened of a study says whether it is relevant. */
function openedOf(study: JudgedStudy): { modality: string[]; bodySite: string[] } {
  const open = openSeries(study, null);
  const series: Series[] = seriesOf(study.row).filter(({ uid }) => uid !== undefined && open.includes(uid));
  return {
    modality: series.flatMap(({ modality }) => modality?.code ?? []),
    bodySite: series.flatMap(({ bodySite }) => bodySite?.code ?? []),
  };
}

/** The hospital's rule is its standing order: it is the requester. The custodian sees the Task, and is not told what the patient is expected for. */
const taskFor = (studyId: string, patientId: string, organizationId: string) => ({
  resourceType: 'Task',
  id: newId(),
  priority: 'urgent',
  code: { coding: [{ system: systems.taskKind, code: 'delivery-request' }] },
  focus: { reference: `ImagingStudy/${studyId}` },
  for: { reference: `Patient/${patientId}` },
  requester: { reference: `Organization/${organizationId}` },
});
