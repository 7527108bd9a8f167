import {
  type Change,
  type Connector,
  SourceError,
  type StudyDescription,
  type UnreadableItem,
} from '../../connectors/connector.js';
import { Refusal } from '../outcomes.js';
import type { Database } from '../store/database.js';
import { ownPartOf } from './copies.js';
import { withHeaders } from './seen-headers.js';
import { type Origin, quarantineItems } from './quarantine.js';
import { followStudy } from './follow/follow-study.js';
import { askForLookLater } from './follow/looks.js';
import type { StepCounts, TakenStep } from './step-counts.js';
import { asRefused } from './statements/refused.js';
import { takeStatement } from './statements/take-statement.js';
import type { RecordDeps } from './statements/taking.js';
import { type IngestDeps, StatedOtherwise, submitStudy } from './submit-study.js';

export interface TakeDeps extends IngestDeps {
  db: Database;
  /** The source itself, to be asked for a whole study where a step contradicts the index. */
  connector?: Connector;
  /** Needed by sources that state records. */
  records?: RecordDeps;
  /** Told what became of each step. */
  steps?: Pick<StepCounts, 'count'>;
  /** Told of what could not be stored for a reason that lies in it or in the hub; no patient data. */
  onDefect?: (code: string) => void;
}

/**
 * Takes one step of a source's change log: a study into the index, a statement into the records, what can't be read into the quarantine. Resolves after
 * the commit with what was not taken. What the rules or the database refuse is quarantined too, so that it never stops its hospital's other items.
 * @throws when the database or the audit is not available: the step is to be repeated.
 */
export async function takeChange(deps: TakeDeps, origin: Origin, change: Change): Promise<readonly UnreadableItem[]> {
  const { kind } = change;
  if (kind === 'checkpoint') return [];
  const count = (result: TakenStep['result']): void =>
    deps.steps?.count({ hospital: origin.custodianId, connector: origin.connectorId ?? '', kind, result });
  try {
    const held = await takeStep(deps, origin, change);
    count(held.length > 0 ? 'held' : 'taken');
    return held;
  } catch (error) {
    count('failed');
    throw error;
  }
}

async function takeStep(
  deps: TakeDeps,
  origin: Origin,
  change: Exclude<Change, { kind: 'checkpoint' }>,
): Promise<readonly UnreadableItem[]> {
  if (change.kind === 'unreadable') return holdForNow(deps, origin, change.item);
  if (change.kind === 'removed') return follow(deps, origin, change.studyInstanceUid);
  try {
    return await take(deps, origin, change);
  } catch (error) {
    if (error instanceof StatedOtherwise && change.kind === 'study')
      return follow(deps, origin, change.study.studyInstanceUid, change);
    throw error;
  }
}

type Taken = Extract<Change, { kind: 'study' | 'statement' }>;

/** What the database refuses is held object by object. @param isAskable the source may be asked for a whole study first. */
async function take(
  deps: TakeDeps,
  origin: Origin,
  change: Taken,
  isAskable = isFollowed(deps, origin),
): Promise<readonly UnreadableItem[]> {
  const { db, audit, records, withdrawJobs } = deps;
  const seen = change.kind === 'study' ? await withHeaders(deps, origin, change.study) : undefined;
  const unread = seen ? await holdEach(deps, origin, seen.unread) : [];
  try {
    return await db.transaction(async (tx) => {
      if (change.kind === 'study') {
        const study = await ownPartOf(tx, deps, origin, seen?.study ?? change.study);
        return [...unread, ...(study ? (await submitStudy(tx, deps, { ...origin, study, isAskable })).quarantined : [])];
      }
      if (!records) throw new Error('statements are not taken here');
      await takeStatement(tx, { audit, records, withdrawJobs }, origin, change.statement);
      return [];
    });
  } catch (error) {
    if (error instanceof StatedOtherwise || isOutage(error)) throw error;
    if (!(error instanceof Refusal)) deps.onDefect?.(codeOf(error));
    return hold(deps, origin, change.kind === 'study' ? itemsOf(change.study) : [asRefused(change.statement, error)]);
  }
}

const isFollowed = ({ connector }: TakeDeps, { connectorId }: Origin): boolean =>
  connector?.look !== undefined && connectorId !== undefined;

/**
 * Looks at a study at its source and takes what is there. Where the source does not tell, that is tried again later, and what it stated in this step is
 * taken as far as it contradicts nothing.
 */
async function follow(
  deps: TakeDeps,
  origin: Origin,
  studyInstanceUid: string,
  stated?: Taken,
): Promise<readonly UnreadableItem[]> {
  const { connector } = deps;
  const { connectorId } = origin;
  if (!connector?.look || connectorId === undefined) return [];
  try {
    const { quarantined, isSettled } = await followStudy(deps, { ...origin, connectorId, connector }, studyInstanceUid);
    if (!isSettled) await askForLookLater(deps.db, connectorId, studyInstanceUid);
    return quarantined;
  } catch (error) {
    if (!(error instanceof SourceError)) throw error;
    await askForLookLater(deps.db, connectorId, studyInstanceUid);
    return stated ? take(deps, origin, stated, false) : [];
  }
}

/** What a source could not deliver is held, and its study looked at again later: it may deliver it then. */
async function holdForNow(deps: TakeDeps, origin: Origin, item: UnreadableItem): Promise<readonly UnreadableItem[]> {
  const { studyInstanceUid, reason } = item;
  if (reason === 'source-error' && studyInstanceUid && origin.connectorId && deps.connector?.look)
    await askForLookLater(deps.db, origin.connectorId, studyInstanceUid);
  return hold(deps, origin, [item]);
}

async function holdEach(deps: TakeDeps, origin: Origin, items: readonly UnreadableItem[]): Promise<UnreadableItem[]> {
  for (const item of items) await holdForNow(deps, origin, item);
  return [...items];
}

async function hold(deps: TakeDeps, origin: Origin, items: UnreadableItem[]): Promise<UnreadableItem[]> {
  await deps.db.transaction((tx) => quarantineItems(tx, deps.audit, origin, items));
  return items;
}

/** Each object of a study, as one that can be tried again. */
function itemsOf({ studyInstanceUid, series }: StudyDescription): UnreadableItem[] {
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
