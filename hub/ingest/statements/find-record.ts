import { identifierTypes, systems } from '../../../fhir-profiles/codes.js';
import type { RowWithEvidence } from '../../access/decision.js';
import { codeIn, type Concept } from '../../store/fhir-elements.js';
import { searchedIdentifier, storedForms } from '../../store/patient-identifier.js';
import { columns, type ResourceRow, toResource } from '../../store/resources.js';
import { keyed, type Sql, sql } from '../../store/sql.js';
import { searchedTokens } from '../../store/tokens.js';
import { studyInstanceUidOf } from '../study-facts.js';
import type { FhirResource } from '../../store/search-keys.js';
import type { Taking } from './taking.js';

/** FHIR Identifier, as far as records are found by it. */
export interface Identifier {
  system?: string;
  value?: string;
  type?: Concept;
}

/** Numbers that several records share: those of the order that they come from name only the order itself. */
const isShared = (type: string, identifier: Identifier): boolean =>
  typeCode(identifier) === identifierTypes.accessionNumber ||
  (!NUMBERED.has(type) && typeCode(identifier) === identifierTypes.placerOrderNumber);

/** Types whose placer's number is their own. */
const NUMBERED: ReadonlySet<string> = new Set(['ServiceRequest', 'Appointment']);

export const typeCode = ({ type }: Identifier): string | undefined => codeIn(type, systems.identifierType);

/** The same identifier: system, value, and type where both say one. */
export function isSameIdentifier(a: Identifier, b: Identifier): boolean {
  const [x, y] = [typeCode(a), typeCode(b)];
  return (a.system ?? '') === (b.system ?? '') && a.value === b.value && (x === undefined || y === undefined || x === y);
}

/** The custodian's record that a resource is the next statement of: by its id at the source, else by its own identifiers. Locked. */
export async function findRecord(
  taking: Taking,
  resource: FhirResource,
  sourceId: string | undefined,
): Promise<RowWithEvidence | undefined> {
  const known = sourceId === undefined ? undefined : await recordOf(taking, sourceId);
  if (known) return findRecordById(taking, resource.resourceType, known);
  if (resource.resourceType === 'ImagingStudy') return ofStudy(taking, resource);
  const own = ((resource.identifier ?? []) as Identifier[]).filter((i) => i.value && !isShared(resource.resourceType, i));
  for (const identifier of own) {
    const [found, ...more] = await findByIdentifier(taking, resource.resourceType, identifier);
    if (found && more.length === 0) return findRecordById(taking, found.type, found.id);
  }
  return undefined;
}

function ofStudy(taking: Taking, resource: FhirResource): Promise<RowWithEvidence | undefined> {
  return lock(
    taking,
    sql`r.type = 'ImagingStudy' and r.id = (
      select study_id from study_claim where custodian_id = ${taking.origin.custodianId} and study_instance_uid = ${studyInstanceUidOf(resource)})`,
  );
}

/** One record of the hub's, locked. */
export const findRecordById = (taking: Taking, type: string, id: string): Promise<RowWithEvidence | undefined> =>
  lock(taking, sql`r.type = ${type} and r.id = ${id}`);

async function lock({ tx, access }: Taking, which: Sql): Promise<RowWithEvidence | undefined> {
  const [row] = await tx.query<RowWithEvidence & Record<string, unknown>>(
    sql`select ${columns}, ${access.evidence} from resource r where ${which} for update of r`,
  );
  return row;
}

/** The custodian’s records of a type that hold an identifier, at most 20. */
export async function findByIdentifier(
  { tx, origin }: Pick<Taking, 'tx' | 'origin'>,
  type: string,
  identifier: Identifier,
): Promise<ResourceRow[]> {
  const { system, value = '' } = identifier;
  const tokens = keyed((p) => searchedTokens(p, type, `identifier=${system === undefined ? '' : `${system}|`}${value}`));
  const rows = await tx.query<ResourceRow & Record<string, unknown>>(sql`
    select ${columns} from resource r
    where r.type = ${type} and r.custodian_id = ${origin.custodianId} and not r.deleted and r.tokens && ${tokens}::text[] order by r.id limit 20`);
  return rows.filter((row) => ((toResource(row).identifier ?? []) as Identifier[]).some((i) => isSameIdentifier(i, identifier)));
}

/** The hub's id of a record by its id at the source, `Type/id`. */
export async function recordOf({ tx, origin, ids }: Taking, sourceId: string): Promise<string | undefined> {
  if (ids !== 'of-source') return undefined;
  const [type = '', id = ''] = sourceId.split('/');
  const [row] = await tx.query<{ id: string }>(sql`
    select id from source_record where connector_id = ${origin.connectorId ?? ''} and type = ${type}
      and source_id = any(${keyed((p) => searchedIdentifier(p, { value: id }))}::text[])`);
  return row?.id;
}

/** Notes under which id the source has a record. */
export async function noteRecord(
  { tx, origin, ids, taken }: Taking,
  sourceId: string | undefined,
  row: ResourceRow,
): Promise<void> {
  if (sourceId === undefined) return;
  taken.set(sourceId, `${row.type}/${row.id}`);
  if (ids !== 'of-source') return;
  const [type = '', id = ''] = sourceId.split('/');
  await tx.query(sql`
    insert into source_record as s (connector_id, type, source_id, id)
    values (${origin.connectorId ?? ''}, ${type}, ${keyed((p) => storedForms(p, { value: id })[0])}, ${row.id})
    on conflict (connector_id, type, source_id) do update set id = excluded.id, gone = null where s.id <> excluded.id or s.gone is not null`);
}

/** Whether the source was known to have a record no longer: one that comes back is the same. */
export async function isKnownGone({ tx, origin, ids }: Taking, sourceId: string | undefined): Promise<boolean> {
  if (ids !== 'of-source' || sourceId === undefined) return false;
  const [type = '', id = ''] = sourceId.split('/');
  const rows = await tx.query(sql`
    select from source_record where connector_id = ${origin.connectorId ?? ''} and type = ${type} and gone is not null
      and source_id = any(${keyed((p) => searchedIdentifier(p, { value: id }))}::text[])`);
  return rows.length > 0;
}

/** Notes that the source has a record no longer. @returns the hub's id of it; undefined when that is known already, or it is not here. */
export async function noteGone({ tx, origin }: Taking, sourceId: string): Promise<string | undefined> {
  const [type = '', id = ''] = sourceId.split('/');
  const [row] = await tx.query<{ id: string }>(sql`
    update source_record set gone = now() where connector_id = ${origin.connectorId ?? ''} and type = ${type} and gone is null
      and source_id = any(${keyed((p) => searchedIdentifier(p, { value: id }))}::text[]) returning id`);
  return row?.id;
}
