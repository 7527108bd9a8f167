import { SourceError } from '../../../connectors/connector.js';
import { partsOf } from '../../imaging/parts.js';
import type { PixelTask } from '../../imaging/pixels/messages.js';
import type { Answer } from '../../imaging/pixels/pixel-room.js';
import type { Answering } from './kind.js';

/** Has a task done with the one instance that is wanted. @throws SourceError when the source does not send just this; PixelFailure */
export async function onlyObject(
  { ask, room, signal }: Pick<Answering, 'ask' | 'room' | 'signal'>,
  task: PixelTask,
): Promise<Answer> {
  const reply = await ask('instances');
  const parts = partsOf(reply.contentType, reply.body);
  let answer: Answer | undefined;
  try {
    const { value, done } = await parts.next();
    if (done) throw new SourceError('not-found', 'The source has nothing to deliver.');
    answer = await room.run(task, value.body, signal);
    if (!(await parts.next()).done) throw new SourceError('bad-response', 'The source sends more than was asked for.');
    return answer;
  } catch (error) {
    await answer?.return();
    throw error;
  } finally {
    await parts.return(undefined);
  }
}
