import { LONGEST_TOKEN } from './tokens.js';
import { raw, type Sql, sql } from './sql.js';

/** The index token of `name=Type/id` for an id that the statement itself finds: what `tokenKey` makes of it, in SQL. */
export function referenceToken(name: string, type: string, id: Sql): Sql {
  const plain = sql`(${`${name}=${type}/`}::text || ${id})`;
  const digest = sql`translate(encode(sha256(convert_to(${plain}, 'UTF8')), 'base64'), '+/', '-_')`;
  return sql`case when length(${plain}) <= ${raw(String(LONGEST_TOKEN))} then ${plain} else '#' || left(${digest}, 22) end`;
}
