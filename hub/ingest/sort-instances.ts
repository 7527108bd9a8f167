import type { UnreadableItem } from '../../connectors/connector.js';
import type { Queryable } from '../store/database.js';
import type { InstanceFacts, StudyFacts } from './study-facts.js';
import { type KnownInstance, knownInstances } from './study-rows.sql.js';

/** What becomes of a submission's instances. */
export interface Sorted {
  /** Not in the custodian's index. */
  fresh: InstanceFacts[];
  /** Indexed, and found in a new place, or only told of till now. */
  located: InstanceFacts[];
  /** Indexed, nothing new. */
  known: InstanceFacts[];
  /** Another object has this SOP Instance UID at the custodian's: the first one stands. */
  conflicting: InstanceFacts[];
  /** Those of the conflicting that the source itself had stated otherwise, of the same place: it may have replaced them. */
  restated: InstanceFacts[];
}

/** Compares a submission with what the custodian's archives hold already, in this study and in all others. */
export async function sortInstances(
  tx: Queryable,
  custodianId: string,
  connectorId: string | null,
  facts: StudyFacts,
): Promise<Sorted> {
  const uids = facts.instances.map((i) => i.sop_instance_uid);
  const indexed = await knownInstances(tx, custodianId, connectorId, uids);
  const sorted: Sorted = { fresh: [], located: [], known: [], conflicting: [...facts.repeated], restated: [] };
  for (const instance of facts.instances) {
    const before = indexed.get(instance.sop_instance_uid);
    const outcome = before ? compareWith(before, instance, facts.studyInstanceUid) : 'fresh';
    sorted[outcome].push(instance);
    if (outcome === 'conflicting' && before?.sameConnector && before.locator === instance.locator) sorted.restated.push(instance);
  }
  return sorted;
}

function compareWith(before: KnownInstance, given: InstanceFacts, studyInstanceUid: string): 'located' | 'known' | 'conflicting' {
  const inPlace = before.study_instance_uid === studyInstanceUid && before.series_instance_uid === given.series_instance_uid;
  if (!inPlace || before.sop_class_uid !== given.sop_class_uid) return 'conflicting';
  if (given.digest === null) return before.locator === null && given.locator !== null ? 'located' : 'known';
  if (before.digest === null) return 'located';
  if (!before.comparable) return 'known';
  if (before.digest !== given.digest) return 'conflicting';
  return before.sameConnector && before.locator !== given.locator ? 'located' : 'known';
}

/** Instances as items for the quarantine. */
export const asItems = (
  instances: readonly InstanceFacts[],
  studyInstanceUid: string,
  reason: 'sop-instance-conflict' | 'patient-conflict',
  detail: string,
): UnreadableItem[] =>
  instances.map((i) => ({
    locator: i.locator ?? i.sop_instance_uid,
    reason,
    detail,
    ...(i.digest ? { digest: i.digest } : {}),
    studyInstanceUid,
    seriesInstanceUid: i.series_instance_uid,
    sopInstanceUid: i.sop_instance_uid,
  }));
