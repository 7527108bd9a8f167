import { type DeliveryDetail, systems } from '../../fhir-profiles/codes.js';
import { refused } from '../access/write-rules.js';
import { codeIn, type Concept } from '../store/fhir-elements.js';
import type { FhirResource } from '../store/search-keys.js';
import type { Counts } from './instances.sql.js';

/** What a delivery request says in Task.input. */
export interface DeliveryInput {
  /** Series Instance UIDs; undefined: all that is opened. */
  series?: string[];
  accession?: { number: string; system?: string };
}

interface Detail {
  type?: Concept;
  valueIdentifier?: { system?: string; value?: string };
}

/** Accession Number (0008,0050), VR SH. */
const ACCESSION = /^[^\\\p{Cc}]{1,16}$/u;
const UID = /^urn:oid:([0-2](?:\.\d+)+)$/;
const MOST_SERIES = 500;

/** @throws Refusal 422 that names the element. */
export function deliveryInput(task: FhirResource): DeliveryInput {
  const details: Detail[] = task.input ?? [];
  const of = (code: DeliveryDetail) =>
    details.flatMap((detail, i) =>
      codeIn(detail.type, systems.deliveryDetail) === code ? [{ detail, at: `Task.input[${i}]` }] : [],
    );
  if (details.length > MOST_SERIES) throw refused(`At most ${MOST_SERIES} inputs.`, 'Task.input');
  const series = of('series').map(({ detail: { valueIdentifier }, at }) => {
    const [, uid] = UID.exec(valueIdentifier?.value ?? '') ?? [];
    if (valueIdentifier?.system !== systems.dicomUid || !uid || uid.length > 64)
      throw refused('A series is named by its Series Instance UID, an Identifier of urn:dicom:uid.', at);
    return uid;
  });
  const [accession, ...more] = of('accession-number');
  if (more[0]) throw refused('A study has one accession number.', more[0].at);
  const number = accession?.detail.valueIdentifier?.value?.trim();
  if (accession && !ACCESSION.test(number ?? ''))
    throw refused('An accession number has 1 to 16 characters (DICOM SH), as valueIdentifier.', accession.at);
  const system = accession?.detail.valueIdentifier?.system;
  return {
    ...(series.length > 0 ? { series: [...new Set(series)] } : {}),
    ...(number ? { accession: { number, ...(system ? { system } : {}) } } : {}),
  };
}

const detailType = (code: DeliveryDetail) => ({ coding: [{ system: systems.deliveryDetail, code }] });

/** Outputs of these types take the place of those before; `without`: those that fall away. */
export function withOutputs(
  task: FhirResource,
  outputs: readonly { code: DeliveryDetail; [value: string]: unknown }[],
  without: readonly DeliveryDetail[] = [],
): object[] {
  const codes = new Set<string>([...outputs.map(({ code }) => code), ...without]);
  const kept = ((task.output ?? []) as Detail[]).filter(({ type }) => !codes.has(codeIn(type, systems.deliveryDetail) ?? ''));
  return [...kept, ...outputs.map(({ code, ...value }) => ({ type: detailType(code), ...value }))];
}

/** How far it has come. */
export const progress = ({ total, delivered, failed }: Counts): { code: DeliveryDetail; valueInteger: number }[] => [
  { code: 'instances-total', valueInteger: total },
  { code: 'instances-delivered', valueInteger: delivered },
  { code: 'instances-failed', valueInteger: failed },
];
