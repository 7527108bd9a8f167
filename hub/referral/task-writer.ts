import type { ResourceWriter } from '../access/write-request.js';
import { refused } from '../access/write-rules.js';
import type { ResourceRow } from '../store/resources.js';
import { toResource } from '../store/resources.js';
import { taskKind } from './task.js';

/** Writer for Task: each kind (Task.code) has a writer of its own. @throws Refusal 422 for an unknown kind. */
export function createTaskWriter(kinds: Readonly<Record<string, ResourceWriter>>): ResourceWriter {
  const writerFor = (kind: string | undefined): ResourceWriter => {
    const writer = kind === undefined || !Object.hasOwn(kinds, kind) ? undefined : kinds[kind];
    if (!writer) throw refused(`Task.code is one of ${Object.keys(kinds).join(', ')}.`, 'Task.code');
    return writer;
  };
  return {
    create: async (tx, requests) => {
      const rows: ResourceRow[] = [];
      for (const request of requests) rows.push(...(await writerFor(taskKind(request.resource)).create(tx, [request])));
      return rows;
    },
    update: (tx, request) => writerFor(taskKind(toResource(request.current))).update(tx, request),
  };
}
