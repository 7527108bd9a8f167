import type { KeyRing } from './key-ring.js';
import type { Queryable } from './queryable.js';
import { sql } from './sql.js';

/** Row of hub_secret: for each key id under which values lie, a text sealed under that key. */
const NAME = 'keys-in-use';
/** Rows of hub_secret: keys of secrets that were given up, for what is never written again. */
const KEPT = 'kept-key/';
const CHECK = 'the right key';

type Sealed = Record<string, string>;

/**
 * Says under which keys values lie, and that this process has them all: with another secret nothing would open, or only half.
 * @throws Error that says what to configure.
 */
export async function settleKeys(on: Queryable, keys: KeyRing): Promise<void> {
  const ids = await requireKeys(on, keys);
  if (!ids.includes(keys.current)) await addKey(on, keys);
  await loadKept(on, keys);
}

/** @returns ids of the keys under which values lie @throws Error when the ring lacks one of them */
export async function requireKeys(on: Queryable, keys: KeyRing): Promise<string[]> {
  const inUse = Object.entries((await keysInUse(on)) ?? {});
  const missing = inUse.filter(([id, sealed]) => !opens(keys, id, sealed)).map(([id]) => id);
  if (missing.length > 0) throw new Error(otherSecret('values in the database are encrypted', missing));
  return inUse.map(([id]) => id);
}

/** What to configure when something lies under keys that are not configured. @param what `values are encrypted` */
export const otherSecret = (what: string, missing: readonly string[]): string =>
  `${what} under another secret (key ${missing.join(', ')}): set HUB_SECRET to it, or name it in HUB_PREVIOUS_SECRETS`;

async function keysInUse(on: Queryable): Promise<Sealed | undefined> {
  const [row] = await on.query<{ value: Sealed }>(sql`select value from hub_secret where name = ${NAME}`);
  return row?.value;
}

function opens(keys: KeyRing, id: string, sealed: string): boolean {
  try {
    return keys.open('content', NAME, id, sealed) === CHECK;
  } catch {
    return false;
  }
}

async function addKey(on: Queryable, keys: KeyRing): Promise<void> {
  const added = { [keys.current]: keys.seal('content', NAME, keys.current, CHECK) };
  await on.query(sql`
    insert into hub_secret (name, value) values (${NAME}, ${JSON.stringify(added)}::jsonb)
    on conflict (name) do update set value = excluded.value || hub_secret.value`);
}

/**
 * Everything lies under the current key: the others need not be configured any more. The audit, which is never written again, stays readable:
 * its keys are kept under the current one.
 */
export async function giveUpOtherKeys(tx: Queryable, keys: KeyRing): Promise<void> {
  for (const id of keys.ids.filter((each) => each !== keys.current)) {
    const kept = keys.seal('content', KEPT, id, keys.exportKey(id, 'audit').toString('base64'));
    await tx.query(sql`
      insert into hub_secret (name, value) values (${KEPT + id}, ${JSON.stringify({ kept })}::jsonb)
      on conflict (name) do update set value = excluded.value`);
  }
  await resealKept(tx, keys);
  await tx.query(sql`
    update hub_secret set value = jsonb_build_object(${keys.current}::text, value -> ${keys.current}::text) where name = ${NAME}`);
}

interface KeptRow {
  name: string;
  value: { kept: string };
  [column: string]: unknown;
}

const readKept = (on: Queryable): Promise<KeptRow[]> =>
  on.query<KeptRow>(sql`select name, value from hub_secret where name like ${`${KEPT}%`}`);

async function loadKept(on: Queryable, keys: KeyRing): Promise<void> {
  for (const { name, value } of await readKept(on)) {
    const id = name.slice(KEPT.length);
    keys.addKept(id, 'audit', Buffer.from(keys.open('content', KEPT, id, value.kept), 'base64'));
  }
}

async function resealKept(tx: Queryable, keys: KeyRing): Promise<void> {
  for (const { name, value } of await readKept(tx)) {
    const id = name.slice(KEPT.length);
    const kept = keys.seal('content', KEPT, id, keys.open('content', KEPT, id, value.kept));
    await tx.query(sql`update hub_secret set value = ${JSON.stringify({ kept })}::jsonb where name = ${name}`);
  }
}
