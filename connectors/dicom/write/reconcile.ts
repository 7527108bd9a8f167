import type { Part10Object, QuarantineReason } from '../../connector.js';
import { bufferSource } from '../byte-source.js';
import { decoderFor } from '../charset.js';
import type { DataSet } from '../data-set.js';
import { type DicomObject, openDicom, uidOf } from '../part10.js';
import { type DicomLimits, DicomProblem, defaultLimits } from '../problem.js';
import { elementBytes, itemBytes, sequenceBytes, undefinedLength } from './encode.js';
import { type Encode, encoderFor, utf8 } from './encode-text.js';
import { characterSetOf, textInUtf8 } from './recode.js';
import { type Replacements, splice } from './splice.js';

/** Who assigns identifiers: HL7v2 Hierarchic Designator (PS3.3 tables 10-17 and 10-18). */
export interface Assigner {
  /** Local namespace, at most 64 characters. */
  namespace?: string;
  /** Universal Entity ID with its type. */
  universal?: { id: string; type: 'ISO' | 'URI' | 'UUID' | 'DNS' };
}

/** What the object must be: an archive that answers with another one is not believed. */
export interface ExpectedObject {
  studyInstanceUid: string;
  seriesInstanceUid: string;
  /** Patient IDs that its patient has where it comes from; none: it must have none. */
  patientIds: readonly string[];
}

/** What an object is filed under where it is going to, and how the change is signed. */
export interface Reconciliation {
  /** Patient ID (0010,0020) of the recipient and its issuer. */
  patientId: string;
  issuer: Assigner;
  /** Patient's Name (0010,0010), all component groups. */
  patientName: string;
  /** Accession Number (0008,0050) of the recipient; without one it is emptied. */
  accession?: { number: string; issuer?: Assigner };
  /** Issuer of the Patient ID that the object comes with, where it does not say itself. */
  originalIssuer: Assigner;
  /** Who sent the object: Source of Previous Values (0400,0564). */
  source: string;
  /** Modifying System (0400,0563). */
  modifyingSystem: string;
  /** Attribute Modification DateTime (0400,0562). The same instant makes the same bytes. */
  at: Date;
}

export type Reconciled =
  | { ok: true; object: Part10Object }
  | {
      ok: false;
      reason: QuarantineReason;
      /** One sentence for a person; never patient data. */
      detail: string;
      /** Where it could be read. */
      sopInstanceUid?: string;
    };

const tags = {
  accessionNumber: '00080050',
  issuerOfAccession: '00080051',
  patientName: '00100010',
  patientId: '00100020',
  issuer: '00100021',
  issuerQualifiers: '00100024',
  otherPatientIds: '00101002',
  requestAttributes: '00400275',
  originalAttributes: '04000561',
  modifiedAttributes: '04000550',
} as const;

/** What is changed or taken out: its values before go into the Original Attributes Sequence. Orders are the other hospital's. */
const changed = [
  tags.accessionNumber,
  tags.issuerOfAccession,
  tags.patientName,
  tags.patientId,
  tags.issuer,
  tags.issuerQualifiers,
  tags.requestAttributes,
] as const;

/** The whole object is in memory already, so its header may be long. */
const limits: DicomLimits = { ...defaultLimits, maxHeaderBytes: 512 * 1024 * 1024 };

/**
 * Import reconciliation (IHE RAD IRWF.b; PS3.3 C.12.1.1.9): identifiers and name of the patient, and the accession number, become the recipient's;
 * what they were stands in Original Attributes Sequence (0400,0561) and Other Patient IDs Sequence (0010,1002). UIDs, pixel data, transfer syntax and all
 * other elements stay, byte for byte. Where the new text can't be written in the object's Specific Character Set, all its text becomes UTF-8.
 */
