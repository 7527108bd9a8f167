import type { Queryable } from './database.js';
import { sql } from './sql.js';

/** Something that an organization is to be told of. The payload names records, it never holds their content. */
export interface OutboxEvent {
  /** e.g. `referral.accept`. */
  topic: string;
  organizationId: string;
  payload: Record<string, unknown>;
}

export interface StoredEvent extends OutboxEvent {
  id: number;
  created: Date;
  attempts: number;
  last_error: string | null;
}

/** Told each event of its topic, at least once; throws when it could not be passed on. */
export type Listener = (event: StoredEvent) => Promise<void>;

export interface Outbox {
  /** Listens to the topics that begin with `prefix`; a second listener for the same prefix takes the place of the first. */
  listen(prefix: string, listener: Listener): void;
  /** Delivers what is due to the listeners that there are; resolves with how many were delivered. Events without a listener stay. */
  deliver(): Promise<number>;
}

/** Puts an event beside the change that it is about: both are committed, or neither. */
export async function enqueue(tx: Queryable, event: OutboxEvent): Promise<void> {
  await tx.query(
    sql`insert into outbox (topic, organization_id, payload) values (${event.topic}, ${event.organizationId}, ${JSON.stringify(event.payload)})`,
  );
}

/** What has not been delivered to an organization, oldest first. */
export function undelivered(on: Queryable, organizationId: string, limit = 100): Promise<StoredEvent[]> {
  return on.query<StoredEvent & Record<string, unknown>>(sql`
    select id, topic, organization_id as "organizationId", payload, created, attempts, last_error
    from outbox where delivered is null and organization_id = ${organizationId} order by id limit ${limit}`);
}

/** The organization has taken note of its event: it counts as delivered. @returns false where there is no such event of this organization. */
export async function acknowledge(on: Queryable, organizationId: string, id: number): Promise<boolean> {
  const rows = await on.query(sql`
    update outbox set delivered = coalesce(delivered, now()) where id = ${id} and organization_id = ${organizationId} returning id`);
  return rows.length > 0;
}

/** Delivery at least once: an event is leased for a minute, tried, and tried again later with doubled waits up to an hour. */
export function createOutbox(db: Queryable): Outbox {
  const listeners = new Map<string, Listener>();
  return {
    listen: (prefix, listener) => void listeners.set(prefix, listener),
    deliver: async () => {
      const due = await lease(db, [...listeners.keys()]);
      const delivered = await Promise.all(due.map((event) => attempt(db, event, listeners)));
      return delivered.filter(Boolean).length;
    },
  };
}

function lease(db: Queryable, prefixes: string[]): Promise<StoredEvent[]> {
  return db.query<StoredEvent & Record<string, unknown>>(sql`
    update outbox set attempts = attempts + 1, run_after = now() + interval '1 minute'
    where id in (
      select id from outbox
      where delivered is null and run_after <= now() and exists (select from unnest(${prefixes}::text[]) p where starts_with(topic, p))
      order by run_after, id limit 100 for update skip locked)
    returning id, topic, organization_id as "organizationId", payload, created, attempts, last_error`);
}

async function attempt(db: Queryable, event: StoredEvent, listeners: Map<string, Listener>): Promise<boolean> {
  try {
    for (const [prefix, listener] of listeners) if (event.topic.startsWith(prefix)) await listener(event);
    await db.query(sql`update outbox set delivered = now(), last_error = null where id = ${event.id}`);
    return true;
  } catch (error) {
    const seconds = Math.min(3600, 10 * 2 ** Math.min(event.attempts, 10));
    await db.query(sql`
      update outbox set last_error = ${String((error as Error).message).slice(0, 500)}, run_after = now() + make_interval(secs => ${seconds})
      where id = ${event.id}`);
    return false;
  }
}
