import { implementationClassUid } from '../../dicom/part10-header.js';
import { pdu, pduTypes, protocolError } from './pdu.js';

/** A presentation context as the requestor proposes it (PS3.8 9.3.2.2). */
export interface ProposedContext {
  /** Odd, 1 to 255. */
  id: number;
  abstractSyntax: string;
  transferSyntaxes: readonly string[];
}

/** The acceptor's answer to one (PS3.8 9.3.3.2). */
export interface ContextResult {
  id: number;
  /** 0 acceptance, 1 user rejection, 2 no reason, 3 abstract syntax not supported, 4 transfer syntaxes not supported. */
  result: number;
  transferSyntax: string;
}

/** SCP/SCU Role Selection (PS3.7 D.3.3.4). */
export interface Role {
  sopClassUid: string;
  scu: boolean;
  scp: boolean;
}

/** User Identity Negotiation (PS3.7 D.3.3.7): a name, or a name with its passcode. */
export interface UserIdentity {
  username: string;
  passcode?: string;
}

/** User Information (PS3.8 D.1, PS3.7 D.3.3). */
export interface UserInformation {
  /** Longest P-DATA-TF that this side takes, bytes after its header; 0: any. */
  maxPduLength: number;
  /** Asynchronous Operations Window (PS3.7 D.3.3.3); 0: any number, absent: one. */
  operations?: { invoked: number; performed: number };
  roles: readonly Role[];
  identity?: UserIdentity;
}

export interface AssociateRequest {
  calledAeTitle: string;
  callingAeTitle: string;
  contexts: readonly ProposedContext[];
  user: UserInformation;
}

export interface AssociateAccept {
  calledAeTitle: string;
  callingAeTitle: string;
  contexts: readonly ContextResult[];
  user: UserInformation;
}

const applicationContextName = '1.2.840.10008.3.1.1.1';
const maxItems = 2_000;

const items = {
  applicationContext: 0x10,
  proposedContext: 0x20,
  contextResult: 0x21,
  abstractSyntax: 0x30,
  transferSyntax: 0x40,
  userInformation: 0x50,
  maxLength: 0x51,
  implementationClass: 0x52,
  operations: 0x53,
  role: 0x54,
  implementationVersion: 0x55,
  identity: 0x58,
} as const;

/** A-ASSOCIATE-RQ (PS3.8 9.3.2). */
export function encodeRequest({ contexts, user, ...titles }: AssociateRequest): Buffer {
  const proposed = contexts.map(({ id, abstractSyntax, transferSyntaxes }) =>
    item(items.proposedContext, [
      Buffer.from([id, 0, 0, 0]),
      item(items.abstractSyntax, [ascii(abstractSyntax)]),
      ...transferSyntaxes.map((uid) => item(items.transferSyntax, [ascii(uid)])),
    ]),
  );
  return pdu(pduTypes.associateRequest, Buffer.concat([head(titles), ...proposed, userInformation(user)]));
}

/** A-ASSOCIATE-AC (PS3.8 9.3.3). */
export function encodeAccept({ contexts, user, ...titles }: AssociateAccept): Buffer {
  const results = contexts.map(({ id, result, transferSyntax }) =>
    item(items.contextResult, [Buffer.from([id, 0, result, 0]), item(items.transferSyntax, [ascii(transferSyntax)])]),
  );
  return pdu(pduTypes.associateAccept, Buffer.concat([head(titles), ...results, userInformation(user)]));
}

/** @throws SourceError `bad-response` for what is not encoded as PS3.8 says. */
export function decodeRequest(body: Buffer): AssociateRequest {
  const { titles, parts } = decodeHead(body);
  const contexts = parts
    .filter(({ type }) => type === items.proposedContext)
    .map(({ value }): ProposedContext => {
      const syntaxes = decodeItems(value.subarray(4));
      const abstractSyntax = syntaxes.find(({ type }) => type === items.abstractSyntax);
      const transferSyntaxes = syntaxes.filter(({ type }) => type === items.transferSyntax);
      return {
        id: value[0] ?? 0,
        abstractSyntax: abstractSyntax ? uid(abstractSyntax.value) : '',
        transferSyntaxes: transferSyntaxes.map((syntax) => uid(syntax.value)),
      };
    });
  return { ...titles, contexts, user: decodeUser(parts) };
}

