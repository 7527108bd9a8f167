import { type Change, type Connector, SourceError } from '../../connectors/connector.js';
import { conflict, notFound, sourceFailed } from '../outcomes.js';
import { followStudy } from './follow/follow-study.js';
import { lockQuarantined, type QuarantineRow, setQuarantineState } from './quarantine.js';
import { messageOf } from './quarantined-message.js';
import { type TakeDeps, takeChange } from './take-change.js';

export interface RetryDeps extends TakeDeps {
  connectorFor: (connectorId: string) => Connector | undefined;
}

const LONGEST_RETRY_MS = 60_000;

/**
 * Reads a custodian's quarantined item again from its source: it is taken now, or stays held, perhaps for another reason.
 * @returns the item as it is now.
 * @throws Refusal 404 for an item that is not the custodian's, 409 when there is nothing to read again, 502 or 504 when the source fails.
 */
export async function retryQuarantined(
  deps: RetryDeps,
  { custodianId, id, requestId }: { custodianId: string; id: string; requestId: string },
): Promise<QuarantineRow> {
  const item = await own(deps, custodianId, id);
  if (item.state === 'resolved') throw conflict('The item was taken already.');
  const connector = item.connector_id === null ? undefined : deps.connectorFor(item.connector_id);
  if (!connector) throw conflict('The source of the item is not connected.');
  const connectorId = item.connector_id ?? '';
  if (item.reason === 'removal-unconfirmed' && item.study_instance_uid) {
    const source = { custodianId, connectorId, requestId, connector };
    await asking(() => followStudy(deps, source, item.study_instance_uid ?? '', { confirmed: true }));
    return own(deps, custodianId, id);
  }
  const message = messageOf(deps.db.protection, { ...item, custodianId, connectorId: item.connector_id });
  const again = { locator: item.locator, ...(message ? { message } : {}) };
  const read = await asking(() => connector.retry(again, AbortSignal.timeout(LONGEST_RETRY_MS)));
  const change = item.reason === 'removal-unconfirmed' ? confirmed(read) : read;
  await deps.db.transaction((tx) => setQuarantineState(tx, custodianId, id, 'held'));
  const refused = await takeChange({ ...deps, connector }, { custodianId, connectorId, requestId }, change);
  const stillHeld = refused.some((one) => one.reason === item.reason && one.locator === item.locator);
  if (!stillHeld) await deps.db.transaction((tx) => setQuarantineState(tx, custodianId, id, 'resolved'));
  return own(deps, custodianId, id);
}

/** What the source has no longer is gone by a person's word. */
function confirmed(change: Change): Change {
  if (change.kind !== 'statement') return change;
  const steps = change.statement.steps.map((step) => (step.kind === 'record-gone' ? { ...step, isConfirmed: true } : step));
  return { ...change, statement: { ...change.statement, steps } };
}

async function own({ db }: RetryDeps, custodianId: string, id: string): Promise<QuarantineRow> {
  const item = await db.transaction((tx) => lockQuarantined(tx, custodianId, id));
  if (!item) throw notFound();
  return item;
}

async function asking<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof SourceError) throw sourceFailed(error.code === 'timeout' ? 504 : 502, 'The source can not be read now.');
    if ((error as Error).name === 'TimeoutError') throw sourceFailed(504, 'The source does not answer in time.');
    throw error;
  }
}
