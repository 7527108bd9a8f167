import type { Database, Queryable } from './database.js';
import { isProtected, type Protection, type ValueHolder } from './protection.js';
import { searchedIdentifier, storedForms } from './patient-identifier.js';
import { columns, type ResourceRow, toResource } from './resources.js';
import { sealContent } from './sealed-content.js';
import { extractKeys } from './extract-keys.js';
import type { FhirResource } from './search-keys.js';
import { storedTokens } from './tokens.js';
import { raw, type Sql, sql } from './sql.js';

/** A pass over everything that is stored: `seal` when a database first comes to encryption at rest, `rekey` when its secret was changed. */
export type PassName = 'seal' | 'rekey';

export interface Progress {
  /** Rows looked at and rows written again, by this process. */
  seen: number;
  written: number;
}

/** Where a pass stands: shared by all processes that take part, and by the next one when all were stopped. */
interface Position {
  /** Key id that the pass brings everything under. */
  under: string;
  /** The table, and the last row that is done: type, id, version. */
  table: 'resource' | 'resource_history' | 'done';
  at: [string, string, number];
}

const WINDOW = 500;
const BEGIN = { table: 'resource', at: ['', '', 0] } as const;

/**
 * Brings every resource, superseded version, search token and patient identifier under the current key, in short transactions. It may be
 * interrupted at any time and goes on where it stood; several processes share the work; rows that the hub writes meanwhile are right already.
 * @returns false when the pass was done before, by `seal` for good, by `rekey` for the current key.
 */
export async function reprotect(
  db: Database,
  name: PassName,
  progress: (so: Progress) => unknown = () => undefined,
): Promise<boolean> {
  const under = db.protection.keys.current;
  const total: Progress = { seen: 0, written: 0 };
  for (let steps = 0; ; steps++) {
    const step = await db.transaction((tx) => nextStep(tx, db.protection, name, under));
    if (!step) return steps > 0;
    total.seen += step.seen;
    total.written += step.written;
    progress(total);
  }
}

/** One window of rows under the lock of the pass; undefined when it is done. */
async function nextStep(tx: Queryable, protection: Protection, name: PassName, under: string): Promise<Progress | undefined> {
  await tx.query(sql`select pg_advisory_xact_lock(7390214)`);
  const position = await positionOf(tx, name, under);
  if (position.table === 'done') return undefined;
  const end = await endOfWindow(tx, position);
  const rows = await suspiciousRows(tx, protection, position, end);
  for (const row of rows) await writeAgain(tx, protection, position.table, row);
  const next = end ? { ...position, at: end.at } : { ...position, ...after(position.table) };
  await savePosition(tx, name, next);
  // the planner keeps samples of what stood in the columns
  if (next.table === 'done') await tx.query(sql`analyze resource, resource_history, patient_identifier`);
  return { seen: end?.count ?? rows.length, written: rows.length };
}

const rowName = (name: PassName): string => `at-rest/${name}`;

async function positionOf(tx: Queryable, name: PassName, under: string): Promise<Position> {
  const [row] = await tx.query<{ value: Position }>(sql`select value from hub_secret where name = ${rowName(name)}`);
  const isThisPass = row && (name === 'seal' || row.value.under === under);
  return isThisPass ? row.value : ({ under, ...BEGIN } as unknown as Position);
}

async function savePosition(tx: Queryable, name: PassName, position: Position): Promise<void> {
  await tx.query(sql`
    insert into hub_secret (name, value) values (${rowName(name)}, ${JSON.stringify(position)}::jsonb)
    on conflict (name) do update set value = excluded.value`);
}

/** The next command to rekey begins from the start. */
export const forgetPass = (on: Queryable, name: PassName): Promise<unknown> =>
  on.query(sql`delete from hub_secret where name = ${rowName(name)} and value ->> 'table' = 'done'`);

