import { describe, expect, it } from '@jest/globals';
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { canonicalRow } from '../../../hub/audit/proof/leaf.js';
import { canonical } from '../../../hub/store/canonical-json.js';
import {
  consistencyPath,
  Frontier,
  inclusionPath,
  leafHash,
  provesConsistency,
  provesInclusion,
  type Subtree,
  subtreesOf,
} from '../../../hub/audit/proof/merkle.js';

const sha = (...parts: (Buffer | string)[]) =>
  createHash('sha256')
    .update(Buffer.concat(parts.map((p) => Buffer.from(p as string))))
    .digest();
const leaves = Array.from({ length: 300 }, (_, i) => leafHash(`leaf ${i}`));

/** MTH, PATH and SUBPROOF as RFC 6962 2.1 writes them down, by recursion over the whole list. */
function mth(d: readonly Buffer[]): Buffer {
  if (d.length === 0) return sha('');
  if (d.length === 1) return d[0]!;
  const k = power(d.length);
  return sha(Buffer.from([1]), mth(d.slice(0, k)), mth(d.slice(k)));
}
function path(m: number, d: readonly Buffer[]): Buffer[] {
  if (d.length === 1) return [];
  const k = power(d.length);
  return m < k ? [...path(m, d.slice(0, k)), mth(d.slice(k))] : [...path(m - k, d.slice(k)), mth(d.slice(0, k))];
}
function subproof(m: number, d: readonly Buffer[], whole: boolean): Buffer[] {
  if (m === d.length) return whole ? [] : [mth(d)];
  const k = power(d.length);
  return m <= k
    ? [...subproof(m, d.slice(0, k), whole), mth(d.slice(k))]
    : [...subproof(m - k, d.slice(k), false), mth(d.slice(0, k))];
}
const power = (n: number): number => 2 ** (Math.ceil(Math.log2(n)) - 1);

const stored = async ({ height, index }: Subtree) => mth(leaves.slice(index * 2 ** height, (index + 1) * 2 ** height));
const size = fc.integer({ min: 1, max: leaves.length });
const flipped = (hash: Buffer): Buffer => Buffer.from(hash.map((byte, i) => (i === 7 ? byte ^ 1 : byte)));

describe('the tree', () => {
  it('hashes leaves and nodes apart (RFC 6962 2.1), and the empty tree', () => {
    expect(leafHash('')).toEqual(sha(Buffer.from([0])));
    expect(leafHash('查询')).toEqual(sha(Buffer.from([0]), '查询'));
    expect(new Frontier().root()).toEqual(sha(''));
  });

  it('has the root of the definition at every size, however it grew', () => {
    fc.assert(
      fc.property(size, size, (a, b) => {
        const [cut, n] = [Math.min(a, b), Math.max(a, b)];
        const whole = new Frontier();
        for (const leaf of leaves.slice(0, n)) whole.push(leaf);
        expect(whole.root()).toEqual(mth(leaves.slice(0, n)));
        const peaks = subtreesOf(0, cut).map(({ height, index }) =>
          mth(leaves.slice(index * 2 ** height, (index + 1) * 2 ** height)),
        );
        const resumed = new Frontier(cut, peaks);
        for (const { height, index } of subtreesOf(cut, n))
          resumed.push(mth(leaves.slice(index * 2 ** height, (index + 1) * 2 ** height)), height);
        expect([resumed.size, resumed.root()]).toEqual([n, whole.root()]);
      }),
      { numRuns: 60 },
    );
  });

  it('proves inclusion as the definition does, and nothing else', async () => {
    await fc.assert(
      fc.asyncProperty(size, fc.nat(), fc.nat(), async (n, i, other) => {
        const index = i % n;
        const proof = await inclusionPath(stored, index, n);
        const root = mth(leaves.slice(0, n));
        expect(proof).toEqual(path(index, leaves.slice(0, n)));
        expect(provesInclusion(leaves[index]!, index, n, proof, root)).toBe(true);
        expect(provesInclusion(flipped(leaves[index]!), index, n, proof, root)).toBe(false);
        if (other % n !== index) expect(provesInclusion(leaves[index]!, other % n, n, proof, root)).toBe(false);
        if (proof.length > 0) {
          const at = other % proof.length;
          expect(provesInclusion(leaves[index]!, index, n, proof.with(at, flipped(proof[at]!)), root)).toBe(false);
          expect(provesInclusion(leaves[index]!, index, n, proof.slice(1), root)).toBe(false);
        }
        expect(provesInclusion(leaves[index]!, index, n, [...proof, root], root)).toBe(false);
      }),
      { numRuns: 150 },
    );
  });

  it('proves consistency as the definition does, and nothing else', async () => {
    await fc.assert(
      fc.asyncProperty(size, size, fc.nat(), async (a, b, at) => {
        const older = { size: Math.min(a, b), root: mth(leaves.slice(0, Math.min(a, b))) };
        const newer = { size: Math.max(a, b), root: mth(leaves.slice(0, Math.max(a, b))) };
        const proof = await consistencyPath(stored, older.size, newer.size);
        expect(proof).toEqual(older.size === newer.size ? [] : subproof(older.size, leaves.slice(0, newer.size), true));
        expect(provesConsistency(older, newer, proof)).toBe(true);
        expect(provesConsistency({ ...older, root: flipped(older.root) }, newer, proof)).toBe(false);
        expect(provesConsistency(older, { ...newer, root: flipped(newer.root) }, proof)).toBe(false);
        if (proof.length > 0) {
          const i = at % proof.length;
          expect(provesConsistency(older, newer, proof.with(i, flipped(proof[i]!)))).toBe(false);
          expect(provesConsistency(older, newer, proof.slice(0, -1))).toBe(false);
        }
        expect(provesConsistency({ ...newer, size: newer.size + 1 }, newer, proof)).toBe(false);
      }),
      { numRuns: 150 },
    );
  });

  it('counts beyond 32 bits', () => {
    const n = 2 ** 40 + 2 ** 33 + 5;
    expect(subtreesOf(0, n).map(({ height }) => height)).toEqual([40, 33, 2, 0]);
    expect(subtreesOf(2 ** 33, 2 ** 34 + 1)).toEqual([
      { height: 33, index: 1 },
      { height: 0, index: 2 ** 34 },
    ]);
  });
});

describe('a leaf', () => {
  it('is canonical JSON (RFC 8785): sorted names, no white space', () => {
    expect(canonical({ b: [1, 1e21, 'é"\n'], a: { '\u20ac': null, '1': true } })).toBe(
      '{"a":{"1":true,"€":null},"b":[1,1e+21,"é\\"\\n"]}',
    );
  });

  it('does not change when a column is added that is null or false, and does with any other', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.string(), fc.constantFrom(null, false), (row, name, empty) => {
        fc.pre(!(name in row) && name !== '__proto__');
        const shuffled = Object.fromEntries([[name, empty], ...Object.entries(row).reverse()]);
        expect(canonicalRow(shuffled)).toBe(canonicalRow(row));
        expect(canonicalRow({ ...row, [name]: 0 })).not.toBe(canonicalRow(row));
      }),
    );
  });
});
