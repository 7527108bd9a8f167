import { hash } from 'node:crypto';

/** A perfect subtree: 2^height leaves from leaf index * 2^height on. Numbers, not bits: a tree may outgrow 32. */
export interface Subtree {
  height: number;
  index: number;
}

/** Where the hashes of perfect subtrees of a tree come from. */
export type HashOf = (subtree: Subtree) => Promise<Buffer>;

/** Hash of a leaf (RFC 6962 2.1): SHA-256(0x00 || UTF-8 of the text). */
export const leafHash = (text: string): Buffer => hash('sha256', `\0${text}`, 'buffer');

const pair = Buffer.alloc(65, 1);

/** Hash of an inner node: SHA-256(0x01 || left || right). */
export function nodeHash(left: Buffer, right: Buffer): Buffer {
  left.copy(pair, 1);
  right.copy(pair, 33);
  return hash('sha256', pair, 'buffer');
}

/** Bit `height` of a size. */
const hasBit = (size: number, height: number): boolean => Math.floor(size / 2 ** height) % 2 === 1;

/** The fewest perfect subtrees that make up the leaves [from, to), from left to right. */
export function subtreesOf(from: number, to: number): Subtree[] {
  const found: Subtree[] = [];
  for (let at = from; at < to; ) {
    let height = 0;
    while (at % 2 ** (height + 1) === 0 && at + 2 ** (height + 1) <= to) height++;
    found.push({ height, index: at / 2 ** height });
    at += 2 ** height;
  }
  return found;
}

/** The right edge of a growing tree: what is needed to add leaves and to tell the root, O(log n). */
export class Frontier {
  /** @param peaks hashes of subtreesOf(0, size) */
  constructor(
    public size = 0,
    private readonly peaks: Buffer[] = [],
    private readonly completed: (subtree: Subtree, hash: Buffer) => void = () => undefined,
  ) {
    if (peaks.length !== subtreesOf(0, size).length) throw new RangeError('not the edge of a tree of this size');
  }

  /** Adds a leaf, or a perfect subtree where one of its height may begin. */
  push(added: Buffer, height = 0): void {
    if (this.size % 2 ** height !== 0) throw new RangeError('a subtree of this height can not begin here');
    let merged = added;
    let at = height;
    this.completed({ height: at, index: this.size / 2 ** at }, merged);
    for (; hasBit(this.size, at); at++) {
      merged = nodeHash(this.peaks.pop() as Buffer, merged);
      this.completed({ height: at + 1, index: Math.floor(this.size / 2 ** (at + 1)) }, merged);
    }
    this.peaks.push(merged);
    this.size += 2 ** height;
  }

  root(): Buffer {
    return foldRight(this.peaks);
  }
}

function foldRight(hashes: readonly Buffer[]): Buffer {
  const last = hashes.at(-1);
  if (!last) return hash('sha256', '', 'buffer');
  return hashes.slice(0, -1).reduceRight((right, left) => nodeHash(left, right), last);
}

/** MTH of the leaves [from, to), where a perfect subtree of that many leaves or more may begin at `from`. */
async function rootOf(hashOf: HashOf, from: number, to: number): Promise<Buffer> {
  const hashes: Buffer[] = [];
  for (const subtree of subtreesOf(from, to)) hashes.push(await hashOf(subtree));
  return foldRight(hashes);
}

/** Largest power of two below n (n >= 2). */
function split(n: number): number {
  let k = 1;
  while (k * 2 < n) k *= 2;
  return k;
}

/** PATH(index, D[size]) of RFC 6962 2.1.1, from the leaf upwards. */
export async function inclusionPath(hashOf: HashOf, index: number, size: number): Promise<Buffer[]> {
  const path: Buffer[] = [];
  for (let from = 0, to = size; to - from > 1; ) {
    const middle = from + split(to - from);
    path.unshift(index < middle ? await rootOf(hashOf, middle, to) : await rootOf(hashOf, from, middle));
    if (index < middle) to = middle;
    else from = middle;
  }
  return path;
}

/** PROOF(older, D[newer]) of RFC 6962 2.1.2; empty for equal sizes and for the empty tree. */
export async function consistencyPath(hashOf: HashOf, older: number, newer: number): Promise<Buffer[]> {
  const path: Buffer[] = [];
  if (older === 0 || older === newer) return path;
  let from = 0;
  let to = newer;
  while (older !== to) {
    const middle = from + split(to - from);
    path.unshift(older <= middle ? await rootOf(hashOf, middle, to) : await rootOf(hashOf, from, middle));
    if (older <= middle) to = middle;
    else from = middle;
  }
  if (from > 0) path.unshift(await rootOf(hashOf, from, to));
  return path;
}

/** RFC 9162 2.1.3.2: whether `path` leads from the leaf to the root. */
export function provesInclusion(leaf: Buffer, index: number, size: number, path: readonly Buffer[], root: Buffer): boolean {
  if (!(index >= 0 && index < size)) return false;
  let fn = index;
  let sn = size - 1;
  let r = leaf;
  for (const p of path) {
    if (sn === 0) return false;
    if (fn % 2 === 1 || fn === sn) {
      r = nodeHash(p, r);
      while (fn % 2 === 0 && fn !== 0) [fn, sn] = [fn / 2, Math.floor(sn / 2)];
    } else r = nodeHash(r, p);
    [fn, sn] = [Math.floor(fn / 2), Math.floor(sn / 2)];
  }
  return sn === 0 && r.equals(root);
}

/** RFC 9162 2.1.4.2: whether `path` shows that the older tree is the beginning of the newer one. */
export function provesConsistency(
  older: { size: number; root: Buffer },
  newer: { size: number; root: Buffer },
  path: readonly Buffer[],
): boolean {
  if (older.size > newer.size) return false;
  if (older.size === newer.size) return path.length === 0 && older.root.equals(newer.root);
  if (older.size === 0) return path.length === 0;
  let fn = older.size - 1;
  let sn = newer.size - 1;
  while (fn % 2 === 1) [fn, sn] = [Math.floor(fn / 2), Math.floor(sn / 2)];
  // an older tree that is itself a perfect subtree stands for its own root
  const [first, ...rest] = fn === 0 ? [older.root, ...path] : path;
  if (!first) return false;
  let fr = first;
  let sr = first;
  for (const c of rest) {
    if (sn === 0) return false;
    if (fn % 2 === 1 || fn === sn) {
      fr = nodeHash(c, fr);
      sr = nodeHash(c, sr);
      while (fn % 2 === 0 && fn !== 0) [fn, sn] = [fn / 2, Math.floor(sn / 2)];
    } else sr = nodeHash(sr, c);
    [fn, sn] = [Math.floor(fn / 2), Math.floor(sn / 2)];
  }
  return sn === 0 && fr.equals(older.root) && sr.equals(newer.root);
}
