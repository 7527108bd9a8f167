import { conclude, meetWitnesses } from './compare-heads.js';
import { takeEnd, takeHead, takeLeaf, takeUnsealed } from './check-lines.js';
import type { EndLine, ExportHeader, LeafLine, UnsealedLine } from './export-format.js';
import { type Fault, type FaultKind, faultList } from './faults.js';
import { begin, type Check, type VerifyOptions } from './open-export.js';
import type { TreeHead } from './tree-head.js';

export type { VerifyOptions } from './open-export.js';

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

const LONGEST_LINE = 4_000_000;

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
        meetWitnesses(check);
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
