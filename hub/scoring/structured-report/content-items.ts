import { type Concept, codeItem, dcm, ucum } from './coded-concept.js';
import type { Field, Writer } from './elements.js';

/** How an item stands to the one that it is in: Relationship Type (0040,A010). */
export type Relationship = 'CONTAINS' | 'HAS CONCEPT MOD' | 'HAS OBS CONTEXT' | 'SELECTED FROM';

/** A content item of a structured report (PS3.3 table C.17-5), before it is written. */
export interface ContentItem {
  valueType: 'CONTAINER' | 'CODE' | 'NUM' | 'TEXT' | 'UIDREF' | 'PNAME' | 'COMPOSITE' | 'IMAGE' | 'SCOORD';
  /** Absent where the kind of item says enough. */
  name?: Concept;
  children: readonly Child[];
  /** Concepts that its value is made of. */
  concepts: readonly Concept[];
  value(writer: Writer): Field[];
}

export interface Child {
  relationship: Relationship;
  item: ContentItem;
}

export const contains = (item: ContentItem): Child => ({ relationship: 'CONTAINS', item });
export const modifiedBy = (item: ContentItem): Child => ({ relationship: 'HAS CONCEPT MOD', item });
export const observedIn = (item: ContentItem): Child => ({ relationship: 'HAS OBS CONTEXT', item });
export const selectedFrom = (item: ContentItem): Child => ({ relationship: 'SELECTED FROM', item });

/** @param template its number in PS3.16, where it begins one. */
export const container = (name: Concept, children: readonly Child[], template?: string): ContentItem => ({
  valueType: 'CONTAINER',
  name,
  children,
  concepts: [],
  value: (writer) => [
    writer.text('0040A050', 'CS', 'SEPARATE'),
    ...(template
      ? [writer.sequence('0040A504', [[writer.text('00080105', 'CS', 'DCMR'), writer.text('0040DB00', 'CS', template)]])]
      : []),
  ],
});

export const codeValue = (name: Concept, value: Concept, children: readonly Child[] = []): ContentItem => ({
  valueType: 'CODE',
  name,
  children,
  concepts: [value],
  value: (writer) => [writer.sequence('0040A168', [codeItem(writer, value)])],
});

export const textValue = (name: Concept, value: string): ContentItem => ({
  valueType: 'TEXT',
  name,
  children: [],
  concepts: [],
  value: (writer) => [writer.text('0040A160', 'UT', value)],
});

/** @param value a Person Name (PS3.5 table 6.2-1 PN). */
export const personName = (name: Concept, value: string): ContentItem => ({
  valueType: 'PNAME',
  name,
  children: [],
  concepts: [],
  value: (writer) => [writer.text('0040A123', 'PN', value)],
});

export const uidValue = (name: Concept, value: string): ContentItem => ({
  valueType: 'UIDREF',
  name,
  children: [],
  concepts: [],
  value: (writer) => [writer.text('0040A124', 'UI', value)],
});

/** PS3.16 CID 42. */
const NOT_MEASURED = dcm('114007', 'Measurement not attempted');

/** @param value null where there was nothing to measure. @param unit UCUM. */
export const number = (name: Concept, value: number | null, unit: string): ContentItem => ({
  valueType: 'NUM',
  name,
  children: [],
  concepts: value === null ? [NOT_MEASURED] : [],
  value: (writer) =>
    value === null
      ? [writer.sequence('0040A300', []), writer.sequence('0040A301', [codeItem(writer, NOT_MEASURED)])]
      : [
          writer.sequence('0040A300', [
            [
              writer.text('0040A30A', 'DS', decimalString(value)),
              writer.raw('0040A161', 'FD', doubles([value])),
              writer.sequence('004008EA', [codeItem(writer, ucum(unit))]),
            ],
          ]),
        ],
});

/** A reference to an image, or to a frame of it; frames count from 1. */
export const image = (sopClassUid: string, sopInstanceUid: string, frame?: number): ContentItem => ({
  valueType: 'IMAGE',
  children: [],
  concepts: [],
  value: (writer) => [
    writer.sequence('00081199', [
      [
        writer.text('00081150', 'UI', sopClassUid),
        writer.text('00081155', 'UI', sopInstanceUid),
        ...(frame === undefined ? [] : [writer.text('00081160', 'IS', String(frame))]),
      ],
    ]),
  ],
});

/** A reference to another object. */
export const composite = (sopClassUid: string, sopInstanceUid: string): ContentItem => ({
  ...image(sopClassUid, sopInstanceUid),
  valueType: 'COMPOSITE',
});

/** A closed polyline (PS3.3 C.18.6): (0, 0) is the upper left corner of the image. */
export const polyline = (name: Concept, points: readonly (readonly [number, number])[], from: ContentItem): ContentItem => ({
  valueType: 'SCOORD',
  name,
  children: [selectedFrom(from)],
  concepts: [],
  value: (writer) => [
    writer.raw('00700022', 'FL', floats([...points, points[0]!].flat())),
    writer.text('00700023', 'CS', 'POLYLINE'),
  ],
});

/** The elements of an item and of all below it. */
export function written(writer: Writer, item: ContentItem): Field[] {
  return [
    writer.text('0040A040', 'CS', item.valueType),
    ...(item.name ? [writer.sequence('0040A043', [codeItem(writer, item.name)])] : []),
    ...item.value(writer),
    ...(item.children.length === 0
      ? []
      : [
          writer.sequence(
            '0040A730',
            item.children.map((child) => [writer.text('0040A010', 'CS', child.relationship), ...written(writer, child.item)]),
          ),
        ]),
  ];
}

/** Systems of all concepts of an item and of those below it. */
export const systemsIn = ({ name, concepts, children }: ContentItem): string[] => [
  ...(name ? [name.system] : []),
  ...concepts.map(({ system }) => system),
  ...children.flatMap(({ item }) => systemsIn(item)),
];

/** At most 16 characters (PS3.5 table 6.2-1 DS), as exact as fits. */
function decimalString(value: number): string {
  for (let digits = 17; digits > 1; digits--) {
    const text = String(Number(value.toPrecision(digits)));
    if (text.length <= 16) return text;
  }
  return value.toExponential(1);
}

function floats(values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [i, value] of values.entries()) bytes.writeFloatLE(value, i * 4);
  return bytes;
}

function doubles(values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 8);
  for (const [i, value] of values.entries()) bytes.writeDoubleLE(value, i * 8);
  return bytes;
}
