import { SourceError } from '../../connector.js';
import { commands } from '../messages/command.js';
import { encodeIdentifier, identifierSyntaxes, type Keys } from '../messages/identifier.js';
import { isPending, isWarning, statuses, statusText } from '../messages/status.js';
import { type DimseSource, openSession } from '../source.js';
import type { Proposal } from '../association/request-association.js';
import type { Association, Message } from '../association/association.js';
import { type Level, studyRoot } from './find.js';
import type { ReceivedObject } from './received-object.js';

/** What is wanted of a PACS: the keys of its level and those above (PS3.4 C.4.3.1.3). */
export interface Retrieval {
  level: Level;
  keys: Keys;
}

export const getContext = { abstractSyntax: studyRoot.get, transferSyntaxes: identifierSyntaxes };

/**
 * C-GET (PS3.4 C.4.3): the objects as they come over the same association. An object is acknowledged when the next one is asked for, so the PACS sends no
 * faster than they are read. Whoever stops before the end aborts the association.
 * @throws SourceError `refused` when the PACS has no C-GET, `not-found` when it has nothing, `bad-response` when it fails.
 */
export async function* getObjects(
  source: DimseSource,
  { level, keys }: Retrieval,
  proposal: Proposal,
  signal: AbortSignal,
): AsyncGenerator<ReceivedObject> {
  const session = await openSession(source, proposal, signal);
  let failure: unknown = new SourceError('bad-response', 'The retrieval was given up.');
  try {
    const { association } = session;
    const context = association.context(studyRoot.get);
    if (!context) throw new SourceError('refused', 'The PACS does not accept C-GET with the Study Root model.');
    const request = {
      commandField: commands.getRequest,
      messageId: 1,
      sopClassUid: studyRoot.get,
      priority: 0,
      hasDataSet: true,
    };
    await association.send(context.id, request, encodeIdentifier({ ...keys, '00080052': level }, context.transferSyntax));
    let received = 0;
    for (;;) {
      const message = await association.receive();
      if (message?.command.commandField === commands.storeRequest) {
        received += 1;
        yield receivedObject(association, message);
        await acknowledge(association, message, statuses.success);
        continue;
      }
      const status = message?.command.status;
      if (message?.command.commandField !== commands.getResponse || status === undefined)
        throw new SourceError('bad-response', 'The PACS does not answer C-GET.');
      if (isPending(status)) continue;
      assertDone(status, received, message.command.failed ?? 0);
      break;
    }
    failure = undefined;
  } catch (error) {
    failure = error;
    throw error;
  } finally {
    await session.close(failure);
  }
}

/** A C-STORE request as the object that it brings. @throws SourceError `bad-response` when it has none. */
export function receivedObject(association: Association, { contextId, command, data }: Message): ReceivedObject {
  const { sopClassUid, sopInstanceUid, hasDataSet } = command;
  const context = association.agreement.contexts.find(({ id }) => id === contextId);
  if (!context || !hasDataSet || sopClassUid === undefined || sopInstanceUid === undefined)
    throw new SourceError('bad-response', 'The PACS sends a C-STORE without an object.');
  return { sopClassUid, sopInstanceUid, transferSyntaxUid: context.transferSyntax, data };
}

/** Answers a C-STORE, after what is left of its data set. */
export async function acknowledge(
  association: Association,
  { contextId, command }: Message,
  status: number,
  errorComment?: string,
): Promise<void> {
  await association.skip();
  await association.send(contextId, {
    commandField: commands.storeResponse,
    respondedTo: command.messageId ?? 0,
    sopClassUid: command.sopClassUid,
    sopInstanceUid: command.sopInstanceUid,
    status,
    errorComment,
    hasDataSet: false,
  });
}

/** Objects that the PACS has and did not send: perhaps in another transfer syntax. */
export class NotSent extends SourceError {}

/** What the PACS says at the end of a C-GET or C-MOVE. */
export function assertDone(status: number, received: number, failed: number): void {
  if (failed > 0 || status === statuses.noSubOperations)
    throw new NotSent('bad-response', `The PACS could not send ${failed || 'any'} of the objects.`);
  if (status !== statuses.success && !isWarning(status))
    throw new SourceError('bad-response', `The PACS answers the retrieval with ${statusText(status)}.`);
  if (received === 0) throw new SourceError('not-found', 'The PACS has nothing to send.');
}
