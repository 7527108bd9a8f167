import { protocolError } from '../association/pdu.js';

/** Command Field (0000,0100), PS3.7 annex E.1. A response has the highest bit set. */
export const commands = {
  storeRequest: 0x0001,
  storeResponse: 0x8001,
  getRequest: 0x0010,
  getResponse: 0x8010,
  findRequest: 0x0020,
  findResponse: 0x8020,
  moveRequest: 0x0021,
  moveResponse: 0x8021,
  echoRequest: 0x0030,
  echoResponse: 0x8030,
  cancelRequest: 0x0fff,
} as const;

/** A command set (PS3.7 section 6.3), as far as the hub's services need it. */
export interface Command {
  commandField: number;
  messageId?: number;
  respondedTo?: number;
  sopClassUid?: string;
  sopInstanceUid?: string;
  priority?: number;
  /** Whether a data set follows: Command Data Set Type (0000,0800) is not 0101H. */
  hasDataSet: boolean;
  status?: number;
  /** Error Comment (0000,0902). */
  errorComment?: string;
  moveDestination?: string;
  moveOriginatorAeTitle?: string;
  moveOriginatorMessageId?: number;
  /** Sub-operations (0000,1020) to (0000,1023). */
  remaining?: number;
  completed?: number;
  failed?: number;
  warnings?: number;
}

type Field = Exclude<keyof Command, 'hasDataSet'>;
type Kind = 'number' | 'uid' | 'text';

const noDataSet = 0x0101;
const dataSetType = 0x0800;
/** Elements of group 0000 in order. */
const elements: readonly (readonly [number: number, field: Field, kind: Kind])[] = [
  [0x0002, 'sopClassUid', 'uid'],
  [0x0100, 'commandField', 'number'],
  [0x0110, 'messageId', 'number'],
  [0x0120, 'respondedTo', 'number'],
  [0x0600, 'moveDestination', 'text'],
  [0x0700, 'priority', 'number'],
  [0x0900, 'status', 'number'],
  [0x0902, 'errorComment', 'text'],
  [0x1000, 'sopInstanceUid', 'uid'],
  [0x1020, 'remaining', 'number'],
  [0x1021, 'completed', 'number'],
  [0x1022, 'failed', 'number'],
  [0x1023, 'warnings', 'number'],
  [0x1030, 'moveOriginatorAeTitle', 'text'],
  [0x1031, 'moveOriginatorMessageId', 'number'],
];
const fields = new Map(elements.map(([number, field, kind]) => [number, { field, kind }]));

/** A command set in implicit VR little endian with its group length (PS3.7 6.3.1). */
export function encodeCommand(command: Command): Buffer {
  const given = elements.flatMap(([number, field, kind]) => {
    const value = command[field];
    return value === undefined ? [] : [{ number, value: encodeValue(value, kind) }];
  });
  const type = { number: dataSetType, value: uint16(command.hasDataSet ? 0x0001 : noDataSet) };
  const body = Buffer.concat(
    [...given, type].sort((a, b) => a.number - b.number).map(({ number, value }) => element(number, value)),
  );
  const length = Buffer.alloc(4);
  length.writeUInt32LE(body.length);
  return Buffer.concat([element(0x0000, length), body]);
}

/** @throws SourceError `bad-response` for what is no command set. Elements that the hub does not need are left out. */
export function decodeCommand(bytes: Buffer): Command {
  const command: Partial<Command> = {};
  let type = noDataSet;
  for (let at = 0; at < bytes.length; ) {
    if (bytes.length - at < 8 || bytes.readUInt16LE(at) !== 0)
      throw protocolError('a command set holds something else than its elements');
    const number = bytes.readUInt16LE(at + 2);
    const end = at + 8 + bytes.readUInt32LE(at + 4);
    if (end > bytes.length) throw protocolError('an element is longer than its command set');
    const value = bytes.subarray(at + 8, end);
    const known = fields.get(number);
    if (number === dataSetType && value.length >= 2) type = value.readUInt16LE(0);
    if (known && value.length > 0) Object.assign(command, { [known.field]: decodeValue(value, known.kind) });
    at = end;
  }
  if (command.commandField === undefined) throw protocolError('a command set has no command');
  return { ...command, commandField: command.commandField, hasDataSet: type !== noDataSet };
}

const encodeValue = (value: string | number, kind: Kind): Buffer =>
  kind === 'number' ? uint16(value as number) : padded(String(value), kind === 'uid' ? '\0' : ' ');

function decodeValue(value: Buffer, kind: Kind): string | number | undefined {
  if (kind === 'number') return value.length >= 2 ? value.readUInt16LE(0) : undefined;
  return value.toString('latin1').replace(/\0/g, '').trim().slice(0, 64);
}

function element(number: number, value: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt16LE(number, 2);
  head.writeUInt32LE(value.length, 4);
  return Buffer.concat([head, value]);
}

/** Even length (PS3.5 7.1.1). */
const padded = (text: string, padding: string): Buffer => Buffer.from(text.length % 2 === 0 ? text : text + padding, 'latin1');

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}
