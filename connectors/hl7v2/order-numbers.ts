import { identifierTypes, systems } from '../../fhir-profiles/codes.js';
import { type Identifier, numberOf } from './identifiers.js';
import type { Segment } from './message.js';

/** Where a hospital's system sends the accession number. IHE Radiology has it in OBR-18 of ORM and ORU, and in IPC-1 of OMI. */
export const ACCESSION_FIELDS = ['OBR-3', 'OBR-18', 'OBR-19', 'OBR-20'] as const;
export type AccessionField = (typeof ACCESSION_FIELDS)[number];

/** One order or report group of a message. */
export interface OrderGroup {
  orc?: Segment;
  obr: Segment;
  /** The segments after OBR that belong to it. */
  rest: Segment[];
  /** Where the message says the Study Instance UID (ZDS-1, IPC-3). */
  all: readonly Segment[];
}

/** Takes a message apart: each OBR with the ORC before it and what follows. */
export function orderGroups(segments: readonly Segment[]): OrderGroup[] {
  const groups: OrderGroup[] = [];
  let orc: Segment | undefined;
  for (const segment of segments) {
    if (segment.name === 'ORC') orc = segment;
    else if (segment.name === 'OBR') {
      groups.push({ ...(orc ? { orc } : {}), obr: segment, rest: [], all: segments });
      orc = undefined;
    } else groups.at(-1)?.rest.push(segment);
  }
  return groups;
}

export const placerNumber = ({ orc, obr }: OrderGroup): Identifier | undefined =>
  numberOf(obr, 2, identifierTypes.placerOrderNumber) ?? (orc && numberOf(orc, 2, identifierTypes.placerOrderNumber));

export const fillerNumber = ({ orc, obr }: OrderGroup): Identifier | undefined =>
  numberOf(obr, 3, identifierTypes.fillerOrderNumber) ?? (orc && numberOf(orc, 3, identifierTypes.fillerOrderNumber));

/** The accession number, where the hospital's system has it. */
export function accessionNumber({ obr, rest }: OrderGroup, field: AccessionField): Identifier | undefined {
  const ipc = rest.find((s) => s.name === 'IPC');
  return (
    (ipc && numberOf(ipc, 1, identifierTypes.accessionNumber)) ??
    numberOf(obr, Number(field.slice('OBR-'.length)), identifierTypes.accessionNumber)
  );
}

const UID = /^[0-2](\.(0|[1-9]\d*))+$/;

/** Study Instance UIDs: of a ZDS (IHE), an IPC, or an OBX that is coded so (DCM 113014, 110180). */
export function studyInstanceUids({ rest, all }: OrderGroup): string[] {
  const found = [
    ...rest.filter((s) => s.name === 'IPC').map((s) => s.value(3)),
    ...all.filter((s) => s.name === 'ZDS').map((s) => s.value(1)),
    ...rest.filter(isStudyReference).map((s) => s.value(5)),
  ];
  return [...new Set(found)].filter((uid) => uid.length <= 64 && UID.test(uid));
}

/** Whether an OBX says which study the report is about, and is no finding. */
export const isStudyReference = (segment: Segment): boolean =>
  segment.name === 'OBX' && ['113014', '110180'].includes(segment.value(3)) && segment.value(3, 3).toUpperCase() === 'DCM';

/** What the studies of a group are referred to by: their UIDs, else the accession number. */
export function studyReferences(group: OrderGroup, field: AccessionField): object[] {
  const uids = studyInstanceUids(group);
  const accession = accessionNumber(group, field);
  const identifiers =
    uids.length > 0 ? uids.map((uid) => ({ system: systems.dicomUid, value: `urn:oid:${uid}` })) : accession ? [accession] : [];
  return identifiers.map((identifier) => ({ type: 'ImagingStudy', identifier }));
}
