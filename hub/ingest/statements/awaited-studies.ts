import { systems } from '../../../fhir-profiles/codes.js';
import { insertEntries } from '../../audit/insert-entries.sql.js';
import type { Database, Queryable } from '../../store/database.js';
import { idOf, type Reference } from '../../store/fhir-elements.js';
import { columns, newId, type ResourceRow, toResource, updateResource } from '../../store/resources.js';
import { rewrite } from '../../store/rewrite.js';
import type { FhirResource } from '../../store/search-keys.js';
import { keyed, sql } from '../../store/sql.js';
import { labelsOfStudies, scopeOfStudies } from '../../store/study-labels.sql.js';
import { searchedTokens } from '../../store/tokens.js';
import { isAccessionNumber } from '../render-study.js';
import { studyInstanceUidOf } from '../study-facts.js';

/**
 * What a report refers to and is not here yet, as `awaited_study` has it: `uid:1.2.3`, `accession:A77`. A report often comes before its images; it is linked
 * with them when they come.
 */
export type Awaited = string;

interface Identifier {
  system?: string;
  value?: string;
}

const uidOf = ({ value = '' }: Identifier): string => value.replace(/^urn:oid:/, '');

/** What stands for an identifier of a study. */
export const awaitedOf = (identifier: Identifier): Awaited =>
  identifier.system === systems.dicomUid ? `uid:${uidOf(identifier)}` : `accession:${identifier.value ?? ''}`;

/** What a study is awaited as. */
export function awaitedAs(study: FhirResource): Awaited[] {
  const accession = ((study.identifier ?? []) as FhirResource[]).filter(isAccessionNumber).map((i) => `accession:${i.value}`);
  return [`uid:${studyInstanceUidOf(study)}`, ...accession];
}

/** Notes which studies a record waits for, in the place of what it waited for before. */
export async function awaitStudies(
  tx: Queryable,
  custodianId: string,
  { type, id }: ResourceRow,
  awaited: readonly Awaited[],
): Promise<void> {
  if (type !== 'DiagnosticReport' && type !== 'Observation') return;
  await tx.query(sql`delete from awaited_study where type = ${type} and id = ${id} and awaited <> all(${awaited}::text[])`);
  if (awaited.length === 0) return;
  await tx.query(sql`
    insert into awaited_study (custodian_id, awaited, type, id)
    select ${custodianId}, a, ${type}, ${id} from unnest(${awaited}::text[]) a on conflict do nothing`);
}

type Waiting = ResourceRow & { awaited: Awaited };

/** Links the records that wait for a study with it: those about the same patient. In the transaction that stores the study. */
export async function linkAwaiting(tx: Queryable, study: ResourceRow): Promise<void> {
  const names = awaitedAs(toResource(study));
  const waiting = await tx.query<Waiting & Record<string, unknown>>(sql`
    select ${columns}, a.awaited from awaited_study a join resource r on r.type = a.type and r.id = a.id
    where a.custodian_id = ${study.custodian_id} and a.awaited = any(${names}::text[]) and r.patient_id = ${study.patient_id} and not r.deleted
    order by r.type, r.id for update of r`);
  for (const row of waiting) await linkOne(tx, row, study);
}

async function linkOne(tx: Queryable, row: Waiting, study: ResourceRow): Promise<void> {
  const resource = toResource(row);
  const found = { reference: `ImagingStudy/${study.id}` };
  const linked = (references: Reference[] | undefined): Reference[] | undefined =>
    references?.map((r) =>
      'identifier' in r && !r.reference && awaitedOf(r.identifier as Identifier) === row.awaited ? found : r,
    );
  const next = {
    ...resource,
    ...present({ imagingStudy: linked(resource.imagingStudy), derivedFrom: linked(resource.derivedFrom) }),
  };
  const ids = [...(next.imagingStudy ?? []), ...(next.derivedFrom ?? [])].flatMap(
    (r: Reference) => idOf(r, 'ImagingStudy') ?? [],
  );
  const studies = await tx.query<ResourceRow & Record<string, unknown>>(
    sql`select ${columns} from resource r where r.type = 'ImagingStudy' and r.id = any(${ids}::text[]) order by r.id`,
  );
  const write = rewrite(row, next);
  const labels = [...(write.labels ?? []), ...(await labelsOfStudies(tx, ids))];
  const stored = await updateResource(tx, { ...write, ...scopeOfStudies(studies), labels }, row.version);
  await tx.query(sql`delete from awaited_study where type = ${row.type} and id = ${row.id} and awaited = ${row.awaited}`);
  await tx.query(
    insertEntries([
      {
        type: 'ingest',
        subtype: 'link-study',
        action: 'U',
        outcome: 0,
        agent: 'Device/hub',
        patientId: stored.patient_id,
        custodianId: stored.custodian_id,
        entity: [`${stored.type}/${stored.id}`, found.reference],
        requestId: newId(),
      },
    ]),
  );
}

const present = <T extends object>(elements: T): Partial<T> =>
  Object.fromEntries(Object.entries(elements).filter(([, value]) => value !== undefined)) as Partial<T>;

/**
 * Links what was awaited and stored at the same time, when neither saw the other, and what could be linked only after a merge. To be called now and then.
 * Resolves with how many studies were looked at.
 */
export async function linkMissed(db: Database, withinHours = 24): Promise<number> {
  const waiting = await db.query<{ custodian_id: string; awaited: Awaited }>(sql`
    select distinct custodian_id, awaited from awaited_study where since > now() - make_interval(hours => ${withinHours}) limit 1000`);
  let seen = 0;
  for (const { custodian_id, awaited } of waiting) {
    const studies = await studiesAwaitedAs(db, custodian_id, awaited);
    seen += studies.length;
    for (const study of studies) await db.transaction((tx) => linkAwaiting(tx, study));
  }
  return seen;
}

/** The custodian's studies of a Study Instance UID, or of an accession number: of one order there may be several. */
export async function studiesAwaitedAs(tx: Queryable, custodianId: string, awaited: Awaited): Promise<ResourceRow[]> {
  const [, kind, value = ''] = /^(uid|accession):(.*)$/s.exec(awaited) ?? [];
  if (kind === 'uid')
    return tx.query<ResourceRow & Record<string, unknown>>(sql`
      select ${columns} from study_claim c join resource r on r.type = 'ImagingStudy' and r.id = c.study_id and not r.deleted
      where c.custodian_id = ${custodianId} and c.study_instance_uid = ${value}`);
  const rows = await tx.query<ResourceRow & Record<string, unknown>>(sql`
    select ${columns} from resource r
    where r.type = 'ImagingStudy' and r.custodian_id = ${custodianId} and not r.deleted
      and r.tokens && ${keyed((p) => searchedTokens(p, 'ImagingStudy', `identifier=${value}`))}::text[] order by r.id limit 20`);
  return rows.filter((row) => awaitedAs(toResource(row)).includes(awaited));
}
