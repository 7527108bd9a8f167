import { type ResourceRow, toResource, type Write } from './resources.js';
import { type FhirResource, labelsOf } from './search-keys.js';

/** A record's next version that says in other words what it said: whose it is, who is a party to it, and what it took over from its studies stay. */
export function rewrite<T extends FhirResource & { id: string }>(current: ResourceRow, resource: T): Write & { resource: T } {
  const own = labelsOf(toResource(current));
  return {
    resource,
    custodianId: current.custodian_id,
    parties: current.parties,
    scope: {
      modality: current.modality,
      bodySite: current.body_site,
      ...(current.date_from ? { started: current.date_from } : {}),
    },
    labels: current.labels.filter((label) => !own.includes(label)),
  };
}
