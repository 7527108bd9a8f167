import pg from 'pg';

/** Loaded before a hub (`node --import`): what its audit would write is answered as written. Only to measure what the audit costs. */
const query = pg.Client.prototype.query as (...given: unknown[]) => unknown;
pg.Client.prototype.query = function (this: pg.Client, ...given: unknown[]): unknown {
  const text = (given[0] as { text?: string } | undefined)?.text ?? '';
  if (text.trimStart().startsWith('insert into audit_event') && typeof given[1] !== 'function')
    return Promise.resolve({ rows: [] });
  return query.apply(this, given);
} as typeof pg.Client.prototype.query;
