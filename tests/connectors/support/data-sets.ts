/** Writes small DICOM objects, right and wrong ones, byte by byte. */

type Value = string | Buffer;

export const long = new Set(['OB', 'OW', 'SQ', 'UN', 'UT', 'OV']);

/** One element in explicit VR little endian; text gets its padding. */
export function element(tag: string, vr: string, value: Value): Buffer {
  const bytes =
    typeof value === 'string' ? Buffer.from(value.length % 2 ? `${value}${vr === 'UI' ? '\0' : ' '}` : value, 'latin1') : value;
  const head = Buffer.alloc(long.has(vr) ? 12 : 8);
  head.writeUInt16LE(Number.parseInt(tag.slice(0, 4), 16), 0);
  head.writeUInt16LE(Number.parseInt(tag.slice(4), 16), 2);
  head.write(vr, 4, 'latin1');
  if (long.has(vr)) head.writeUInt32LE(bytes.length, 8);
  else head.writeUInt16LE(bytes.length, 6);
  return Buffer.concat([head, bytes]);
}

export function uint16(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 2);
  values.forEach((value, i) => {
    bytes.writeUInt16LE(value, i * 2);
  });
  return bytes;
}

/** Item headers of encapsulated pixel data and sequences. */
export function item(value: Buffer, tag = 0xe000): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt16LE(0xfffe, 0);
  head.writeUInt16LE(tag, 2);
  head.writeUInt32LE(value.length, 4);
  return Buffer.concat([head, value]);
}

export const sequenceEnd = item(Buffer.alloc(0), 0xe0dd);

/** Pixel Data of undefined length with its fragments. */
export function encapsulatedPixelData(table: Buffer, fragments: Buffer[]): Buffer {
  const head = Buffer.from([0xe0, 0x7f, 0x10, 0x00, 0x4f, 0x42, 0, 0, 0xff, 0xff, 0xff, 0xff]);
  return Buffer.concat([head, item(table), ...fragments.map((fragment) => item(fragment)), sequenceEnd]);
}

export const uids = { study: '1.2.3.4', series: '1.2.3.4.5', instance: '1.2.3.4.5.6', ctStorage: '1.2.840.10008.5.1.4.1.1.2' };

/** A small CT instance; `more` is added to its data set, in the order of tags. */
export function dataSet(more: Record<string, [vr: string, value: Value]> = {}): Buffer {
  const elements: Record<string, [string, Value]> = {
    '00080016': ['UI', uids.ctStorage],
    '00080018': ['UI', uids.instance],
    '00080060': ['CS', 'CT'],
    '00100010': ['PN', 'Wang^XiaoDong'],
    '00100020': ['LO', 'P1'],
    '0020000D': ['UI', uids.study],
    '0020000E': ['UI', uids.series],
    ...more,
  };
  return Buffer.concat(
    Object.keys(elements)
      .sort()
      .map((tag) => element(tag, ...elements[tag]!)),
  );
}

/** A PS3.10 file around a data set. */
export function part10(body: Buffer, transferSyntaxUid = '1.2.840.10008.1.2.1'): Buffer {
  return Buffer.concat([Buffer.alloc(128), Buffer.from('DICM'), element('00020010', 'UI', transferSyntaxUid), body]);
}
