import type { TakeChange } from '../../connector.js';
import { statuses } from '../messages/status.js';
import { type ReceivedObject, readObject } from '../services/received-object.js';

export interface TakeSettings {
  /** `+08:00`: for objects without Timezone Offset From UTC. */
  defaultUtcOffset?: string;
  maxObjectBytes: number;
}

/** What a sender is told of an object (PS3.4 table B.2-1). */
export interface Taken {
  status: number;
  /** Error Comment (0000,0902), at most 64 characters. */
  comment?: string;
}

/**
 * Reads a pushed object and has it taken. Success is said after the commit. What waits in the quarantine is a warning when the object was understood, for to
 * send it again changes nothing, and a failure when it was not; when nothing could be committed the sender keeps it: out of resources.
 */
export async function takeObject(
  object: ReceivedObject,
  { defaultUtcOffset, maxObjectBytes }: TakeSettings,
  take: TakeChange,
): Promise<Taken> {
  const read = await readObject(object, { defaultUtcOffset, maxBytes: maxObjectBytes });
  try {
    const [held] = await take(read.kind === 'study' ? read : { kind: 'unreadable', item: read.item });
    if (read.kind === 'unreadable') return { status: statuses.cannotUnderstand, comment: `in quarantine: ${read.item.reason}` };
    return held ? { status: statuses.heldWithWarning, comment: `in quarantine: ${held.reason}` } : { status: statuses.success };
  } catch {
    return { status: statuses.outOfResources, comment: 'not taken now, send it again' };
  }
}
