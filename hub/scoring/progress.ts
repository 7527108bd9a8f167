import type { ScoreStage } from '../../models/score-messages.js';
import type { Database } from '../store/database.js';
import { listenTo } from '../store/listen.js';
import { sql } from '../store/sql.js';
import { CANCELLED } from './queue.sql.js';

/** How far a job that runs is: the share, 0 to 1, of its present stage. */
export interface Progress {
  stage: 'retrieving' | ScoreStage;
  share: number;
}

/**
 * How far jobs are, across processes, by NOTIFY. Who watches a job says so every few seconds, and only then does the process that works on it tell:
 * while nobody watches, nothing is sent. Messages may be lost; what a watcher must not miss it reads from the queue.
 */
export interface ProgressExchange {
  /** Of the process that works on the job. */
  report(taskId: string, progress: Progress): void;
  /** It works on it no longer. */
  forget(taskId: string): void;
  /** Of a process that somebody asks. `onNews` gets progress, or undefined when the queue is to be looked at. @returns what ends the watching. */
  watch(taskId: string, onNews: (progress: Progress | undefined) => void): () => void;
  /** Called with each Task whose job was cancelled, in any process. */
  onCancelled(heard: (taskId: string) => void): void;
  close(): Promise<void>;
}

const [WATCHED, PROGRESS] = ['scoring_watched', 'scoring_progress'];

/** A watcher says that it is there so often, and is believed to be for so long, milliseconds. */
const SAID_EVERY = 10_000;
const BELIEVED_FOR = 30_000;
/** Between two messages about one stage of one job, milliseconds. */
const TOLD_EVERY = 250;
/** Tasks that are remembered as watched. */
const MOST_WATCHED = 10_000;

export function openProgress(db: Database, url: string, onFailure: (error: Error) => void): ProgressExchange {
  const watchers = new Map<string, Set<(progress: Progress | undefined) => void>>();
  const teller = createTeller((taskId, progress) => notify(PROGRESS!, JSON.stringify({ taskId, ...progress })));
  const cancelled: ((taskId: string) => void)[] = [];
  const notify = (channel: string, ...payloads: string[]): void =>
    void db.query(sql`select pg_notify(${channel}, p) from unnest(${payloads}::text[]) p`).catch(onFailure);

  const onMessage = (channel: string, payload: string): void => {
    if (channel === CANCELLED) for (const heard of cancelled) heard(payload);
    if (channel === WATCHED) teller.watched(payload);
    if (channel === PROGRESS) {
      const { taskId, ...progress } = JSON.parse(payload) as { taskId: string } & Partial<Progress>;
      for (const onNews of watchers.get(taskId) ?? []) onNews('stage' in progress ? (progress as Progress) : undefined);
    }
  };
  const channels = [CANCELLED, WATCHED!, PROGRESS!];
  const listener = listenTo({ url, application: 'hub-scoring', channels, onMessage });

  let saying: NodeJS.Timeout | undefined;
  const watch: ProgressExchange['watch'] = (taskId, onNews) => {
    const known = watchers.get(taskId) ?? new Set();
    watchers.set(taskId, known.add(onNews));
    notify(WATCHED!, taskId);
    saying ??= setInterval(() => notify(WATCHED!, ...watchers.keys()), SAID_EVERY).unref();
    return () => {
      known.delete(onNews);
      if (known.size === 0) watchers.delete(taskId);
      if (watchers.size > 0) return;
      clearInterval(saying);
      saying = undefined;
    };
  };
  return {
    report: teller.report,
    forget: teller.forget,
    watch,
    onCancelled: (heard) => void cancelled.push(heard),
    close: async () => {
      clearInterval(saying);
      await listener.close();
    },
  };
}

/** The side of the process that works: knows how far its jobs are, and tells of those that are watched. */
function createTeller(tell: (taskId: string, progress: Progress | undefined) => void) {
  const now = new Map<string, Progress>();
  const told = new Map<string, { at: number; stage: string }>();
  const watchedUntil = new Map<string, number>();
  const isWatched = (taskId: string): boolean => (watchedUntil.get(taskId) ?? 0) > Date.now();
  const tellNow = (taskId: string, progress: Progress): void => {
    told.set(taskId, { at: Date.now(), stage: progress.stage });
    tell(taskId, progress);
  };
  return {
    report(taskId: string, progress: Progress): void {
      now.set(taskId, progress);
      const last = told.get(taskId);
      const isDue = !last || last.stage !== progress.stage || Date.now() - last.at >= TOLD_EVERY;
      if (isDue && isWatched(taskId)) tellNow(taskId, progress);
    },
    forget(taskId: string): void {
      now.delete(taskId);
      told.delete(taskId);
      if (isWatched(taskId)) tell(taskId, undefined);
    },
    watched(taskId: string): void {
      if (watchedUntil.size >= MOST_WATCHED)
        for (const [known, until] of watchedUntil) if (until < Date.now()) watchedUntil.delete(known);
      if (watchedUntil.size < MOST_WATCHED) watchedUntil.set(taskId, Date.now() + BELIEVED_FOR);
      const progress = now.get(taskId);
      if (progress) tellNow(taskId, progress);
    },
  };
}
