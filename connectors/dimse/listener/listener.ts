import type { Socket } from 'node:net';
import type { TakeChange } from '../../connector.js';
import { listenOn, type Place } from '../../listen-on.js';
import { acceptAssociation } from '../association/accept-association.js';
import type { AssociateRequest } from '../association/associate-pdu.js';
import type { Association, Message, Waits } from '../association/association.js';
import { protocolError, type Rejection, rejections } from '../association/pdu.js';
import { commands } from '../messages/command.js';
import { statuses } from '../messages/status.js';
import { verification } from '../services/echo.js';
import { acknowledge, receivedObject } from '../services/get.js';
import { isStorageClass } from '../services/storage-contexts.js';
import type { Moves } from './moves.js';
import { type TakeSettings, takeObject } from './take-object.js';

export interface ListenerSettings extends Omit<Place, 'maxConnections' | 'handshakeMs'>, TakeSettings {
  /** AE title of the hub, and those that may call it. */
  aeTitle: string;
  callingAeTitles: readonly string[];
  maxAssociations: number;
  maxPduLength: number;
  waits: Waits;
}

/** Command Field of responses: the highest bit. */
const firstResponse = 0x8000;
/** Connections that are no association yet. */
const spareConnections = 20;

/**
 * The hub's Storage SCP (PS3.4 annex B), with Verification: an object is read and let go, and acknowledged when what it tells was taken. Resolves when it listens.
 * @throws SourceError when it cannot listen.
 */
export async function listenForObjects(
  settings: ListenerSettings,
  take: TakeChange,
  moves: Moves,
  signal: AbortSignal,
): Promise<void> {
  const open = new Set<Socket>();
  const serveSocket = (socket: Socket): void => {
    const isBusy = (): boolean => open.size >= settings.maxAssociations;
    serve(socket, settings, { take, moves, isBusy, begin: () => open.add(socket) })
      // The peer was told by A-ABORT, or is gone; the next association is not concerned.
      .catch(() => undefined)
      .finally(() => {
        open.delete(socket);
        setTimeout(() => socket.destroy(), settings.waits.artimMs).unref();
      });
  };
  const maxConnections = settings.maxAssociations + spareConnections;
  await listenOn({ ...settings, maxConnections, handshakeMs: settings.waits.artimMs }, serveSocket, signal);
  moves.isListening = true;
  signal.addEventListener('abort', () => (moves.isListening = false), { once: true });
}

interface Service {
  take: TakeChange;
  moves: Moves;
  isBusy(): boolean;
  begin(): void;
}

async function serve(socket: Socket, settings: ListenerSettings, service: Service): Promise<void> {
  const rejectionOf = (request: AssociateRequest): Rejection | undefined =>
    service.isBusy() ? rejections.busy : wrongTitle(request, settings);
  const isAccepted = (uid: string): boolean => uid === verification || isStorageClass(uid);
  const { maxPduLength, waits } = settings;
  const association = await acceptAssociation(socket, { maxPduLength, waits, rejectionOf, isAccepted });
  if (!association) return;
  service.begin();
  try {
    for (;;) {
      const message = await association.receive(waits.idleMs);
      if (!message) return;
      await answer(association, message, settings, service);
    }
  } catch (error) {
    association.abort(error as Error, 'provider');
    throw error;
  }
}

function wrongTitle(
  { calledAeTitle, callingAeTitle }: AssociateRequest,
  { aeTitle, callingAeTitles }: ListenerSettings,
): Rejection | undefined {
  if (calledAeTitle !== aeTitle) return rejections.calledAeTitle;
  return callingAeTitles.includes(callingAeTitle) ? undefined : rejections.callingAeTitle;
}

async function answer(association: Association, message: Message, settings: ListenerSettings, service: Service): Promise<void> {
  const { contextId, command } = message;
  if (command.commandField === commands.storeRequest) return answerStore(association, message, settings, service);
  if (command.commandField >= firstResponse) throw protocolError('an answer comes to no request');
  const isEcho = command.commandField === commands.echoRequest;
  await association.skip(settings.maxObjectBytes);
  // What it would cancel is done, or was never begun.
  if (command.commandField === commands.cancelRequest) return;
  await association.send(contextId, {
    commandField: command.commandField | firstResponse,
    respondedTo: command.messageId ?? 0,
    sopClassUid: command.sopClassUid,
    status: isEcho ? statuses.success : statuses.unrecognizedOperation,
    hasDataSet: false,
  });
}

async function answerStore(
  association: Association,
  message: Message,
  settings: ListenerSettings,
  { take, moves }: Service,
): Promise<void> {
  const object = receivedObject(association, message);
  const delivered = moves.deliver(message.command, object);
  if (delivered) {
    const isRead = await delivered.then(
      () => true,
      () => false,
    );
    return acknowledge(association, message, isRead ? statuses.success : statuses.outOfResources);
  }
  const { status, comment } = await takeObject(object, settings, take);
  await association.skip(settings.maxObjectBytes);
  await acknowledge(association, message, status, comment);
}