export async function reconcile(file: Buffer, to: Reconciliation, expected?: ExpectedObject): Promise<Reconciled> {
  let sopInstanceUid: string | undefined;
  try {
    const object = await openDicom(bufferSource(file), limits);
    const sopClassUid = uidOf(object.dataSet, '00080016');
    sopInstanceUid = uidOf(object.dataSet, '00080018');
    if (expected) assertExpected(object.dataSet, expected);
    if (!sopClassUid || !sopInstanceUid)
      throw new DicomProblem('missing-identifier', 'The object has no SOP Class or Instance UID.');
    const { transferSyntaxUid } = object;
    const bytes = await splice(object, file, await replacementsFor(object, to));
    return { ok: true, object: { sopClassUid, sopInstanceUid, transferSyntaxUid, bytes } };
  } catch (error) {
    if (error instanceof DicomProblem) return { ok: false, reason: error.reason, detail: error.message, sopInstanceUid };
    throw error;
  }
}

function assertExpected(dataSet: DataSet, { studyInstanceUid, seriesInstanceUid, patientIds }: ExpectedObject): void {
  if (uidOf(dataSet, '0020000D') !== studyInstanceUid || uidOf(dataSet, '0020000E') !== seriesInstanceUid)
    throw new DicomProblem('sop-instance-conflict', 'The archive sent an object of another study or series.');
  const value = dataSet.elements.get(tags.patientId)?.value ?? Buffer.alloc(0);
  const number = decoderFor(characterSetOf(dataSet) ?? [])(value)
    .replace(/\0/g, '')
    .trim();
  if (number === '' ? patientIds.length > 0 : !patientIds.includes(number))
    throw new DicomProblem(
      'patient-conflict',
      'The archive has the object under another patient number than the one that is known.',
    );
}

async function replacementsFor(object: DicomObject, to: Reconciliation): Promise<Replacements> {
  const body = await object.body.read(0, object.body.length);
  const encode = encoderFor(characterSetOf(object.dataSet) ?? []);
  if (textsOf(to).every((text) => encode(text) !== undefined))
    return identityOf({ dataSet: object.dataSet, encode, before: (tag) => originalBytes(object.dataSet, body, tag) }, to);
  const recoded = textInUtf8(object.dataSet, body);
  recoded.set('00080005', elementBytes('00080005', 'CS', Buffer.from('ISO_IR 192'), object.dataSet));
  const groupLengths = [...object.dataSet.elements.keys()].filter((tag) => tag.endsWith('0000'));
  const before = (tag: string) => recoded.get(tag) ?? originalBytes(object.dataSet, body, tag);
  const identity = identityOf({ dataSet: object.dataSet, encode: utf8, before }, to);
  return new Map<string, Buffer | null>([...recoded, ...groupLengths.map((tag) => [tag, null] as const), ...identity]);
}

/** All text that is added. */
const textsOf = ({
  patientId,
  patientName,
  accession,
  issuer,
  originalIssuer,
  source,
  modifyingSystem,
}: Reconciliation): string[] => [
  ...[patientId, patientName, source, modifyingSystem, accession?.number ?? ''],
  ...[issuer, originalIssuer, accession?.issuer].flatMap((each) => [each?.namespace ?? '', each?.universal?.id ?? '']),
];

function originalBytes(dataSet: DataSet, body: Buffer, tag: string): Buffer | undefined {
  const element = dataSet.elements.get(tag);
  return element && body.subarray(element.start, element.end);
}

/** What is written into one data set: its encoding, and how text and elements as they were are got. */
interface Writing {
  dataSet: DataSet;
  encode: Encode;
  /** The bytes of an element as it was. */
  before(tag: string): Buffer | undefined;
}

function identityOf(writing: Writing, to: Reconciliation): Map<string, Buffer | null> {
  const text = (tag: string, vr: string, value: string) => textBytes(writing, tag, vr, value);
  return new Map<string, Buffer | null>([
    [tags.accessionNumber, text(tags.accessionNumber, 'SH', to.accession?.number ?? '')],
    [tags.issuerOfAccession, designator(writing, tags.issuerOfAccession, to.accession?.issuer ?? {})],
    [tags.patientName, text(tags.patientName, 'PN', to.patientName)],
    [tags.patientId, text(tags.patientId, 'LO', to.patientId)],
    [tags.issuer, to.issuer.namespace ? text(tags.issuer, 'LO', to.issuer.namespace) : null],
    [tags.issuerQualifiers, designator(writing, tags.issuerQualifiers, { universal: to.issuer.universal })],
    [tags.requestAttributes, null],
    ...appended(writing, tags.otherPatientIds, otherPatientId(writing, to)),
    ...appended(writing, tags.originalAttributes, originalAttributes(writing, to)),
  ]);
}

