import { calculateJwkThumbprint, type JWK } from 'jose';
import { z } from 'zod';
import { type ExportHeader, FORMAT } from './export-format.js';
import type { FaultKind, FaultList } from './faults.js';
import { Frontier, subtreesOf } from './merkle.js';
import { type ArchiveStatement, type KeyRing, keyRing, microsOf, NotSigned, openStatement, type TreeHead } from './tree-head.js';

/** What an export is held against. */
export interface VerifyOptions {
  /** Keys that are trusted, by RFC 7638 thumbprint or as JWK. Without any, the file's own keys only show that it agrees with itself. */
  pinned?: readonly (string | JWK)[];
  /** Signed heads that were kept outside. */
  witnessed?: readonly string[];
  /** Seconds that a row may be older than the head before it: the longest that a transaction takes to commit. */
  tolerance?: number;
  progress?: (leaves: number, of: number) => void;
}

export const HASH = /^[0-9a-f]{64}$/;
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

const MINUTES_15 = 900;

/** Where the checking of an export stands. */
export interface Check {
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

/** Reads the header, the head and whatever else is signed. @returns undefined where the file can't be read any further. */
export async function begin(line: unknown, options: VerifyOptions, faults: FaultList): Promise<Check | undefined> {
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

/** A signed head. @returns undefined, and a fault, for what is none. */
export async function openHead(
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
export const bytes = (text: string): Buffer => Buffer.from(text, 'hex');
export const nothingYet = () => ({ micros: Number.NEGATIVE_INFINITY, leaf: 0, event: '' });
