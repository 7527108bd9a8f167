import type { Change, Connector, InstanceDescription, StudyDescription, UnreadableItem } from '../../../connectors/connector.js';

/** Everything that one reading of a source yields. */
export interface Reading {
  changes: Change[];
  studies: StudyDescription[];
  unreadable: UnreadableItem[];
  /** The last cursor. */
  cursor?: string;
}

export const never = (): AbortSignal => new AbortController().signal;

/** Reads a source from `cursor` to its end, or until `limit` changes have come. */
export async function read(connector: Connector, cursor?: string, limit = Number.POSITIVE_INFINITY): Promise<Reading> {
  const changes: Change[] = [];
  for await (const change of connector.changes(cursor, never())) {
    changes.push(change);
    if (changes.length >= limit) break;
  }
  return {
    changes,
    studies: changes.flatMap((change) => (change.kind === 'study' ? [change.study] : [])),
    unreadable: changes.flatMap((change) => (change.kind === 'unreadable' ? [change.item] : [])),
    cursor: changes.findLast((change) => change.cursor !== undefined)?.cursor ?? cursor,
  };
}

export const instancesOf = (studies: StudyDescription[]): InstanceDescription[] =>
  studies.flatMap((study) => study.series.flatMap((series) => series.instances));

/** Distinct SOP Instance UIDs of each study. */
export function countsByStudy(studies: StudyDescription[]): Record<string, { series: number; instances: number }> {
  const uids = [...new Set(studies.map((study) => study.studyInstanceUid))].sort();
  return Object.fromEntries(
    uids.map((uid) => {
      const mine = studies.filter((study) => study.studyInstanceUid === uid);
      const series = new Set(mine.flatMap((study) => study.series.map((one) => one.seriesInstanceUid)));
      return [uid, { series: series.size, instances: new Set(instancesOf(mine).map((one) => one.sopInstanceUid)).size }];
    }),
  );
}
