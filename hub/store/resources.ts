import { v7 as uuidv7 } from 'uuid';
import type { Queryable } from './database.js';
import type { Protection } from './protection.js';
import { sealContent } from './sealed-content.js';
import { authorsOf, refersOf } from './record-references.js';
import { extractKeys } from './extract-keys.js';
import type { FhirResource } from './search-keys.js';
import { storedTokens, type Token } from './tokens.js';
import { keyed, raw, type Sql, sql } from './sql.js';

/** One version of a resource as stored, its sealed values open. `content` and `meta` are JSON text, never parsed on the way out. */
export interface ResourceRow {
  type: string;
  id: string;
  patient_id: string;
  custodian_id: string;
  version: number;
  last_updated: Date;
  deleted: boolean;
  modality: string[];
  body_site: string[];
  date_from: Date | null;
  labels: string[];
  parties: string[];
  meta: string | null;
  content: string;
}

/** What a writer adds to a resource: who answers for it, and what only the writer knows. */
export interface Write {
  resource: FhirResource;
  /** Organization id of the custodian; '' for the hub's own records. */
  custodianId: string;
  /** Organizations that are a party to it beside those it names. */
  parties?: string[];
  /** Scope of the study that the record is about, for resources that don't say it themselves. */
  scope?: { modality: string[]; bodySite: string[]; started?: Date };
  /** Sensitivity labels of what the record is about, which hold for it beside its own. */
  labels?: readonly string[];
}

/** The version that an update expected is not the stored one: HTTP 412. */
export class VersionConflict extends Error {
  constructor(readonly current: number) {
    super('version conflict');
    this.name = 'VersionConflict';
  }
}

const EXTRACTS =
  'r.type, r.id, r.patient_id, r.custodian_id, r.version, r.last_updated, r.deleted, r.modality, r.body_site, r.date_from, r.labels, r.parties';

export const columns: Sql = raw(`${EXTRACTS}, r.meta, r.content`);

/** The same for where a resource is only judged, not shown. */
export const columnsWithoutContent: Sql = raw(`${EXTRACTS}, null as meta, '' as content`);

/** A new logical id: a version 7 UUID, so that neighbours in time are neighbours in the index. */
export const newId = (): string => uuidv7();

/**
 * Stores new resources in one statement, however many. A resource without `id` gets one.
 * @throws pg error 23505 when an id is taken.
 */
export async function createResources(tx: Queryable, writes: readonly Write[]): Promise<ResourceRow[]> {
  if (writes.length === 0) return [];
  const prepared = writes.map(prepare);
  const stored = await tx.query<{ last_updated: Date }>(sql`
    insert into resource as r (type, patient_id, id, custodian_id, version, last_updated, modality, body_site, date_from, date_until, labels, parties, refers, authors, tokens, meta, content)
    select n.type, n.patient_id, n.id, n.custodian_id, 1, date_trunc('milliseconds', now()), n.modality, n.body_site, n.date_from, n.date_until, n.labels, n.parties, n.refers, n.authors, n.tokens, n.meta, n.content
    from json_to_recordset(${keyed((p) => `[${prepared.map((each) => asJson(each, p)).join()}]`)}::json) as n
      (type text, patient_id text, id text, custodian_id text, modality text[], body_site text[], date_from timestamptz, date_until timestamptz,
       labels text[], parties text[], refers text[], authors text[], tokens text[], meta json, content json)
    returning r.last_updated`);
  await writeWords(tx, prepared);
  return prepared.map((p, i) => {
    const { tree: _tree, tokens: _tokens, words: _words, date_until: _until, refers: _refers, authors: _authors, ...row } = p;
    const { last_updated } = stored[i]!;
    return { ...row, version: 1, last_updated, deleted: false };
  });
}

/** The content is JSON text already and is not written twice. */
function asJson(prepared: Prepared, protection: Protection): string {
  const { content: _content, tree: _tree, meta, tokens, ...columns } = prepared;
  const keys = { ...columns, tokens: storedTokens(protection, tokens) };
  return `{"content":${storedContent(prepared, protection)},"meta":${meta},${JSON.stringify(keys).slice(1)}`;
}

const storedContent = ({ type, id, tree, content }: Prepared, protection: Protection): string =>
  sealContent(protection, { type, id }, tree, content);

/**
 * Replaces a resource by its next version; the superseded one moves to the history in the same statement.
 * @param expected version that must be the current one; undefined: whatever is.
 * @throws {VersionConflict} when another version is current, or none is.
 */
export async function updateResource(
  tx: Queryable,
  write: Write & { resource: { id: string } },
  expected?: number,
): Promise<ResourceRow> {
  const next = prepare(write);
  const [row] = await tx.query<ResourceRow>(sql`
    with old as (
      select * from resource where type = ${next.type} and id = ${next.id} and (${expected ?? null}::integer is null or version = ${expected ?? null}) for update
    ), moved as (${movedToHistory})
    update resource as r set
      patient_id = ${next.patient_id}, custodian_id = ${next.custodian_id}, version = old.version + 1, deleted = false,
      last_updated = greatest(date_trunc('milliseconds', now()), old.last_updated), modality = ${next.modality}, body_site = ${next.body_site},
      date_from = ${next.date_from}, date_until = ${next.date_until}, labels = ${next.labels}, parties = ${next.parties}, refers = ${next.refers}, authors = ${next.authors}, tokens = ${keyed((p) => storedTokens(p, next.tokens))},
      meta = ${next.meta}, content = ${keyed((p) => storedContent(next, p))}
    from old where r.type = ${next.type} and r.id = old.id and r.patient_id = old.patient_id
    returning ${columns}`);
  if (!row) throw new VersionConflict(await currentVersion(tx, next));
  await writeWords(tx, [next], true);
  return row;
}

