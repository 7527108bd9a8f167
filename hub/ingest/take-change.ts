import type { Change, UnreadableItem } from '../../connectors/connector.js';
import { Refusal } from '../outcomes.js';
import type { Database } from '../store/database.js';
import { type Origin, quarantineItems } from './quarantine.js';
import { asRefused } from './statements/refused.js';
import { takeStatement } from './statements/take-statement.js';
import type { RecordDeps } from './statements/taking.js';
import { type IngestDeps, submitStudy } from './submit-study.js';

export interface TakeDeps extends IngestDeps {
  db: Database;
  /** Needed by sources that state records. */
  records?: RecordDeps;
  /** Told of what could not be stored for a reason that lies in it or in the hub; no patient data. */
  onDefect?: (code: string) => void;
}

/**
 * Takes one step of a source's change log: a study into the index, a statement into the records, what can't be read into the quarantine. Resolves after
 * the commit with what was not taken. What the rules or the database refuse is quarantined too, so that it never stops its hospital's other items.
 * @throws when the database or the audit is not available: the step is to be repeated.
 */
export async function takeChange(deps: TakeDeps, origin: Origin, change: Change): Promise<readonly UnreadableItem[]> {
  if (change.kind === 'checkpoint') return [];
  if (change.kind === 'unreadable') return hold(deps, origin, [change.item]);
  try {
    return await take(deps, origin, change);
  } catch (error) {
    if (isOutage(error)) throw error;
    if (!(error instanceof Refusal)) deps.onDefect?.(codeOf(error));
    return hold(deps, origin, change.kind === 'study' ? itemsOf(change.study) : [asRefused(change.statement, error)]);
  }
}

function take(
  deps: TakeDeps,
  origin: Origin,
  change: Extract<Change, { kind: 'study' | 'statement' }>,
): Promise<readonly UnreadableItem[]> {
  const { db, audit, records } = deps;
  return db.transaction(async (tx) => {
    if (change.kind === 'study') return (await submitStudy(tx, deps, { ...origin, study: change.study })).quarantined;
    if (!records) throw new Error('statements are not taken here');
    await takeStatement(tx, { audit, records }, origin, change.statement);
    return [];
  });
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