/** @throws SourceError `bad-response` for what is not encoded as PS3.8 says. */
export function decodeAccept(body: Buffer): AssociateAccept {
  const { titles, parts } = decodeHead(body);
  const contexts = parts
    .filter(({ type }) => type === items.contextResult)
    .map(({ value }): ContextResult => {
      const syntax = decodeItems(value.subarray(4)).find(({ type }) => type === items.transferSyntax);
      return { id: value[0] ?? 0, result: value[2] ?? 2, transferSyntax: syntax ? uid(syntax.value) : '' };
    });
  return { ...titles, contexts, user: decodeUser(parts) };
}

function head({ calledAeTitle, callingAeTitle }: Pick<AssociateRequest, 'calledAeTitle' | 'callingAeTitle'>): Buffer {
  const fixed = Buffer.alloc(68);
  fixed.writeUInt16BE(1, 0);
  fixed.write(calledAeTitle.padEnd(16), 4, 16, 'latin1');
  fixed.write(callingAeTitle.padEnd(16), 20, 16, 'latin1');
  return Buffer.concat([fixed, item(items.applicationContext, [ascii(applicationContextName)])]);
}

function userInformation({ maxPduLength, operations, roles, identity }: UserInformation): Buffer {
  return item(items.userInformation, [
    item(items.maxLength, [uint32(maxPduLength)]),
    item(items.implementationClass, [ascii(implementationClassUid)]),
    ...(operations ? [item(items.operations, [uint16(operations.invoked), uint16(operations.performed)])] : []),
    ...roles.map(({ sopClassUid, scu, scp }) =>
      item(items.role, [sized(ascii(sopClassUid)), Buffer.from([scu ? 1 : 0, scp ? 1 : 0])]),
    ),
    ...(identity ? [item(items.identity, userIdentity(identity))] : []),
  ]);
}

/** No positive response is asked for: the association itself is the answer. */
const userIdentity = ({ username, passcode }: UserIdentity): Buffer[] => [
  Buffer.from([passcode === undefined ? 1 : 2, 0]),
  sized(Buffer.from(username, 'utf8')),
  sized(Buffer.from(passcode ?? '', 'utf8')),
];

interface Item {
  type: number;
  value: Buffer;
}

function decodeHead(body: Buffer) {
  if (body.length < 68) throw protocolError('an association PDU is too short');
  const title = (at: number) =>
    body
      .toString('latin1', at, at + 16)
      .replace(/\0/g, ' ')
      .trim();
  return { titles: { calledAeTitle: title(4), callingAeTitle: title(20) }, parts: decodeItems(body.subarray(68)) };
}

function decodeUser(parts: readonly Item[]): UserInformation {
  const information = parts.find(({ type }) => type === items.userInformation);
  const subItems = information ? decodeItems(information.value) : [];
  const maxLength = subItems.find(({ type, value }) => type === items.maxLength && value.length >= 4);
  const window = subItems.find(({ type, value }) => type === items.operations && value.length >= 4);
  return {
    maxPduLength: maxLength?.value.readUInt32BE(0) ?? 0,
    ...(window ? { operations: { invoked: window.value.readUInt16BE(0), performed: window.value.readUInt16BE(2) } } : {}),
    roles: subItems.filter(({ type }) => type === items.role).map(({ value }) => decodeRole(value)),
  };
}

function decodeRole(value: Buffer): Role {
  const length = value.length >= 2 ? value.readUInt16BE(0) : 0;
  if (value.length < length + 4) throw protocolError('a role selection is too short');
  return { sopClassUid: uid(value.subarray(2, 2 + length)), scu: value[2 + length] === 1, scp: value[3 + length] === 1 };
}

/** Items and sub-items: type, a reserved byte, length, value. */
function decodeItems(body: Buffer): Item[] {
  const found: Item[] = [];
  for (let at = 0; at < body.length; ) {
    if (body.length - at < 4) throw protocolError('an item of an association PDU is too short');
    const end = at + 4 + body.readUInt16BE(at + 2);
    if (end > body.length) throw protocolError('an item is longer than its association PDU');
    if (found.length >= maxItems) throw protocolError('an association PDU has too many items');
    found.push({ type: body[at]!, value: body.subarray(at + 4, end) });
    at = end;
  }
  return found;
}

function item(type: number, values: readonly Buffer[]): Buffer {
  const value = Buffer.concat(values);
  return Buffer.concat([Buffer.from([type, 0]), uint16(value.length), value]);
}

const sized = (value: Buffer): Buffer => Buffer.concat([uint16(value.length), value]);
const ascii = (text: string): Buffer => Buffer.from(text, 'latin1');
const uid = (value: Buffer): string =>
  value
    .toString('latin1')
    .replace(/[\0\s]+$/, '')
    .slice(0, 64);

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
