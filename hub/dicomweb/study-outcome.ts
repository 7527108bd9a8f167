import { outcomeOf, type SeenRecord } from '../access/seen-record.js';

/** The part of an audit entry that tells of a study which was asked for by its UID: one that the caller may not know of is named as he named it. */
export const studyOutcome = (studyInstanceUid: string, seen: SeenRecord) => ({
  entity: [seen?.decision.mayKnow ? `ImagingStudy/${seen.row.id}` : `urn:oid:${studyInstanceUid}`],
  ...outcomeOf(seen),
});
