import { SourceError } from '../../connector.js';
import { type Answers, find, findContext, type Query } from '../services/find.js';
import { type DimseSource, openSession, type Session } from '../source.js';

/** C-FIND for one listing, which keeps its associations until it is closed. */
export interface Finder {
  find(query: Query): Promise<Answers>;
  close(): Promise<void>;
}

export function createFinder(source: DimseSource, signal: AbortSignal): Finder {
  const idle: Session[] = [];
  let isClosed = false;
  const open = (): Promise<Session> => openSession(source, { contexts: [findContext] }, signal);
  const ask = async (session: Session, query: Query): Promise<Answers> => {
    try {
      const answers = await find(session.association, query);
      if (isClosed) await session.close();
      else idle.push(session);
      return answers;
    } catch (error) {
      await session.close(error);
      throw error;
    }
  };
  return {
    async find(query) {
      const kept = idle.pop();
      if (!kept) return ask(await open(), query);
      try {
        return await ask(kept, query);
      } catch (error) {
        // A PACS may have closed an association that was idle.
        if (!(error instanceof SourceError) || error.code !== 'unreachable') throw error;
        return ask(await open(), query);
      }
    },
    close: async () => {
      isClosed = true;
      await Promise.all(idle.splice(0).map((session) => session.close()));
    },
  };
}

/** A finder for one piece of work. */
export async function withFinder<T>(source: DimseSource, signal: AbortSignal, work: (finder: Finder) => Promise<T>): Promise<T> {
  const finder = createFinder(source, signal);
  try {
    return await work(finder);
  } finally {
    await finder.close();
  }
}
