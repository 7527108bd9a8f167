import { calculateJwkThumbprint, type JWK } from 'jose';
import { z } from 'zod';
import { type EndLine, type ExportHeader, FORMAT, type LeafLine, type UnsealedLine } from './export-format.js';
import { type Fault, type FaultKind, type FaultList, faultList } from './faults.js';
import { leafOfRow } from './leaf.js';
import { Frontier, provesConsistency, subtreesOf } from './merkle.js';
import { type ArchiveStatement, type KeyRing, keyRing, microsOf, NotSigned, openStatement, type TreeHead } from './tree-head.js';

export interface VerifyOptions {
  /** Keys that are trusted, by RFC 7638 thumbprint or as JWK. Without any, the file's own keys only show that it agrees with itself. */
  pinned?: readonly (string | JWK)[];
  /** Signed heads that were kept outside. */
  witnessed?: readonly string[];
  /** Seconds that a row may be older than the head before it: the longest that a transaction takes to commit. */
  tolerance?: number;
  progress?: (leaves: number, of: number) => void;
}

export interface Verification {
  faults: readonly Fault[];
  counts: ReadonlyMap<FaultKind, number>;
  header?: ExportHeader;
  head?: TreeHead;
  /** Thumbprint of the key that signed the head. */
  key?: string;
  leaves: number;
  heads: number;
  archived: number;
  unsealed: number;
}

const HASH = /^[0-9a-f]{64}$/;
const hash = z.string().regex(HASH);
const size = z.number().int().nonnegative();
const headerShape = z.object({
  format: z.literal(FORMAT),
  from: size,
  to: size,
  head: z.string(),
  keys: z.object({ keys: z.array(z.record(z.string(), z.unknown())) }),
  left: z.array(hash),
  before: z.string().optional(),
  archives: z.array(z.string()),
  consistency: z.array(z.object({ size, path: z.array(hash) })),
});
const headShape = z.object({ tree_size: size, root_hash: hash, timestamp: z.string(), swept: z.literal(true).optional() });

const LONGEST_LINE = 4_000_000;
const MINUTES_15 = 900;
const PROGRESS_EVERY = 50_000;
const MOST_SUSPECTS = 1000;

/**
 * Checks an export by itself: no database, no network, in bounded memory. Every row is hashed, the tree is built again from the hashes, and
 * its root compared with every signed head on the way; so a fault that the hashes hide is placed between two heads.
 * @param chunks the file's text, in pieces of any size
 */
export async function verifyExport(chunks: AsyncIterable<string>, options: VerifyOptions = {}): Promise<Verification> {
  const faults = faultList();
  const result = { leaves: 0, heads: 0, archived: 0, unsealed: 0 };
  let check: Check | undefined;
  let number = 0;
  for await (const texts of linesOf(chunks)) {
    for (const text of texts) {
      number++;
      const line = parsed(text);
      if (number === 1) {
        const begun = await begin(line, options, faults);
        if (!begun) return { ...faults.close(), ...result };
        check = begun;
      } else if (check && line && 'leaf' in line) takeLeaf(check, line as unknown as LeafLine, options);
      else if (check && line && 'head' in line) await takeHead(check, String(line.head));
      else if (check && line && 'unsealed' in line) takeUnsealed(check, line as unknown as UnsealedLine);
      else if (check && line && 'end' in line) takeEnd(check, line as unknown as EndLine);
      else faults.add('malformed', `line ${number} is none of an export`);
    }
  }
  if (!check) faults.add('malformed', 'the file is empty');
  else conclude(check);
  const { header, head, key, leaves, heads, archived, unsealed } = check ?? (result as Check);
  return { ...faults.close(), header, head, key, leaves, heads, archived, unsealed };
}

/** Lines, as many as a chunk completes. */
async function* linesOf(chunks: AsyncIterable<string>): AsyncGenerator<string[]> {
  let rest = '';
  for await (const chunk of chunks) {
    const texts = (rest + chunk).split('\n');
    rest = (texts.pop() as string).slice(0, LONGEST_LINE);
    yield texts;
  }
  if (rest) yield [rest];
}

