import type { Socket } from 'node:net';
import { type AssociateRequest, type ContextResult, decodeRequest, encodeAccept, type ProposedContext } from './associate-pdu.js';
import { Association, type Context, type Waits } from './association.js';
import { type Rejection, abortPdu, maxControlPdu, pduHeaderLength, pduTypes, protocolError, rejectPdu } from './pdu.js';
import { sendLimitOf } from './request-association.js';
import { SocketReader } from './socket-reader.js';

/** What the hub decides about an association that is asked of it. */
export interface Acceptance {
  /** Longest P-DATA-TF that is taken, bytes. */
  maxPduLength: number;
  waits: Waits;
  /** Why the association is refused, if it is. */
  rejectionOf(request: AssociateRequest): Rejection | undefined;
  isAccepted(abstractSyntax: string): boolean;
}

/** The fixed part of an A-ASSOCIATE-RQ, bytes. */
const shortestRequest = 68;
/** Those that the hub can read: PS3.5's, not private ones. */
const transferSyntaxRoot = '1.2.840.10008.1.2';

/**
 * Reads the request for an association and answers it (PS3.8 section 7.1). Of a context's transfer syntaxes the first is taken: the one that the sender would
 * rather send. Undefined when the association was refused.
 * @throws SourceError when what comes is no request, or not in time.
 */
export async function acceptAssociation(socket: Socket, acceptance: Acceptance): Promise<Association | undefined> {
  const { waits, maxPduLength } = acceptance;
  const reader = new SocketReader(socket);
  const until = performance.now() + waits.artimMs;
  const header = await reader.exactly(pduHeaderLength, waits.artimMs);
  const length = header.readUInt32BE(2);
  if (header[0] !== pduTypes.associateRequest || length < shortestRequest || length > maxControlPdu) {
    socket.end(abortPdu('provider', 2));
    throw protocolError('no association is asked for');
  }
  const request = decodeRequest(await reader.exactly(length, until - performance.now()));
  const rejection = acceptance.rejectionOf(request);
  if (rejection) {
    socket.end(rejectPdu(rejection));
    return undefined;
  }
  const { calledAeTitle, callingAeTitle } = request;
  const results = request.contexts.map((context) => resultFor(context, acceptance));
  const sendLimit = sendLimitOf(request.user.maxPduLength);
  socket.write(encodeAccept({ calledAeTitle, callingAeTitle, contexts: results, user: { maxPduLength, roles: [] } }));
  const contexts = request.contexts.flatMap(({ id, abstractSyntax }, i): Context[] => {
    const { result, transferSyntax } = results[i]!;
    return result === 0 ? [{ id, abstractSyntax, transferSyntax }] : [];
  });
  return new Association(
    socket,
    reader,
    { contexts, sendLimit, receiveLimit: maxPduLength, window: 1, calledAeTitle, callingAeTitle },
    waits,
  );
}

function resultFor({ id, abstractSyntax, transferSyntaxes }: ProposedContext, { isAccepted }: Acceptance): ContextResult {
  const transferSyntax = transferSyntaxes.find((uid) => uid === transferSyntaxRoot || uid.startsWith(`${transferSyntaxRoot}.`));
  const result = !isAccepted(abstractSyntax) ? 3 : transferSyntax === undefined ? 4 : 0;
  return { id, result, transferSyntax: transferSyntax ?? transferSyntaxRoot };
}
