import type { PolicyTexts } from '../../../policies/policy-texts.js';
import type { Vocabulary } from '../../../policies/load-policy.js';
import type { Queryable } from '../../store/database.js';
import { raw, type Sql, sql } from '../../store/sql.js';

/** An epoch without its texts. */
export interface EpochRow {
  number: number;
  digest: string;
  note: string;
  restores: number | null;
  proposed_by: string;
  published_by: string;
  published: Date;
  [column: string]: unknown;
}

/** An epoch of the policy, whole. */
export interface Epoch extends EpochRow {
  texts: PolicyTexts;
  /** The words that its rules were written in. */
  vocabulary: Vocabulary;
}

type StoredTexts = { model: string; rules: string; examples: string; superseded: string };

/** Columns of StoredTexts of the table under the alias `p`. json stays text until it is read here. */
export const textColumns: Sql = raw('p.model, p.rules, p.examples, p.superseded');

export const textsOf = (row: StoredTexts): PolicyTexts => ({
  model: row.model,
  rules: row.rules,
  examples: JSON.parse(row.examples),
  superseded: JSON.parse(row.superseded),
});

const epochColumns: Sql = raw('p.number, p.digest, p.note, p.restores, p.proposed_by, p.published_by, p.published');

/** The number of the epoch in force; undefined on a database that has none. */
export async function epochInForce(on: Queryable): Promise<number | undefined> {
  const [row] = await on.query<{ policy_epoch: number | null }>(sql`select policy_epoch from fact_epoch`);
  return row?.policy_epoch ?? undefined;
}

export async function readEpoch(on: Queryable, number: number): Promise<Epoch | undefined> {
  const [row] = await on.query<EpochRow & StoredTexts & { vocabulary: string }>(
    sql`select ${epochColumns}, ${textColumns}, p.vocabulary from policy_epoch p where p.number = ${number}`,
  );
  return row && { ...row, texts: textsOf(row), vocabulary: JSON.parse(row.vocabulary) };
}

/** Newest first. */
export const listEpochs = (on: Queryable, { count, before }: { count: number; before?: number }): Promise<EpochRow[]> =>
  on.query<EpochRow>(sql`
    select ${epochColumns} from policy_epoch p where p.number < ${before ?? 2_147_483_647}
    order by p.number desc limit ${count}`);

/** What a new epoch is made of; its number follows from the one in force. */
export interface NewEpoch {
  texts: PolicyTexts;
  digest: string;
  vocabulary: Vocabulary;
  note: string;
  restores?: number;
  proposedBy: string;
  publishedBy: string;
}

/** Locks the policy against other publishers until the transaction ends. @returns the epoch in force */
export async function lockPolicy(tx: Queryable): Promise<number | undefined> {
  const [row] = await tx.query<{ policy_epoch: number | null }>(sql`select policy_epoch from fact_epoch for update`);
  return row?.policy_epoch ?? undefined;
}

/** Adds an epoch, which is in force when the transaction commits. The policy must be locked. */
export async function insertEpoch(tx: Queryable, epoch: NewEpoch): Promise<EpochRow> {
  const { model, rules, examples, superseded } = epoch.texts;
  const [row] = await tx.query<EpochRow>(sql`
    insert into policy_epoch as p
      (number, digest, model, rules, examples, superseded, vocabulary, note, restores, proposed_by, published_by, published)
    values ((select coalesce(max(number), 0) + 1 from policy_epoch), ${epoch.digest}, ${model}, ${rules}, ${JSON.stringify(examples)},
      ${JSON.stringify(superseded)}, ${JSON.stringify(epoch.vocabulary)}, ${epoch.note}, ${epoch.restores ?? null}, ${epoch.proposedBy},
      ${epoch.publishedBy}, clock_timestamp())
    returning ${epochColumns}`);
  if (!row) throw new Error('no epoch was written');
  return row;
}
