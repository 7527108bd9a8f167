import { SourceError } from '../../connector.js';
import type { Command } from '../messages/command.js';
import type { ReceivedObject } from '../services/received-object.js';

/** A retrieval by C-MOVE whose objects come by associations of their own. */
export interface Move {
  /** Message ID of the C-MOVE, by which its objects are told from others. */
  messageId: number;
  /** The next object; undefined when none came for so long, or until the move was over. Asking for it acknowledges the one before. */
  next(over: Promise<void>, waitMs: number): Promise<ReceivedObject | undefined>;
  /** Gives up what is still to come. */
  end(): void;
}

/** Brings objects that arrive at the hub's listener to the retrieval that waits for them. */
export interface Moves {
  /** Set while the listener runs. */
  isListening: boolean;
  /** @param wanted SOP Instance UIDs, for senders that do not name the C-MOVE that they answer. */
  begin(wanted: ReadonlySet<string>): Move;
  /** Hands an object over, if somebody waits for it, and resolves when it was read; undefined when nobody does. */
  deliver(command: Command, object: ReceivedObject): Promise<void> | undefined;
}

interface Arrival {
  object: ReceivedObject;
  done(failure?: Error): void;
}

interface Waiting extends Move {
  wanted: ReadonlySet<string>;
  arrive(arrival: Arrival): void;
}

export function createMoves(aeTitle: string): Moves {
  const waiting = new Map<number, Waiting>();
  let lastMessageId = 0;
  const freeMessageId = (): number => {
    do lastMessageId = (lastMessageId % 0xffff) + 1;
    while (waiting.has(lastMessageId));
    return lastMessageId;
  };
  const moveFor = ({ moveOriginatorMessageId, moveOriginatorAeTitle, sopInstanceUid = '' }: Command): Waiting | undefined => {
    if (moveOriginatorMessageId === undefined) return [...waiting.values()].find(({ wanted }) => wanted.has(sopInstanceUid));
    return moveOriginatorAeTitle === undefined || moveOriginatorAeTitle === aeTitle
      ? waiting.get(moveOriginatorMessageId)
      : undefined;
  };
  return {
    isListening: false,
    begin(wanted) {
      const move = newMove(freeMessageId(), wanted, (messageId) => waiting.delete(messageId));
      waiting.set(move.messageId, move);
      return move;
    },
    deliver(command, object) {
      const move = moveFor(command);
      if (!move) return undefined;
      return new Promise((resolve, reject) => {
        move.arrive({ object, done: (failure) => (failure ? reject(failure) : resolve()) });
      });
    },
  };
}

function newMove(messageId: number, wanted: ReadonlySet<string>, forget: (messageId: number) => void): Waiting {
  const arrived: Arrival[] = [];
  let current: Arrival | undefined;
  let wake: (() => void) | undefined;
  return {
    messageId,
    wanted,
    arrive: (arrival) => {
      arrived.push(arrival);
      wake?.();
    },
    async next(over, waitMs) {
      current?.done();
      current = undefined;
      if (arrived.length === 0) await firstOf(over, waitMs, (resolve) => (wake = resolve));
      wake = undefined;
      current = arrived.shift();
      return current?.object;
    },
    end: () => {
      forget(messageId);
      const failure = new SourceError('unreachable', 'The retrieval was given up.');
      for (const arrival of [...(current ? [current] : []), ...arrived.splice(0)]) arrival.done(failure);
      current = undefined;
    },
  };
}

/** Resolves with what is first: the end, the time-out, or the wake-up. */
function firstOf(over: Promise<void>, waitMs: number, onWake: (resolve: () => void) => void): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, waitMs);
    const settle = (): void => {
      clearTimeout(timer);
      resolve();
    };
    onWake(settle);
    void over.then(settle);
  });
}
