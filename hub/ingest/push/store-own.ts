import { type Connector, SourceError } from '../../../connectors/connector.js';
import { Refusal } from '../../outcomes.js';
import type { TakeDeps } from '../take-change.js';
import { archiveOf } from './archive-of.js';
import { pushObjects } from './push-objects.js';

/** An object that the hub made of a study, to be kept by the study's custodian. */
export interface OwnObject {
  custodianId: string;
  studyInstanceUid: string;
  /** A PS3.10 file. */
  bytes: Buffer;
  requestId: string;
}

/** Why an object is not in the archive; `again`: it may be there another time. */
export interface NotStored {
  /** One sentence for a person; never patient data. */
  why: string;
  again: boolean;
}

export type StoreOwn = (object: OwnObject, signal: AbortSignal) => Promise<NotStored | undefined>;

/**
 * The archive of the custodian keeps an object that the hub made, and the index has it, as if the hospital's own system had pushed it: the same object again
 * changes nothing. Resolves with why it was not stored.
 */
export function storeOwn(deps: TakeDeps & { connectorFor: (connectorId: string) => Connector | undefined }): StoreOwn {
  return async ({ custodianId, studyInstanceUid, bytes, requestId }, signal) => {
    try {
      const archive = await archiveOf(deps.db, deps.connectorFor, custodianId);
      const origin = { custodianId, connectorId: archive.connectorId, requestId };
      for await (const { failure } of pushObjects(deps, origin, archive, { objects: only(bytes), studyInstanceUid }, signal))
        if (failure !== undefined) return refusedWith(failure);
      return undefined;
    } catch (error) {
      if (error instanceof Refusal) return { why: error.message, again: error.status === 503 };
      if (error instanceof SourceError) return { why: `The archive does not keep it now (${error.code}).`, again: true };
      throw error;
    }
  };
}

async function* only(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}

const refusedWith = (status: number): NotStored => ({
  why: `The archive or the index refuses it (0x${status.toString(16)}).`,
  again: isPassing(status),
});

/** Failure Reasons of an archive that may take it another time: out of resources, processing failure. */
const isPassing = (status: number): boolean => (status & 0xff00) === 0xa700 || status === 0x0110;