const after = (table: Position['table']): Pick<Position, 'table' | 'at'> => ({
  table: table === 'resource' ? 'resource_history' : 'done',
  at: ['', '', 0],
});

const keyColumns = (table: Position['table']): Sql => raw(table === 'resource' ? 'r.type, r.id' : 'r.type, r.id, r.version');

function place({ table, at: [type, id, version] }: Position): Sql {
  return table === 'resource' ? sql`(${type}, ${id})` : sql`(${type}, ${id}, ${version})`;
}

const beyond = (position: Position): Sql => sql`(${keyColumns(position.table)}) > ${place(position)}`;

/** Written so that the index bounds the window: as `not beyond` each window would read on to the end. */
const upTo = (position: Position): Sql => sql`(${keyColumns(position.table)}) <= ${place(position)}`;

/** The last row of the next window, so that no statement takes long; undefined when fewer are left. */
async function endOfWindow(tx: Queryable, position: Position): Promise<{ at: Position['at']; count: number } | undefined> {
  const order = keyColumns(position.table);
  const [row] = await tx.query<{ type: string; id: string; version: number }>(sql`
    select r.type, r.id, r.version from ${raw(position.table)} r where ${beyond(position)} order by ${order} offset ${WINDOW - 1} limit 1`);
  return row ? { at: [row.type, row.id, row.version], count: WINDOW } : undefined;
}

async function suspiciousRows(
  tx: Queryable,
  protection: Protection,
  position: Position,
  end: { at: Position['at'] } | undefined,
): Promise<ResourceRow[]> {
  const until = end ? upTo({ ...position, at: end.at }) : raw('true');
  return tx.query<ResourceRow & Record<string, unknown>>(sql`
    select ${columns} from ${raw(position.table)} r
    where ${beyond(position)} and ${until} and r.content::text ~ ${protection.suspicion.source}
    order by ${keyColumns(position.table)} for update of r`);
}

async function writeAgain(tx: Queryable, protection: Protection, table: Position['table'], row: ResourceRow): Promise<void> {
  const resource = toResource(row);
  const { resourceType: _type, id: _id, meta: _meta, ...tree } = resource;
  const content = sealContent(protection, row, tree, row.content);
  const where = sql`type = ${row.type} and id = ${row.id}`;
  if (table === 'resource_history') {
    await tx.query(sql`update resource_history set content = ${content} where ${where} and version = ${row.version}`);
    return;
  }
  const tokens = storedTokens(protection, extractKeys(resource).tokens);
  await tx.query(sql`
    update resource set content = ${content}, tokens = ${row.deleted ? [] : tokens} where ${where} and patient_id = ${row.patient_id}`);
  if (row.type === 'Patient') await indexAgain(tx, protection, resource);
}

/** The identifiers of a Patient, from whatever form they have to their blind index under the current key. */
async function indexAgain(tx: Queryable, protection: Protection, patient: FhirResource & { id: string }): Promise<void> {
  const moves = ((patient.identifier ?? []) as (ValueHolder & { value?: string; system?: string })[])
    .filter(
      (i): i is ValueHolder & { value: string; system?: string } => typeof i.value === 'string' && isProtected(protection, i),
    )
    .map((holder) => {
      const form = storedForms(protection, holder)[0];
      const clear = [holder.value, holder.value.trim(), holder.value.trim().toUpperCase()];
      return {
        form,
        system: holder.system ?? '',
        old: [...clear, ...searchedIdentifier(protection, holder)].filter((f) => f !== form),
      };
    });
  for (const { form, system, old } of moves) {
    const which = sql`i.patient_id = ${patient.id} and i.system = ${system} and i.value = any(${old}::text[])`;
    await tx.query(sql`
      update patient_identifier i set value = ${form} where ${which}
        and not exists (select from patient_identifier n where n.system = i.system and n.value = ${form} and n.custodian_id = i.custodian_id)`);
    // a number that several share is the first holder's
    await tx.query(sql`delete from patient_identifier i where ${which}`);
  }
}