function parsed(text: string): Record<string, unknown> | undefined {
  try {
    const value = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

interface Check {
  faults: FaultList;
  header: ExportHeader;
  head: TreeHead;
  key: string;
  ring: KeyRing;
  witnesses: TreeHead[];
  archives: Map<string, ArchiveStatement>;
  tolerance: number;
  /** The tree so far; undefined once a leaf is missing. */
  tree: Frontier | undefined;
  /** The root was not the signed one: later ones can't be either. */
  isRewritten: boolean;
  /** Only heads of rows from before the tree came so far: a sweep later on excuses no row's age. */
  isFirstSweep: boolean;
  /** The next leaf. */
  next: number;
  /** The last head: its size, and its time in microseconds. */
  last: { size: number; micros: number | undefined };
  /** Since the last head: the newest row, the row before, and what does not fit unless the leaves were swept. */
  newest: { micros: number; leaf: number; event: string };
  previous: { leaf: number; xact: number; id: number } | undefined;
  suspects: { kind: FaultKind; text: string; leaf: number; event: string }[];
  ended: boolean;
  leaves: number;
  heads: number;
  archived: number;
  unsealed: number;
}

/** @returns undefined where the file can't be read any further. */
async function begin(line: unknown, options: VerifyOptions, faults: FaultList): Promise<Check | undefined> {
  const shape = headerShape.safeParse(line);
  if (!shape.success || shape.data.left.length !== subtreesOf(0, shape.data.from).length) {
    faults.add('malformed', 'the first line is not the header of an export');
    return undefined;
  }
  const header = shape.data as unknown as ExportHeader;
  const ring = await trustedKeys(header.keys.keys, options.pinned);
  const head = await openHead(header.head, ring, faults, 'the head of the file');
  if (!head) return undefined;
  const check: Check = {
    faults,
    header,
    head,
    key: keyOf(header.head),
    ring,
    witnesses: [],
    archives: new Map(),
    tolerance: (options.tolerance ?? MINUTES_15) * 1e6,
    tree: new Frontier(header.from, header.left.map(bytes)),
    isRewritten: false,
    isFirstSweep: true,
    next: header.from,
    last: { size: header.from, micros: undefined },
    newest: nothingYet(),
    previous: undefined,
    suspects: [],
    ended: false,
    leaves: 0,
    heads: 0,
    archived: 0,
    unsealed: 0,
  };
  if (header.to > head.tree_size) faults.add('malformed', 'the file goes beyond its head');
  await openOthers(check, options.witnessed ?? []);
  meetWitnesses(check);
  return check;
}

async function openOthers(check: Check, witnessed: readonly string[]): Promise<void> {
  const { header, ring, faults } = check;
  const before =
    header.before === undefined ? undefined : await openHead(header.before, ring, faults, 'the head before the range');
  if (before && before.tree_size <= header.from) {
    check.last.micros = microsOf(before.timestamp);
    check.isFirstSweep = before.swept ?? false;
  }
  for (const jws of header.archives) {
    const archive = await openStatement(jws, 'audit-archive', ring).catch((error) =>
      signedBy(error, faults, 'an archive statement'),
    );
    if (archive) check.archives.set(archive.month, archive);
  }
  for (const [i, jws] of witnessed.entries()) {
    const witness = await openHead(jws.trim(), ring, faults, `witnessed head ${i + 1}`);
    if (witness) check.witnesses.push(witness);
  }
}

async function trustedKeys(ofFile: JWK[], pinned: readonly (string | JWK)[] | undefined): Promise<KeyRing> {
  const ring = await keyRing([...ofFile, ...(pinned ?? []).filter((key): key is JWK => typeof key !== 'string')]).catch(
    (): KeyRing => new Map(),
  );
  if (!pinned?.length) return ring;
  const trusted = new Set(await Promise.all(pinned.map((key) => (typeof key === 'string' ? key : calculateJwkThumbprint(key)))));
  return new Map([...ring].filter(([thumbprint]) => trusted.has(thumbprint)));
}

async function openHead(
  jws: string,
  ring: KeyRing,
  faults: FaultList,
  name: string,
  leaf?: number,
): Promise<TreeHead | undefined> {
  const head = await openStatement(jws, 'audit-tree-head', ring).catch((error) => signedBy(error, faults, name, leaf));
  const shape = headShape.safeParse(head);
  if (head && !(shape.success && !Number.isNaN(microsOf(shape.data.timestamp))))
    faults.add('malformed', `${name} is not one`, { leaf });
  return shape.success ? shape.data : undefined;
}

function signedBy(error: unknown, faults: FaultList, name: string, leaf?: number): undefined {
  if (!(error instanceof NotSigned)) throw error;
  faults.add(error.kind, `${name} ${error.message}`, { leaf });
  return undefined;
}

const keyOf = (jws: string): string => JSON.parse(Buffer.from(jws.split('.')[0] ?? '', 'base64url').toString('utf8')).kid;
const bytes = (text: string): Buffer => Buffer.from(text, 'hex');
const nothingYet = () => ({ micros: Number.NEGATIVE_INFINITY, leaf: 0, event: '' });

function takeLeaf(check: Check, line: LeafLine, { progress }: VerifyOptions): void {
  const { faults } = check;
  const { leaf, event } = line;
  const [micros = Number.NaN] = typeof event === 'string' ? event.split('-', 1).map(Number) : [];
  if (!Number.isSafeInteger(leaf) || !Number.isSafeInteger(micros) || !HASH.test(line.hash)) {
    faults.add('malformed', 'a leaf without number, event or hash', { leaf: check.next });
    return;
  }
  if (check.ended) faults.add('malformed', 'a leaf after the end', { leaf, event });
  check.leaves++;
  if (leaf === check.next) check.tree?.push(bytes(line.hash));
  else check.tree = undefined;
  if (leaf > check.next) faults.gap(check.next, leaf);
  if (leaf < check.next) faults.late(leaf, event, check.next - 1);
  else check.next = leaf + 1;
  checkRow(check, line, micros);
  checkTime(check, line, micros);
  meetWitnesses(check);
  if (check.leaves % PROGRESS_EVERY === 0) progress?.(check.leaves, check.header.to - check.header.from);
}

function checkRow(check: Check, line: LeafLine, micros: number): void {
  const { faults } = check;
  const { leaf, event, row } = line;
  if (row === null || row === undefined) {
    const archive = line.archived === undefined ? undefined : check.archives.get(line.archived);
    if (archive && monthOf(micros) === line.archived && leaf >= archive.from && leaf < archive.to) check.archived++;
    else faults.add('removed', 'the row is gone', { leaf, event });
    return;
  }
  const now = microsOf(String(row.recorded));
  const found = leafOfRow(row).toString('hex');
  if (now !== micros || line.liesIn) faults.moved(event, monthOf(micros), now === micros ? String(line.liesIn) : monthOf(now));
  if (now !== micros) faults.add('back-dated', `was recorded at ${timeOf(micros)} and now says ${row.recorded}`, { leaf, event });
  else if (found !== line.hash) faults.mismatch({ leaf, event, sealed: line.hash, found });
  else if (line.liesIn) faults.add('swapped-partitions', `lies in the partition of ${line.liesIn}`, { leaf, event });
}

/** A row is no older than the head before it, but for the time that a transaction takes; and inside a head rows stand in the order of their transactions. */
function checkTime(check: Check, { leaf, event, row }: LeafLine, micros: number): void {
  if (micros > check.newest.micros) check.newest = { micros, leaf, event };
  const suspect = (kind: FaultKind, text: string): void => {
    if (check.suspects.length < MOST_SUSPECTS) check.suspects.push({ kind, text, leaf, event });
  };
  const { micros: before } = check.last;
  if (before !== undefined && micros < before - check.tolerance)
    suspect('back-dated', `says ${timeOf(micros)}, but came after the head of ${timeOf(before)}`);
  const place = { leaf, xact: Number(row?.xact ?? Number.NaN), id: Number(event.split('-')[1]) };
  const { previous } = check;
  if (
    previous &&
    leaf > previous.leaf &&
    (place.xact < previous.xact || (place.xact === previous.xact && place.id < previous.id))
  )
    suspect('reordered', 'stands after the row of a later transaction');
  check.previous = place;
}

async function takeHead(check: Check, jws: string): Promise<void> {
  const { faults } = check;
  const head = await openHead(jws, check.ring, faults, 'the head after this leaf', check.next - 1);
  if (!head) return;
  check.heads++;
  const micros = microsOf(head.timestamp);
  if (head.tree_size > check.next) {
    faults.gap(check.next, head.tree_size);
    check.next = head.tree_size;
    check.tree = undefined;
  } else if (head.tree_size < check.next)
    faults.add('reordered', `a head of ${head.tree_size} leaves stands after this one`, { leaf: check.next - 1 });
  else compare(check, head, 'the signed head');
  if (check.last.micros !== undefined && micros < check.last.micros)
    faults.add('back-dated', `the head of ${head.timestamp} is older than the one before it`, { leaf: check.next - 1 });
  if (check.newest.micros > micros)
    faults.add(
      'back-dated',
      `says ${timeOf(check.newest.micros)}, after the head of ${head.timestamp} that covers it`,
      check.newest,
    );
  check.isFirstSweep &&= head.swept ?? false;
  for (const { kind, text, ...at } of check.suspects)
    if (!(kind === 'reordered' ? head.swept : check.isFirstSweep)) faults.add(kind, text, at);
  check.suspects = [];
  check.previous = undefined;
  check.newest = nothingYet();
  check.last = { size: head.tree_size, micros };
}

/** The tree so far against a head of the same size. The first that differs says it all. */
function compare(check: Check, head: TreeHead, name: string): void {
  const { tree, last, faults } = check;
  if (!tree || check.isRewritten || tree.size !== head.tree_size || tree.root().toString('hex') === head.root_hash) return;
  check.isRewritten = true;
  const where =
    last.size < head.tree_size ? `from leaf ${last.size} to ${head.tree_size - 1}` : `of the ${head.tree_size} leaves`;
  faults.add(
    'rewritten',
    `the hashes ${where} are not those of ${name} of ${head.timestamp}: rows were changed, removed, inserted or reordered together with their hashes`,
    {
      leaf: Math.min(last.size, head.tree_size - 1),
    },
  );
}

function meetWitnesses(check: Check): void {
  for (const witness of check.witnesses)
    if (witness.tree_size === check.tree?.size) compare(check, witness, 'the witnessed head');
}

function takeUnsealed(check: Check, line: UnsealedLine): void {
  const { faults, head, tolerance } = check;
  const event = String(line.unsealed);
  const micros = Number(event.split('-', 1)[0]);
  if (!Number.isSafeInteger(micros)) faults.add('malformed', 'a row without an event');
  else if (faults.isDisplaced(event)) return;
  else if (micros < microsOf(head.timestamp) - tolerance)
    faults.add('inserted', `is in no tree, although it says ${timeOf(micros)}, before the head of ${head.timestamp}`, { event });
  else check.unsealed++;
}

function takeEnd(check: Check, { end }: EndLine): void {
  const { header, head, faults, tree } = check;
  check.ended = true;
  if (check.next < header.to) faults.gap(check.next, header.to);
  const right = subtreesOf(header.to, head.tree_size);
  const hashes = Array.isArray(end?.right) ? end.right.filter((h) => HASH.test(h)) : [];
  if (hashes.length !== right.length) {
    faults.add('malformed', 'the end does not lead to the head');
    return;
  }
  if (!tree || tree.size !== header.to) return;
  for (const [i, { height }] of right.entries()) tree.push(bytes(hashes[i] as string), height);
  compare(check, head, 'the head of the file');
}

function conclude(check: Check): void {
  const { faults, header, head, witnesses } = check;
  if (!check.ended)
    faults.add('truncated', `the file breaks off; it should go on to leaf ${header.to - 1}`, { leaf: check.next });
  for (const { kind, text, ...at } of check.suspects) faults.add(kind, text, at);
  for (const witness of witnesses) {
    const { tree_size: size, timestamp } = witness;
    if (size > head.tree_size)
      faults.add(
        'truncated',
        `a head of ${size} leaves was witnessed (${timestamp}), but the newest here has ${head.tree_size}: leaves ${head.tree_size} to ${size - 1} are cut off`,
        { leaf: head.tree_size },
      );
    else if (size < header.from || (size > header.to && size <= head.tree_size)) concludeWitness(check, witness);
  }
}

/** A witnessed head that ends outside the file's range is proved by its consistency with the file's head. */
function concludeWitness({ header, head, faults }: Check, witness: TreeHead): void {
  const older = { size: witness.tree_size, root: bytes(witness.root_hash) };
  const newer = { size: head.tree_size, root: bytes(head.root_hash) };
  const proof = header.consistency.find((c) => c.size === older.size);
  if (!proof && older.size < newer.size)
    faults.add(
      'malformed',
      `the file does not show that the witnessed head of ${older.size} leaves is its beginning: export with --witnessed ${older.size}`,
    );
  else if (!provesConsistency(older, newer, (proof?.path ?? []).map(bytes)))
    faults.add(
      'rewritten',
      `the witnessed head of ${older.size} leaves (${witness.timestamp}) is not the beginning of the head of the file`,
    );
}

const timeOf = (micros: number): string => {
  const seconds = Math.floor(micros / 1e6);
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}.${String(micros - seconds * 1e6).padStart(6, '0')}Z`;
};
const monthOf = (micros: number): string => (Number.isFinite(micros) ? timeOf(micros).slice(0, 7) : 'no month');