/**
 * Deletes a resource: the superseded version moves to the history, and the next one says that it is deleted (FHIR R4 3.1.0.5). What policy decides by
 * stays as it was, so that those who may know of it learn that it is gone; searches no longer find it. `content` is what is kept of it.
 * @throws {VersionConflict} when another version is current by now.
 */
export async function deleteResource(tx: Queryable, current: ResourceRow, content: FhirResource): Promise<ResourceRow> {
  const { tree } = prepare({ resource: { ...content, id: current.id }, custodianId: current.custodian_id });
  const kept = keyed((p) => sealContent(p, current, tree, JSON.stringify(tree)));
  const [row] = await tx.query<ResourceRow>(sql`
    with old as (
      select * from resource where type = ${current.type} and id = ${current.id} and version = ${current.version} for update
    ), moved as (${movedToHistory})
    update resource as r set version = old.version + 1, deleted = true, tokens = '{}', content = ${kept},
      last_updated = greatest(date_trunc('milliseconds', now()), old.last_updated)
    from old where r.type = ${current.type} and r.id = old.id and r.patient_id = old.patient_id
    returning ${columns}`);
  if (!row) throw new VersionConflict(await currentVersion(tx, current));
  await tx.query(sql`delete from name_word where type = ${current.type} and id = ${current.id}`);
  return row;
}

const movedToHistory: Sql = raw(`
      insert into resource_history (type, patient_id, id, custodian_id, version, last_updated, deleted, modality, body_site, date_from, date_until, labels, parties, refers, authors, meta, content)
      select type, patient_id, id, custodian_id, version, last_updated, deleted, modality, body_site, date_from, date_until, labels, parties, refers, authors, meta, content from old
    `);

/** The newest version of a resource that was not deleted; undefined when there is none. */
export async function lastStanding(on: Queryable, type: string, id: string): Promise<ResourceRow | undefined> {
  const [row] = await on.query<ResourceRow>(sql`
    select ${columns} from resource_history r where r.type = ${type} and r.id = ${id} and not r.deleted order by r.version desc limit 1`);
  return row;
}

async function currentVersion(tx: Queryable, of: { type: string; id: string }): Promise<number> {
  const [row] = await tx.query<{ version: number }>(sql`select version from resource where type = ${of.type} and id = ${of.id}`);
  return row?.version ?? 0;
}

/** The current version, deleted or not; no policy is applied here. */
export async function findResource(on: Queryable, type: string, id: string): Promise<ResourceRow | undefined> {
  const [row] = await on.query<ResourceRow>(sql`select ${columns} from resource r where r.type = ${type} and r.id = ${id}`);
  return row;
}

/** The resource as FHIR JSON text: version and date of the row, the stored content after them. */
export function render(row: ResourceRow): string {
  const version = `"versionId":"${row.version}","lastUpdated":"${row.last_updated.toISOString()}"`;
  const meta = row.meta && row.meta !== '{}' ? `${version},${row.meta.slice(1)}` : `${version}}`;
  const rest = row.content === '{}' ? '}' : `,${row.content.slice(1)}`;
  return `{"resourceType":"${row.type}","id":"${row.id}","meta":{${meta}${rest}`;
}

/** The resource as an object, for code that looks inside. */
export function toResource(row: ResourceRow): FhirResource & { id: string } {
  return JSON.parse(render(row));
}

interface Prepared {
  type: string;
  id: string;
  patient_id: string;
  custodian_id: string;
  modality: string[];
  body_site: string[];
  date_from: Date | null;
  date_until: Date | null;
  labels: string[];
  parties: string[];
  refers: string[];
  authors: string[];
  tokens: Token[];
  words: string[];
  /** JSON text. */
  meta: string | null;
  content: string;
  /** The content as an object. */
  tree: Omit<FhirResource, 'resourceType'>;
}

function prepare(write: Write): Prepared {
  const id = write.resource.id ?? newId();
  const keys = extractKeys({ ...write.resource, id });
  const { resourceType, id: _id, meta, ...content } = write.resource;
  const { versionId: _version, lastUpdated: _updated, ...kept } = meta ?? {};
  return {
    type: resourceType,
    id,
    patient_id: keys.patientId,
    custodian_id: write.custodianId,
    modality: write.scope?.modality ?? keys.modality,
    body_site: write.scope?.bodySite ?? keys.bodySite,
    date_from: keys.date?.from ?? write.scope?.started ?? null,
    date_until: keys.date?.until ?? null,
    labels: [...new Set([...keys.labels, ...(write.labels ?? [])])],
    parties: [...new Set([...keys.parties, ...(write.parties ?? [])])],
    refers: refersOf(write.resource),
    authors: authorsOf(write.resource),
    tokens: keys.tokens,
    words: keys.words,
    meta: Object.keys(kept).length > 0 ? JSON.stringify(kept) : null,
    content: JSON.stringify(content),
    tree: content,
  };
}

async function writeWords(tx: Queryable, prepared: readonly Prepared[], replaced = false): Promise<void> {
  const words = prepared.flatMap((p) => p.words.map((word) => ({ type: p.type, id: p.id, word })));
  const first = prepared[0];
  if (replaced && first) await tx.query(sql`delete from name_word where type = ${first.type} and id = ${first.id}`);
  if (words.length === 0) return;
  await tx.query(
    sql`insert into name_word select w.type, w.word, w.id from json_to_recordset(${JSON.stringify(words)}::json) as w (type text, word text, id text) on conflict do nothing`,
  );
}
