import type { UnreadableItem } from '../../../connectors/connector.js';
import type { Queryable } from '../../store/database.js';
import { sql } from '../../store/sql.js';
import { quarantineItems } from '../quarantine.js';
import type { IngestDeps } from '../submit-study.js';
import type { Replacement } from './replacement.js';

/** Studies of which something may go from one source in a day without a person's word: so many, or so large a part of what the hospital has. */
const FREE = 10;
const PART = 0.1;

/**
 * Whether what is missing may leave the index without a person's word: the source has shown that it is itself, and it does not lose so much that the
 * loss of an archive is likelier than the work of its people.
 */
export async function mayRemove(
  tx: Queryable,
  { custodianId, connectorId, studyInstanceUid, now, confirmed }: Replacement,
): Promise<boolean> {
  if (confirmed) return true;
  if (!now.isItself) return false;
  const [figures] = await tx.query<{ gone: number; held: number }>(sql`
    select (select count(distinct study_instance_uid)::int from removed_instance
        where connector_id = ${connectorId} and cause = 'gone' and removed > now() - interval '1 day' and study_instance_uid <> ${studyInstanceUid}) as gone,
      (select count(*)::int from study_claim where custodian_id = ${custodianId} and removed is null) as held`);
  const { gone = 0, held = 0 } = figures ?? {};
  return gone < Math.max(FREE, PART * (held + gone));
}

/** Keeps the objects that are missing, and asks the hospital's administrator whether they are gone for good. @returns what is held for that. */
export async function unconfirmed(
  tx: Queryable,
  deps: IngestDeps,
  of: Replacement,
  gone: number,
  held: number,
): Promise<UnreadableItem[]> {
  const why = of.now.isItself ? 'and has lost much within a day' : 'and does not show that it is the archive that was indexed';
  const item: UnreadableItem = {
    locator: locatorOf(of.studyInstanceUid),
    studyInstanceUid: of.studyInstanceUid,
    reason: 'removal-unconfirmed',
    detail: `The source no longer has ${gone} of ${held} objects of this study ${why}. A retry confirms that they are gone.`,
  };
  await quarantineItems(tx, deps.audit, of, [item]);
  return [item];
}

/** What was held of the study as a whole and no longer holds: nothing is missing without leave, and it is there once. */
export async function settleHeld(
  tx: Queryable,
  { custodianId, connectorId, studyInstanceUid, now }: Replacement,
  isAllowed: boolean,
): Promise<void> {
  const isTwice = now.unreadable.some((item) => item.reason === 'patient-conflict');
  const settled = [...(isAllowed ? ['removal-unconfirmed'] : []), ...(isTwice ? [] : ['patient-conflict'])];
  await tx.query(sql`
    update quarantine set state = 'resolved', last_seen = now()
    where custodian_id = ${custodianId} and connector_id = ${connectorId} and state = 'held' and reason = any(${settled}::text[])
      and md5(locator) = md5(${locatorOf(studyInstanceUid)})`);
}

const locatorOf = (studyInstanceUid: string): string => `studies/${studyInstanceUid}`;
