import type { Outbound } from '../../outbound.js';
import type { SocketTarget } from '../../checked-socket.js';
import { SourceError } from '../../connector.js';
import { decodeAccept, encodeRequest, type ProposedContext, type Role, type UserIdentity } from './associate-pdu.js';
import { type Agreement, Association, type Waits } from './association.js';
import { abortPdu, maxControlPdu, pduHeaderLength, pduTypes, protocolError, rejectionError } from './pdu.js';
import { SocketReader } from './socket-reader.js';

/** A PACS as an association is asked of it. */
export interface Peer {
  outbound: Outbound;
  /** @throws SourceError when a certificate can't be read. */
  target(): SocketTarget;
  calledAeTitle: string;
  callingAeTitle: string;
  identity?: UserIdentity;
  /** Longest P-DATA-TF that this side takes, bytes. */
  maxPduLength: number;
  waits: Waits;
}

/** What an association is for. */
export interface Proposal {
  contexts: readonly Omit<ProposedContext, 'id'>[];
  roles?: readonly Role[];
  /** Requests that this side would like to have under way at once. */
  window?: number;
}

/** Most presentation contexts of one association: their identifiers are the odd numbers of a byte. */
export const maxContexts = 128;
/** Sent at most in one P-DATA-TF, whatever the peer would take. */
const largestSent = 256 * 1024;
const leastSent = 1_024;

/**
 * Connects and asks for an association (PS3.8 section 7.1).
 * @throws SourceError `refused` with the peer's reason, `unreachable`, `timeout`, `bad-response`, `forbidden-address`; the signal's reason.
 */
export async function requestAssociation(peer: Peer, proposal: Proposal, signal: AbortSignal): Promise<Association> {
  const socket = await peer.outbound.connect(peer.target(), signal);
  socket.setNoDelay(true);
  const reader = new SocketReader(socket);
  const giveUp = (): void => {
    reader.giveUp(signal.reason);
    socket.destroy();
  };
  signal.addEventListener('abort', giveUp, { once: true });
  try {
    const contexts = proposal.contexts.map((context, i) => ({ ...context, id: 2 * i + 1 }));
    const { calledAeTitle, callingAeTitle, maxPduLength, identity } = peer;
    const window = proposal.window ?? 1;
    socket.write(
      encodeRequest({
        calledAeTitle,
        callingAeTitle,
        contexts,
        user: {
          maxPduLength,
          roles: proposal.roles ?? [],
          identity,
          ...(window > 1 ? { operations: { invoked: window, performed: 1 } } : {}),
        },
      }),
    );
    const accepted = decodeAccept(await acceptance(reader, peer.waits.artimMs));
    const agreement = agreementOf(peer, contexts, accepted, window);
    const association = new Association(socket, reader, agreement, peer.waits);
    const abort = (): void => association.abort(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    socket.once('close', () => signal.removeEventListener('abort', abort));
    return association;
  } catch (error) {
    socket.end(abortPdu('user')).destroySoon();
    throw error;
  } finally {
    signal.removeEventListener('abort', giveUp);
  }
}

async function acceptance(reader: SocketReader, waitMs: number): Promise<Buffer> {
  const until = performance.now() + waitMs;
  const header = await reader.exactly(pduHeaderLength, waitMs);
  const length = header.readUInt32BE(2);
  if (length > maxControlPdu) throw protocolError('the answer to the association is too long');
  const body = length === 0 ? Buffer.alloc(0) : await reader.exactly(length, until - performance.now());
  if (header[0] === pduTypes.associateAccept) return body;
  if (header[0] === pduTypes.associateReject) throw rejectionError(body);
  if (header[0] === pduTypes.abort) throw new SourceError('refused', 'The PACS aborts the association.');
  throw protocolError('no answer to the association came');
}

function agreementOf(
  peer: Peer,
  proposed: readonly ProposedContext[],
  accepted: ReturnType<typeof decodeAccept>,
  window: number,
): Agreement {
  const contexts = accepted.contexts.flatMap(({ id, result, transferSyntax }) => {
    const asked = proposed.find((context) => context.id === id);
    const isAgreed = result === 0 && asked?.transferSyntaxes.includes(transferSyntax);
    return asked && isAgreed ? [{ id, abstractSyntax: asked.abstractSyntax, transferSyntax }] : [];
  });
  const { operations } = accepted.user;
  return {
    contexts,
    sendLimit: sendLimitOf(accepted.user.maxPduLength),
    receiveLimit: peer.maxPduLength,
    window: operations ? Math.min(window, operations.invoked === 0 ? window : operations.invoked) : 1,
    calledAeTitle: peer.calledAeTitle,
    callingAeTitle: peer.callingAeTitle,
  };
}

/** How long a P-DATA-TF may be, by what the peer says it takes. @throws SourceError when that is too little to be used. */
export function sendLimitOf(maxPduLength: number): number {
  if (maxPduLength === 0) return largestSent;
  if (maxPduLength < leastSent) throw protocolError('it takes no PDU of a useful length');
  return Math.min(maxPduLength, largestSent);
}
