/** The File Meta Information that a data set without one needs to be a PS3.10 file. */
export interface FileMeta {
  sopClassUid: string;
  sopInstanceUid: string;
  transferSyntaxUid: string;
}

/** Identifies this implementation (PS3.7 D.3.3.2), derived from a UUID (PS3.5 annex B.2). */
export const implementationClassUid = '2.25.243471289047123507342990417785046195407';

/** Preamble, prefix and File Meta Information (PS3.10 section 7.1). */
export function part10Header({ sopClassUid, sopInstanceUid, transferSyntaxUid }: FileMeta): Buffer {
  const elements = Buffer.concat([
    element(0x0001, 'OB', Buffer.from([0, 1])),
    element(0x0002, 'UI', uid(sopClassUid)),
    element(0x0003, 'UI', uid(sopInstanceUid)),
    element(0x0010, 'UI', uid(transferSyntaxUid)),
    element(0x0012, 'UI', uid(implementationClassUid)),
  ]);
  const groupLength = Buffer.alloc(4);
  groupLength.writeUInt32LE(elements.length);
  return Buffer.concat([Buffer.alloc(128), Buffer.from('DICM'), element(0x0000, 'UL', groupLength), elements]);
}

/** An element of group 0002 in explicit VR little endian. */
function element(number: number, vr: string, value: Buffer): Buffer {
  const head = Buffer.alloc(vr === 'OB' ? 12 : 8);
  head.writeUInt16LE(0x0002, 0);
  head.writeUInt16LE(number, 2);
  head.write(vr, 4, 'latin1');
  if (vr === 'OB') head.writeUInt32LE(value.length, 8);
  else head.writeUInt16LE(value.length, 6);
  return Buffer.concat([head, value]);
}

/** UIDs are padded with NUL to an even length (PS3.5 section 9). */
const uid = (value: string) => Buffer.from(value.length % 2 === 0 ? value : `${value}\0`, 'latin1');
