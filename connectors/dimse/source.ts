import { SourceError } from '../connector.js';
import type { Gate } from '../gate.js';
import type { Association } from './association/association.js';
import type { Moves } from './listener/moves.js';
import { type Peer, type Proposal, requestAssociation } from './association/request-association.js';

/** A PACS that is asked by DIMSE, as the files of this folder share it. */
export interface DimseSource {
  peer: Peer;
  gate: Gate;
  /** Associations at once. */
  maxConcurrent: number;
  defaultUtcOffset?: string;
  /** For a PACS that sends objects by C-MOVE alone. */
  moves?: Moves;
}

/** An association with the place that it takes at the source. */
export interface Session {
  association: Association;
  /** Ends it: by release, or by abort after a failure or when answers are still to come. */
  close(failure?: unknown): Promise<void>;
}

/** Waits for a place at the source, then opens an association. @throws SourceError as `requestAssociation`, and while the source rests. */
export async function openSession({ peer, gate }: DimseSource, proposal: Proposal, signal: AbortSignal): Promise<Session> {
  const leave = await gate.enter(signal);
  try {
    const association = await requestAssociation(peer, proposal, signal);
    return {
      association,
      close: async (failure) => {
        if (failure === undefined) await association.release();
        else association.abort(failure as Error);
        leave(didAnswer(failure));
      },
    };
  } catch (error) {
    leave(didAnswer(error));
    throw error;
  }
}

/** Runs `work` in an association of its own. */
export async function inSession<T>(
  source: DimseSource,
  proposal: Proposal,
  signal: AbortSignal,
  work: (association: Association) => Promise<T>,
): Promise<T> {
  const session = await openSession(source, proposal, signal);
  try {
    const result = await work(session.association);
    await session.close();
    return result;
  } catch (error) {
    await session.close(error);
    throw error;
  }
}

/** Whether the source did its part: it is not to blame for what was asked or given up. */
const didAnswer = (error: unknown): boolean =>
  !(error instanceof SourceError) || !['timeout', 'unreachable'].includes(error.code);
