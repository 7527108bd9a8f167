/** What can be wrong with an audit, or with a file that claims to be an export of it. */
export type FaultKind =
  | 'malformed'
  | 'signature'
  | 'other-key'
  | 'changed'
  | 'removed'
  | 'inserted'
  | 'reordered'
  | 'back-dated'
  | 'swapped-partitions'
  | 'rewritten'
  | 'truncated';

export interface Fault {
  kind: FaultKind;
  text: string;
  /** Index of the leaf. */
  leaf?: number;
  /** AuditEvent.id as it was sealed. */
  event?: string;
}

const MOST_OF_A_KIND = 200;
const MOST_REMEMBERED = 100_000;

/** A leaf whose row is not the one that was sealed. */
interface Mismatch {
  leaf: number;
  event: string;
  /** Hash that was sealed. */
  sealed: string;
  /** Hash of the row that there is. */
  found: string;
}

/** Gathers what is found, in bounded memory, and draws the conclusions that need all of it. */
export function faultList() {
  const faults: Fault[] = [];
  const counts = new Map<FaultKind, number>();
  const mismatches: Mismatch[] = [];
  const missing = new Set<number>();
  const moves = new Map<string, number>();
  const displaced = new Set<string>();

  const add = (kind: FaultKind, text: string, at: Pick<Fault, 'leaf' | 'event'> = {}): void => {
    const count = (counts.get(kind) ?? 0) + 1;
    counts.set(kind, count);
    if (count <= MOST_OF_A_KIND) faults.push({ kind, text, ...at });
  };

  return {
    add,
    mismatch(mismatch: Mismatch): void {
      if (mismatches.length < MOST_REMEMBERED) mismatches.push(mismatch);
      else add('changed', CHANGED, mismatch);
    },
    /** Leaves [from, to) did not come; they may yet. */
    gap(from: number, to: number): void {
      if (to - from + missing.size > MOST_REMEMBERED)
        add('removed', `${to - from} leaves from here on are missing`, { leaf: from });
      else for (let leaf = from; leaf < to; leaf++) missing.add(leaf);
    },
    /** A leaf came after later ones. */
    late(leaf: number, event: string, after: number): void {
      if (missing.delete(leaf)) add('reordered', `stands after leaf ${after}`, { leaf, event });
      else add('inserted', `a second leaf of this number, after leaf ${after}`, { leaf, event });
    },
    /** A row is dated, or lies, in another month than the one in which it was sealed. */
    moved(event: string, from: string, to: string): void {
      if (displaced.size < MOST_REMEMBERED) displaced.add(event.slice(event.indexOf('-') + 1));
      moves.set(`${from}>${to}`, (moves.get(`${from}>${to}`) ?? 0) + 1);
    },
    /** Whether the row of this number was already found under its leaf. */
    isDisplaced: (event: string): boolean => displaced.has(event.slice(event.indexOf('-') + 1)),
    close(): { faults: Fault[]; counts: ReadonlyMap<FaultKind, number> } {
      concludeMismatches(mismatches, add);
      for (const [from, to] of runs(missing))
        add('removed', to - from === 1 ? 'is missing' : `and the ${to - from - 1} after it are missing`, { leaf: from });
      for (const [move, count] of moves) {
        const [from = '', to = ''] = move.split('>');
        const back = moves.get(`${to}>${from}`);
        if (back && from < to) add('swapped-partitions', `${count} rows of ${from} lie in ${to} and ${back} of ${to} in ${from}`);
      }
      faults.sort((a, b) => (a.leaf ?? -1) - (b.leaf ?? -1));
      return { faults, counts };
    },
  };
}

export type FaultList = ReturnType<typeof faultList>;

const CHANGED = 'the row is not the one that was sealed: it was changed';

/** A row that was sealed as another leaf was put in this one's place; any other was changed. */
function concludeMismatches(mismatches: readonly Mismatch[], add: FaultList['add']): void {
  const sealedAs = new Map(mismatches.map((m) => [m.sealed, m]));
  for (const { leaf, event, found } of mismatches) {
    const other = sealedAs.get(found);
    if (other) add('reordered', `holds the row that was sealed as leaf ${other.leaf}`, { leaf, event });
    else add('changed', CHANGED, { leaf, event });
  }
}

/** Numbers as runs [from, to). */
function runs(numbers: ReadonlySet<number>): [number, number][] {
  const found: [number, number][] = [];
  for (const n of [...numbers].sort((a, b) => a - b)) {
    const last = found.at(-1);
    if (last?.[1] === n) last[1]++;
    else found.push([n, n + 1]);
  }
  return found;
}
