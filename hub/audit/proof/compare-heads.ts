import { type Check, bytes } from './open-export.js';
import { provesConsistency } from './merkle.js';
import type { TreeHead } from './tree-head.js';

/** The tree so far against a head of the same size. The first that differs says it all. */
export function compare(check: Check, head: TreeHead, name: string): void {
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

/** Heads that were kept outside, once the tree has their size. */
export function meetWitnesses(check: Check): void {
  for (const witness of check.witnesses)
    if (witness.tree_size === check.tree?.size) compare(check, witness, 'the witnessed head');
}

/** What is left to say when the file has ended. */
export function conclude(check: Check): void {
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