function textBytes({ dataSet, encode }: Writing, tag: string, vr: string, value: string): Buffer {
  const bytes = encode(value);
  if (!bytes) throw new Error('text that does not fit the character set of the object');
  return elementBytes(tag, vr, bytes, dataSet);
}

/** HL7v2 Hierarchic Designator Macro (PS3.3 table 10-17) as a sequence of one item; null for one that names nobody. */
function designator(writing: Writing, tag: string, { namespace, universal }: Assigner): Buffer | null {
  const item = [
    ...(namespace ? [textBytes(writing, '00400031', 'UT', namespace)] : []),
    ...(universal
      ? [textBytes(writing, '00400032', 'UT', universal.id), textBytes(writing, '00400033', 'CS', universal.type)]
      : []),
  ];
  return item.length === 0 ? null : sequenceBytes(tag, [Buffer.concat(item)], writing.dataSet);
}

/** An item of Other Patient IDs Sequence: the number that the object came with, and whose it is. */
function otherPatientId(writing: Writing, { originalIssuer }: Reconciliation): Buffer | undefined {
  const { dataSet, before } = writing;
  const number = before(tags.patientId);
  if (!number || !dataSet.elements.get(tags.patientId)?.value?.some((byte) => byte > 0x20)) return undefined;
  const stated = [before(tags.issuer), before(tags.issuerQualifiers)];
  const isStated = dataSet.elements.get(tags.issuer)?.value?.some((byte) => byte > 0x20) || stated[1] !== undefined;
  const [issuer, qualifiers] = isStated
    ? stated
    : [
        originalIssuer.namespace ? textBytes(writing, tags.issuer, 'LO', originalIssuer.namespace) : undefined,
        designator(writing, tags.issuerQualifiers, { universal: originalIssuer.universal }),
      ];
  const type = textBytes(writing, '00100022', 'CS', 'TEXT');
  return Buffer.concat([number, issuer, type, qualifiers].flatMap((bytes) => bytes ?? []));
}

/** An item of Original Attributes Sequence (PS3.3 table C.12-1). */
function originalAttributes(writing: Writing, { at, modifyingSystem, source }: Reconciliation): Buffer {
  const text = (tag: string, vr: string, value: string) => textBytes(writing, tag, vr, value);
  const originals = Buffer.concat(changed.flatMap((tag) => writing.before(tag) ?? []));
  return Buffer.concat([
    sequenceBytes(tags.modifiedAttributes, [originals], writing.dataSet),
    text('04000562', 'DT', dateTime(at)),
    text('04000563', 'LO', modifyingSystem),
    text('04000564', 'LO', source),
    text('04000565', 'CS', 'COERCE'),
  ]);
}

/** A sequence with one item more at its end; what it held stays. */
function appended({ dataSet, before }: Writing, tag: string, item: Buffer | undefined): [string, Buffer][] {
  if (!item) return [];
  const known = before(tag);
  if (!known) return [[tag, sequenceBytes(tag, [item], dataSet)]];
  const headLength = dataSet.explicit ? 12 : 8;
  if (dataSet.explicit && known.toString('latin1', 4, 6) !== 'SQ')
    throw new DicomProblem('malformed', `Element ${tag} is no sequence.`);
  const isDelimited = known.readUInt32LE(headLength - 4) === undefinedLength;
  const items = known.subarray(headLength, known.length - (isDelimited ? 8 : 0));
  return [[tag, elementBytes(tag, 'SQ', Buffer.concat([items, itemBytes(item, dataSet)]), dataSet)]];
}

/** `YYYYMMDDHHMMSS.FFFFFF&ZZXX` (PS3.5 table 6.2-1), in UTC. */
const dateTime = (at: Date): string => `${at.toISOString().replace(/[-:TZ]/g, '')}000+0000`;
