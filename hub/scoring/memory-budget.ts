import { randomUUID } from 'node:crypto';
import type { Manifest } from '../../models/manifest.js';
import type { Choice } from '../jobs/queue.sql.js';
import type { Database, Queryable } from '../store/database.js';
import { raw, type Sql, sql } from '../store/sql.js';
import type { Models } from './models.js';

/** Every so many claims the job that has waited longest is taken, so that emergencies never hold up the others for good. */
const CLAIMS_BETWEEN_LONGEST = 8;

/** Seconds after which a process that has not said so any more does not run. */
const GONE_AFTER_SECONDS = 60;

/** What jobs may use of this process's memory at once, and which job it takes next: only one of a model that it carries. Sizes in MiB. */
export interface MemoryBudget {
  choose(tx: Queryable): Promise<Choice>;
  /** Sets the memory of a job aside. @returns what gives it back. */
  hold(job: { model: string }): () => void;
  /** Whether a job of the model can ever run in this process. */
  fits(model: Pick<Manifest, 'resources'>): boolean;
  /** No more jobs of the model are taken here. */
  refuse(model: string): void;
  /** Says that this process runs, what it may use and which models it carries; to be called every few seconds. */
  announce(db: Database): Promise<void>;
  leave(db: Database): Promise<void>;
}

export function createMemoryBudget(models: Models, memoryMb: number): MemoryBudget {
  const id = randomUUID();
  let [used, claims] = [0, 0];
  const refused = new Set<string>();
  const carried = (): string[] => [...models.keys()].filter((model) => !refused.has(model));
  const needOf = (model: string): number => models.get(model)?.resources.memoryMb ?? 0;
  const needingMoreThan = (mb: number): string[] => carried().filter((model) => needOf(model) > mb);
  return {
    fits: ({ resources }) => resources.memoryMb <= memoryMb,
    refuse: (model) => void refused.add(model),
    choose: async (tx) => {
      const others = await othersModels(tx, needingMoreThan(memoryMb), needOf);
      return {
        longestWaiting: claims % CLAIMS_BETWEEN_LONGEST === CLAIMS_BETWEEN_LONGEST - 1,
        among: ofModels(carried().filter((model) => !others.includes(model))),
        // one that will never fit here takes no room: it is taken to be failed
        unless: ofModels(needingMoreThan(memoryMb - used).filter((model) => needOf(model) <= memoryMb)),
      };
    },
    hold: ({ model }) => {
      const need = needOf(model) <= memoryMb ? needOf(model) : 0;
      used += need;
      claims++;
      return () => {
        used -= need;
      };
    },
    announce: async (db) => {
      await db.query(sql`
        insert into scoring_worker (id, memory_mb, models) values (${id}, ${memoryMb}, ${carried()})
        on conflict (id) do update set memory_mb = excluded.memory_mb, models = excluded.models, seen = now()`);
      await db.query(sql`delete from scoring_worker where seen < now() - interval '1 hour'`);
    },
    leave: async (db) => void (await db.query(sql`delete from scoring_worker where id = ${id}`)),
  };
}

/** Of the models that need more than this process has, those that another process which runs carries and has enough for. */
async function othersModels(tx: Queryable, tooLarge: readonly string[], needOf: (model: string) => number): Promise<string[]> {
  if (tooLarge.length === 0) return [];
  const rows = await tx.query<{ model: string }>(sql`
    select m.model from unnest(${tooLarge}::text[], ${tooLarge.map(needOf)}::integer[]) m (model, need)
    where exists (select from scoring_worker w where ${carries(raw('m.model'))} and w.memory_mb >= m.need)`);
  return rows.map(({ model }) => model);
}

/** Whether the process `w` of `scoring_worker` runs and carries a model. One of an earlier version of the program does not say what it carries. */
export const carries = (model: Sql): Sql =>
  sql`w.seen > now() - make_interval(secs => ${GONE_AFTER_SECONDS}) and (w.models is null or ${model} = any(w.models))`;

const ofModels = (models: readonly string[]): Sql => (models.length === 0 ? raw('false') : sql`model = any(${models}::text[])`);
