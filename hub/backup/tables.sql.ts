/** What is of an extension is made by the extension. */
const ofTheHub = (c: string): string => `${c}.relnamespace = current_schema()::regnamespace
  and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = ${c}.oid and d.deptype = 'e')`;

/** Anything that makes a database other than empty. */
export const anyRelation = `select c.relname as name from pg_class c where ${ofTheHub('c')} and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
  order by c.relkind = 'S', c.relname limit 1`;

export interface CatalogTable {
  name: string;
  /** A partitioned table holds no rows itself. */
  isPartitioned: boolean;
  /** The table that it is a partition of. */
  partOf: string | null;
  /** Columns that hold what was written, not what the database computes from others. */
  columns: string[];
  /** Tables that its foreign keys refer to. */
  refersTo: string[];
  /** Bytes on disk, compressed as they lie there. */
  size: number;
}

/** Every table but the record of the migrations, which the migrations write themselves. */
export const allTables = `
  select c.relname as name, c.relkind = 'p' as "isPartitioned", pg_table_size(c.oid) as size,
    (select p.relname from pg_inherits i join pg_class p on p.oid = i.inhparent where i.inhrelid = c.oid) as "partOf",
    array(select a.attname::text from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' order by a.attnum) as columns,
    array(select distinct r.relname::text from pg_constraint f join pg_class r on r.oid = f.confrelid
      where f.conrelid = c.oid and f.contype = 'f' and f.confrelid <> c.oid and f.conparentid = 0) as "refersTo"
  from pg_class c where ${ofTheHub('c')} and c.relkind in ('r', 'p') and c.relname <> 'migrations' order by c.relname`;

export const allSequences = `select c.relname as name from pg_class c where ${ofTheHub('c')} and c.relkind = 'S' order by c.relname`;

export const quoted = (name: string): string => `"${name}"`;
const columnsOf = (columns: readonly string[]): string => columns.map(quoted).join(', ');

/** Rows as text, the form that is the same in every version of PostgreSQL. */
export const copyOut = (table: string, columns: readonly string[]): string =>
  `copy ${quoted(table)} (${columnsOf(columns)}) to stdout`;
export const copyIn = (table: string, columns: readonly string[]): string =>
  `copy ${quoted(table)} (${columnsOf(columns)}) from stdin`;

/** Values as text that does not depend on how the server or the role is set up, for as long as it takes. */
export const PLAIN_TEXT = `
  set statement_timeout = 0; set idle_in_transaction_session_timeout = 0; set lock_timeout = '60s';
  set timezone = 'UTC'; set datestyle = 'ISO, YMD'; set intervalstyle = 'postgres'; set extra_float_digits = 1; set bytea_output = 'hex'`;

/** Tables that hold rows, each after those that it refers to. @throws Error when two refer to each other */
export function inOrder(tables: readonly CatalogTable[]): CatalogTable[] {
  const known = new Map(tables.map((table) => [table.name, table]));
  const partsOf = (name: string): string[] => tables.filter(({ partOf }) => partOf === name).map((part) => part.name);
  const ordered = new Set<CatalogTable>();
  const place = (table: CatalogTable, path: readonly string[]): void => {
    if (ordered.has(table)) return;
    if (path.includes(table.name)) throw new Error(`tables refer to each other: ${[...path, table.name].join(' -> ')}`);
    const before = [...(known.get(table.partOf ?? '')?.refersTo ?? []), ...table.refersTo];
    for (const name of before.flatMap((each) => [each, ...partsOf(each)])) {
      const other = known.get(name);
      if (other) place(other, [...path, table.name]);
    }
    ordered.add(table);
  };
  for (const table of tables) place(table, []);
  return [...ordered].filter(({ isPartitioned }) => !isPartitioned);
}
