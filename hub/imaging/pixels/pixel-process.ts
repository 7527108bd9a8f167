/**
 * Decodes pixels that strangers made: started by pixel-room.ts with no environment and no rights but to read files, it takes tasks from its standard
 * input one after the other, each with the bytes of one object, and answers on its standard output. What can be expected to go wrong is an answer;
 * whatever else does ends this process and nothing else.
 */
import { constants, setPriority } from 'node:os';
import { bufferSource } from '../../../connectors/dicom/byte-source.js';
import { DicomProblem } from '../../../connectors/dicom/problem.js';
import { PixelProblem } from '../../../connectors/dicom/pixels/problem.js';
import { messages, type PartHead, type PixelTask, send, sendJson } from './messages.js';
import { NoSuchPart, perform } from './perform.js';

setPriority(constants.priority.PRIORITY_BELOW_NORMAL);
const mostBytes = Number(process.argv[2]);

let task: PixelTask | undefined;
let received: Buffer[] = [];
let length = 0;
for await (const { type, payload } of messages(process.stdin)) {
  if (type === 'task') [task, received, length] = [JSON.parse(payload.toString('utf8')), [], 0];
  else if (type === 'data') {
    length += payload.length;
    if (length <= mostBytes) received.push(payload);
    else received = [];
  } else if (type === 'end-of-object' && task) {
    const object = Buffer.concat(received);
    received = [];
    await answer(task, length > mostBytes ? undefined : object);
  }
}
process.exit(0);

async function answer(task: PixelTask, object: Buffer | undefined): Promise<void> {
  try {
    if (!object) throw new PixelProblem('too-large', 'The object is larger than is decoded.');
    for await (const part of perform(task, bufferSource(object))) {
      await sendJson(process.stdout, 'head', part.head satisfies PartHead);
      for await (const chunk of part.body) await send(process.stdout, 'data', chunk);
      await send(process.stdout, 'end-of-part');
    }
    await send(process.stdout, 'end');
  } catch (error) {
    await sendJson(process.stdout, 'failure', failureOf(error));
  }
}

/** Errors that nobody expected are told by nothing but a code: no detail of the object leaves. */
function failureOf(error: unknown): { code: string; message: string } {
  if (error instanceof PixelProblem) return { code: error.code, message: error.message };
  if (error instanceof NoSuchPart) return { code: 'no-such-part', message: error.message };
  if (error instanceof DicomProblem)
    return { code: error.reason === 'too-large' ? 'too-large' : 'malformed', message: error.message };
  const text = error instanceof Error ? `${error.name} ${error.message}` : '';
  if (/alloc|memory|Invalid typed array length|Array buffer/i.test(text))
    return { code: 'out-of-memory', message: 'The object needs more memory than it may use.' };
  return { code: 'malformed', message: 'The object cannot be read.' };
}
