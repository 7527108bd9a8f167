import { type Connector, SourceError } from '../../connectors/connector.js';
import type { Database } from '../store/database.js';
import { sql } from '../store/sql.js';

/** What a source has that is not indexed yet, as its record shows it while it is read. */
export interface Backlog {
  /** Asks the source, at most every two seconds, and notes what it says. */
  note(cursor: string | undefined): Promise<void>;
  /** Whether the source tells at all. */
  isTold(): boolean;
}

const EVERY_MS = 2_000;

export function createBacklog(
  db: Database,
  { connector, connectorId }: { connector: Connector; connectorId: string },
  signal: AbortSignal,
): Backlog {
  let askedAt = 0;
  let told: number | undefined;
  return {
    async note(cursor) {
      if (!connector.backlog || Date.now() - askedAt < EVERY_MS) return;
      askedAt = Date.now();
      told = await connector.backlog(cursor, signal).catch(orUnknown);
      if (told) await db.query(sql`update connector set backlog = ${told} where id = ${connectorId}`);
    },
    isTold: () => told !== undefined,
  };
}

/** The reading itself meets the same trouble, and tells of it. */
function orUnknown(error: unknown): undefined {
  if (!(error instanceof SourceError)) throw error;
}
