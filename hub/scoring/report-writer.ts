import type { ResourceWriter } from '../access/write-request.js';
import type { Queryable } from '../store/database.js';
import { type ResourceRow, toResource } from '../store/resources.js';
import { resultsOfReport } from './laboratory-values.js';

type Schedule = (tx: Queryable, stored: { studyRow: ResourceRow }) => Promise<unknown>;

/** Reports by the same writer; one that holds results is scored where a rule of its hospital says so, in the same transaction. */
export function scoredOnArrival(writer: ResourceWriter, schedule: Schedule): ResourceWriter {
  const arrived = async (tx: Queryable, row: ResourceRow): Promise<void> => {
    if (resultsOfReport(toResource(row)).length > 0) await schedule(tx, { studyRow: row });
  };
  return {
    create: async (tx, requests) => {
      const rows = await writer.create(tx, requests);
      for (const row of rows) await arrived(tx, row);
      return rows;
    },
    update: async (tx, request) => {
      const row = await writer.update(tx, request);
      await arrived(tx, row);
      return row;
    },
  };
}
