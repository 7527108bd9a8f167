import { SourceError } from '../../connector.js';

/** Protocol data units of the DICOM Upper Layer (PS3.8 section 9.3). */
export const pduTypes = {
  associateRequest: 1,
  associateAccept: 2,
  associateReject: 3,
  data: 4,
  releaseRequest: 5,
  releaseResponse: 6,
  abort: 7,
} as const;

/** Type and length that begin every PDU. */
export const pduHeaderLength = 6;
/** Length, presentation context and control that begin every presentation data value (PS3.8 9.3.5.1), without the value. */
export const pdvHeaderLength = 6;

/** Largest PDU other than P-DATA-TF: 128 presentation contexts with all their transfer syntaxes have room in it. */
export const maxControlPdu = 512 * 1024;

export function pdu(type: number, body: Buffer): Buffer {
  const header = Buffer.alloc(pduHeaderLength);
  header[0] = type;
  header.writeUInt32BE(body.length, 2);
  return Buffer.concat([header, body]);
}

export const releaseRequest = (): Buffer => pdu(pduTypes.releaseRequest, Buffer.alloc(4));
export const releaseResponse = (): Buffer => pdu(pduTypes.releaseResponse, Buffer.alloc(4));

/** Sources of A-ABORT (PS3.8 table 9-26). */
export type AbortSource = 'user' | 'provider';

/** A-ABORT. Reasons of a provider: 1 unrecognized PDU, 2 unexpected PDU, 5 unexpected parameter, 6 invalid parameter value. */
export const abortPdu = (source: AbortSource, reason = 0): Buffer =>
  pdu(pduTypes.abort, Buffer.from([0, 0, source === 'user' ? 0 : 2, source === 'user' ? 0 : reason]));

/** Why an association was refused (PS3.8 table 9-21). */
export interface Rejection {
  /** 1 permanent, 2 transient. */
  result: number;
  /** 1 service user, 2 provider (ACSE), 3 provider (presentation). */
  source: number;
  reason: number;
}

/** Reasons that the hub gives. */
export const rejections = {
  noReason: { result: 1, source: 1, reason: 1 },
  calledAeTitle: { result: 1, source: 1, reason: 7 },
  callingAeTitle: { result: 1, source: 1, reason: 3 },
  busy: { result: 2, source: 3, reason: 2 },
} satisfies Record<string, Rejection>;

export const rejectPdu = ({ result, source, reason }: Rejection): Buffer =>
  pdu(pduTypes.associateReject, Buffer.from([0, result, source, reason]));

/** A refused association as a person understands it. */
export function rejectionError(body: Buffer): SourceError {
  const [, result = 0, source = 0, reason = 0] = body;
  const said = reasons[`${source}.${reason}`] ?? `source ${source}, reason ${reason}`;
  if (result === 2) return new SourceError('unreachable', `The PACS takes no association now (${said}).`);
  return new SourceError('refused', `The PACS refuses the association (${said}).`);
}

const reasons: Record<string, string> = {
  '1.1': 'no reason given',
  '1.2': 'application context not supported',
  '1.3': 'calling AE title not recognized',
  '1.7': 'called AE title not recognized',
  '2.1': 'no reason given',
  '2.2': 'protocol version not supported',
  '3.1': 'temporary congestion',
  '3.2': 'local limit exceeded',
};

/** What goes against PS3.8 or PS3.7. */
export const protocolError = (detail: string): SourceError =>
  new SourceError('bad-response', `The peer breaks the DICOM protocol: ${detail}.`);
