import { SourceError } from '../../connector.js';
import type { Association } from '../association/association.js';
import type { Moves } from '../listener/moves.js';
import { type Command, commands } from '../messages/command.js';
import { encodeIdentifier, identifierSyntaxes } from '../messages/identifier.js';
import { isPending } from '../messages/status.js';
import { type DimseSource, openSession } from '../source.js';
import { studyRoot } from './find.js';
import { assertDone, type Retrieval } from './get.js';
import type { ReceivedObject } from './received-object.js';

export const moveContext = { abstractSyntax: studyRoot.move, transferSyntaxes: identifierSyntaxes };

/** While objects come, nothing need be said on the association of the C-MOVE itself, ms. */
const longest = 24 * 60 * 60 * 1000;

/**
 * C-MOVE (PS3.4 C.4.2) to the hub's own listener: the objects as they come by associations of the PACS. An object is acknowledged when the next one is asked for, so
 * the PACS sends no faster than they are read.
 * @param wanted SOP Instance UIDs of the objects, as far as they are known.
 * @throws SourceError as `getObjects`; `unreachable` when the hub does not listen in this process.
 */
export async function* moveObjects(
  source: DimseSource,
  moves: Moves,
  { level, keys }: Retrieval,
  wanted: ReadonlySet<string>,
  signal: AbortSignal,
): AsyncGenerator<ReceivedObject> {
  if (!moves.isListening)
    throw new SourceError('unreachable', 'Retrieval by C-MOVE needs the listener, which another process has.');
  const session = await openSession(source, { contexts: [moveContext] }, signal);
  const move = moves.begin(wanted);
  let failure: unknown = new SourceError('bad-response', 'The retrieval was given up.');
  try {
    const { association } = session;
    const context = association.context(studyRoot.move);
    if (!context) throw new SourceError('refused', 'The PACS does not accept C-MOVE with the Study Root model.');
    const command = {
      commandField: commands.moveRequest,
      messageId: move.messageId,
      sopClassUid: studyRoot.move,
      moveDestination: source.peer.callingAeTitle,
      priority: 0,
      hasDataSet: true,
    };
    await association.send(context.id, command, encodeIdentifier({ ...keys, '00080052': level }, context.transferSyntax));
    const { over, result } = watched(finalAnswer(association));
    let received = 0;
    for (;;) {
      const object = await move.next(over, source.peer.waits.responseMs);
      if (object) {
        received += 1;
        yield object;
      } else if (result()) break;
      else throw new SourceError('timeout', 'The PACS sends nothing.');
    }
    const answer = await result()!;
    assertDone(answer.status ?? 0xffff, received, answer.failed ?? 0);
    failure = undefined;
  } catch (error) {
    failure = error;
    throw error;
  } finally {
    move.end();
    await session.close(failure);
  }
}

async function finalAnswer(association: Association): Promise<Command> {
  for (;;) {
    const message = await association.receive(longest);
    if (message?.command.commandField !== commands.moveResponse || message.command.status === undefined)
      throw new SourceError('bad-response', 'The PACS does not answer C-MOVE.');
    if (!isPending(message.command.status)) return message.command;
  }
}

/** Resolves when it is over either way; then the result is there. */
function watched<T>(promise: Promise<T>): { over: Promise<void>; result(): Promise<T> | undefined } {
  let isOver = false;
  const settle = (): void => {
    isOver = true;
  };
  return { over: promise.then(settle, settle), result: () => (isOver ? promise : undefined) };
}
