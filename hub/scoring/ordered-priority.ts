import { identifierTypes, systems } from '../../fhir-profiles/codes.js';
import { PRIORITIES, type Priority } from '../jobs/scoring-rules.js';
import type { Queryable } from '../store/database.js';
import { idOf } from '../store/fhir-elements.js';
import { columns, type ResourceRow, toResource } from '../store/resources.js';
import type { FhirResource } from '../store/search-keys.js';
import { sql } from '../store/sql.js';

/** Orders of one patient that are looked at, the newest first. */
const MOST_ORDERS = 50;

/** The priority of the order that a study was made for, as its own hospital gave it; the most urgent of several, undefined where none says one. */
export async function orderedPriority(tx: Queryable, study: ResourceRow): Promise<Priority | undefined> {
  const rows = await tx.query<ResourceRow & Record<string, unknown>>(sql`
    select ${columns} from resource r
    where r.type = 'ServiceRequest' and r.patient_id = ${study.patient_id} and r.custodian_id = ${study.custodian_id} and not r.deleted
    order by r.last_updated desc limit ${MOST_ORDERS}`);
  if (rows.length === 0) return undefined;
  const isOrderOf = orderOf(toResource(study));
  const stated = rows.map(toResource).filter((order) => isInForce(order) && isOrderOf(order));
  return PRIORITIES.find((priority) => stated.some((order) => order.priority === priority));
}

const isInForce = ({ status }: FhirResource): boolean => status !== 'revoked' && status !== 'entered-in-error';

/** By ImagingStudy.basedOn, or by the accession number that study and order share. */
function orderOf(study: FhirResource): (order: FhirResource) => boolean {
  const based = new Set(((study.basedOn ?? []) as object[]).map((reference) => idOf(reference, 'ServiceRequest')));
  const numbers = new Set(accessionNumbers(study));
  return (order) => based.has(order.id) || accessionNumbers(order).some((number) => numbers.has(number));
}

interface Identifier {
  type?: { coding?: { system?: string; code?: string }[] };
  value?: string;
}

const accessionNumbers = ({ identifier }: FhirResource): string[] =>
  ((identifier ?? []) as Identifier[])
    .filter(({ type }) =>
      type?.coding?.some((c) => c.system === systems.identifierType && c.code === identifierTypes.accessionNumber),
    )
    .flatMap(({ value }) => value ?? []);
