import type { Change, UnreadableItem } from '../../connectors/connector.js';
import { Refusal } from '../outcomes.js';
import type { Database } from '../store/database.js';
import { type Origin, quarantineItems } from './quarantine.js';
import { type IngestDeps, submitStudy } from './submit-study.js';

export interface TakeDeps extends IngestDeps {
  db: Database;
  /** Told of a study that could not be stored for a reason that lies in it or in the hub; no patient data. */
  onDefect?: (code: string) => void;
}

/**
 * Takes one step of a source's change log: a study into the index, what can't be read into the quarantine. Resolves after the commit with
 * what was not taken. A study that the database refuses is quarantined too, so that it never stops its hospital's other studies.
 * @throws when the database or the audit is not available: the step is to be repeated.
 */
export async function takeChange(deps: TakeDeps, origin: Origin, change: Change): Promise<readonly UnreadableItem[]> {
  if (change.kind === 'checkpoint') return [];
  if (change.kind === 'unreadable') return hold(deps, origin, [change.item]);
  try {
    const { quarantined } = await deps.db.transaction((tx) => submitStudy(tx, deps, { ...origin, study: change.study }));
    return quarantined;
  } catch (error) {
    if (isOutage(error)) throw error;
    deps.onDefect?.(codeOf(error));
    return hold(deps, origin, itemsOf(change.study));
  }
}

async function hold(deps: TakeDeps, origin: Origin, items: UnreadableItem[]): Promise<UnreadableItem[]> {
  await deps.db.transaction((tx) => quarantineItems(tx, deps.audit, origin, items));
  return items;
}

/** Each object of a study, as one that can be tried again. */
function itemsOf({ studyInstanceUid, series }: Extract<Change, { kind: 'study' }>['study']): UnreadableItem[] {
  return series.flatMap(({ seriesInstanceUid, instances }) =>
    instances.map(({ locator, digest, sopInstanceUid }) => ({
      locator,
      digest,
      studyInstanceUid,
      seriesInstanceUid,
      sopInstanceUid,
      reason: 'malformed' as const,
      detail: 'The index cannot take this object.',
    })),
  );
}

/** SQLSTATE classes of data (22), integrity (23) and limits (54), and a program's own errors, will fail again; everything else passes. */
function isOutage(error: unknown): boolean {
  if (error instanceof Refusal) return error.status >= 500;
  if (error instanceof TypeError || error instanceof RangeError) return false;
  return !/^(22|23|54)...$/.test(codeOf(error));
}

const codeOf = (error: unknown): string => (error as { code?: string }).code ?? (error as Error).name;
