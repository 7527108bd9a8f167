import { compare, meetWitnesses } from './compare-heads.js';
import type { EndLine, LeafLine, UnsealedLine } from './export-format.js';
import type { FaultKind } from './faults.js';
import { leafOfRow } from './leaf.js';
import { subtreesOf } from './merkle.js';
import { bytes, type Check, HASH, nothingYet, openHead, type VerifyOptions } from './open-export.js';
import { microsOf } from './tree-head.js';

const PROGRESS_EVERY = 50_000;
const MOST_SUSPECTS = 1000;

/** A sealed row: its place, its hash, its time. */
export function takeLeaf(check: Check, line: LeafLine, { progress }: VerifyOptions): void {
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

/** A signed head: the tree up to here is held against it. */
export async function takeHead(check: Check, jws: string): Promise<void> {
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

/** A row that is in no tree yet. */
export function takeUnsealed(check: Check, line: UnsealedLine): void {
  const { faults, head, tolerance } = check;
  const event = String(line.unsealed);
  const micros = Number(event.split('-', 1)[0]);
  if (!Number.isSafeInteger(micros)) faults.add('malformed', 'a row without an event');
  else if (faults.isDisplaced(event)) return;
  else if (micros < microsOf(head.timestamp) - tolerance)
    faults.add('inserted', `is in no tree, although it says ${timeOf(micros)}, before the head of ${head.timestamp}`, { event });
  else check.unsealed++;
}

/** The end leads from the range to the head of the file. */
export function takeEnd(check: Check, { end }: EndLine): void {
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

const timeOf = (micros: number): string => {
  const seconds = Math.floor(micros / 1e6);
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}.${String(micros - seconds * 1e6).padStart(6, '0')}Z`;
};
const monthOf = (micros: number): string => (Number.isFinite(micros) ? timeOf(micros).slice(0, 7) : 'no month');
