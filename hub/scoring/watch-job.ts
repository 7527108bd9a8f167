import type { Database } from '../store/database.js';
import { type JobState, jobStates } from './job-state.sql.js';
import type { Progress, ProgressExchange } from './progress.js';

/** A job as a watcher is told of it. */
export type JobNews = JobState & Partial<Progress>;

export interface JobWatch {
  /** Tells how a job stands, at once and after each change, until it is over. @returns what ends it. */
  watch(taskId: string, tell: (news: JobNews | undefined) => void): () => void;
}

/** Milliseconds between two looks at the queue; one look is for all jobs that are watched in this process. */
const LOOK_EVERY = 1_000;

interface Watched {
  tell: (news: JobNews | undefined) => void;
  progress: Progress | undefined;
}

/** Watches jobs for those who asked this process: by what the working process says, and by the queue itself, which misses nothing. */
export function createJobWatch(db: Database, exchange: ProgressExchange, onFailure: (error: Error) => void): JobWatch {
  const watched = new Map<string, Set<Watched>>();
  let looking: NodeJS.Timeout | undefined;

  const look = async (taskIds: readonly string[]): Promise<void> => {
    const states = new Map((await jobStates(db, taskIds)).map((state) => [state.taskId, state]));
    for (const taskId of taskIds)
      for (const one of watched.get(taskId) ?? []) {
        const state = states.get(taskId);
        one.tell(state && { ...state, ...(state.state === 'running' ? one.progress : {}) });
      }
  };
  const lookAt = (taskIds: readonly string[]): void => void look(taskIds).catch(onFailure);

  return {
    watch(taskId, tell) {
      const one: Watched = { tell, progress: undefined };
      const known = watched.get(taskId) ?? new Set();
      watched.set(taskId, known.add(one));
      const unwatch = exchange.watch(taskId, (progress) => {
        one.progress = progress;
        lookAt([taskId]);
      });
      looking ??= setInterval(() => lookAt([...watched.keys()]), LOOK_EVERY);
      lookAt([taskId]);
      return () => {
        unwatch();
        known.delete(one);
        if (known.size === 0) watched.delete(taskId);
        if (watched.size > 0) return;
        clearInterval(looking);
        looking = undefined;
      };
    },
  };
}
