import { SourceError } from '../../connectors/connector.js';
import { newId } from '../store/resources.js';
import type { ReadDeps, ReadSource } from './read-source.js';
import { takeChange } from './take-change.js';

/** Whether this process takes what a hospital pushes. */
export interface Pushes {
  /** Begins to listen, where the connector can and does not yet. @throws SourceError when it cannot listen. */
  start(deps: ReadDeps, source: ReadSource): Promise<void>;
  stop(): void;
}

/** What is pushed is taken by the process that has the source to itself, one step a transaction; a sender hears of success after the commit. */
export function createPushes(): Pushes {
  let listening: AbortController | undefined;
  const stop = (): void => {
    listening?.abort();
    listening = undefined;
  };
  return {
    async start(deps, { connector, connectorId, custodianId }) {
      if (listening || !connector.listen) return;
      listening = new AbortController();
      try {
        await connector.listen(async (change) => {
          if (!deps.holds()) throw new SourceError('unreachable', 'Another process takes what this source pushes.');
          const quarantined = await takeChange({ ...deps, connector }, { custodianId, connectorId, requestId: newId() }, change);
          deps.onProgress?.({ connectorId, kind: change.kind, held: quarantined.length });
          return quarantined;
        }, listening.signal);
      } catch (error) {
        stop();
        throw error;
      }
    },
    stop,
  };
}
