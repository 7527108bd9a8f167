import type { PolicyTexts } from '../../../policies/policy-texts.js';
import { conflict, forbidden, notFound } from '../../outcomes.js';
import type { Queryable } from '../../store/database.js';
import { newId } from '../../store/resources.js';
import { raw, type Sql, sql } from '../../store/sql.js';
import { type EpochRow, insertEpoch, lockPolicy, textColumns, textsOf } from './epochs.sql.js';
import { digestOf, soundPolicy } from './sound-policy.js';
import { vocabulary } from '../policy/vocabulary.js';

/** A policy that somebody proposes, without its texts. */
export interface ProposalRow {
  id: string;
  /** The epoch that it was made against. */
  base: number;
  digest: string;
  note: string;
  /** The earlier epoch that it brings back. */
  restores: number | null;
  proposed_by: string;
  proposed: Date;
  state: 'open' | 'published' | 'withdrawn';
  [column: string]: unknown;
}

/** What is proposed, by whom and why. */
export interface Proposal {
  texts: PolicyTexts;
  note: string;
  restores?: number;
  by: string;
}

/** Proposals that may be open at once. */
const MOST_OPEN = 20;

const proposalColumns: Sql = raw('p.id, p.base, p.digest, p.note, p.restores, p.proposed_by, p.proposed, p.state');

/** Enters a proposal. The policy must be sound already: validating takes a while, and no lock is held for it. */
export async function propose(tx: Queryable, { texts, note, restores, by }: Proposal): Promise<ProposalRow> {
  const base = await lockPolicy(tx);
  if (base === undefined) throw conflict('No policy is in force yet.');
  const { length } = await listProposals(tx);
  if (length >= MOST_OPEN) throw conflict(`${MOST_OPEN} proposals are open: publish or withdraw some.`);
  const { model, rules, examples, superseded } = texts;
  const [row] = await tx.query<ProposalRow>(sql`
    insert into policy_proposal as p (id, base, digest, model, rules, examples, superseded, note, restores, proposed_by)
    values (${newId()}, ${base}, ${digestOf(texts)}, ${model}, ${rules}, ${JSON.stringify(examples)}, ${JSON.stringify(superseded)},
      ${note}, ${restores ?? null}, ${by})
    returning ${proposalColumns}`);
  if (!row) throw new Error('no proposal was written');
  return row;
}

/** The open ones, newest first. */
export const listProposals = (on: Queryable): Promise<ProposalRow[]> =>
  on.query<ProposalRow>(
    sql`select ${proposalColumns} from policy_proposal p where p.state = 'open' order by p.proposed desc, p.id`,
  );

/** Who takes a step: an id, and whether it is a person's. */
export interface Publisher {
  id: string;
  kind: 'person' | 'system';
}

/**
 * Puts a proposal in force as the next epoch, in every process at once. Four eyes: a person other than who proposed it publishes it, so that nobody widens
 * his own access alone. It was made against the epoch in force, or it is to be proposed anew.
 * @throws Refusal 403, 404 or 409; PolicyError when it is no longer sound for this program
 */
export async function publishProposal(tx: Queryable, id: string, by: Publisher): Promise<EpochRow> {
  const current = await lockPolicy(tx);
  const { row, texts } = await openProposal(tx, id);
  if (by.kind !== 'person' || by.id === row.proposed_by)
    throw forbidden('A policy is published by a person other than the one who proposed it.');
  if (row.base !== current)
    throw conflict(`The proposal was made against epoch ${row.base}; epoch ${current ?? 'none'} is in force: propose it anew.`);
  await soundPolicy(texts);
  await decided(tx, id, 'published', by.id);
  return insertEpoch(tx, {
    texts,
    digest: row.digest,
    vocabulary,
    note: row.note,
    restores: row.restores ?? undefined,
    proposedBy: row.proposed_by,
    publishedBy: by.id,
  });
}

/** Gives a proposal up. @throws Refusal 404 */
export async function withdrawProposal(tx: Queryable, id: string, by: Publisher): Promise<ProposalRow> {
  const { row } = await openProposal(tx, id);
  await decided(tx, id, 'withdrawn', by.id);
  return { ...row, state: 'withdrawn' };
}

/** An open proposal with its texts, for whoever is to publish it. @throws Refusal 404 */
export async function openProposal(tx: Queryable, id: string): Promise<{ row: ProposalRow; texts: PolicyTexts }> {
  const [row] = await tx.query<ProposalRow & Parameters<typeof textsOf>[0]>(
    sql`select ${proposalColumns}, ${textColumns} from policy_proposal p where p.id = ${id} and p.state = 'open' for update`,
  );
  if (!row) throw notFound();
  return { row, texts: textsOf(row) };
}

const decided = (tx: Queryable, id: string, state: 'published' | 'withdrawn', by: string): Promise<unknown> =>
  tx.query(sql`update policy_proposal set state = ${state}, decided_by = ${by}, decided = now() where id = ${id}`);
