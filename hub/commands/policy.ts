import { userInfo } from 'node:os';
import { pathToFileURL } from 'node:url';
import { type PolicyTexts, readPolicyTexts } from '../../policies/policy-texts.js';
import { epochInForce, insertEpoch, listEpochs, lockPolicy, readEpoch } from '../access/epochs/epochs.sql.js';
import { diffOf } from '../access/epochs/policy-diff.js';
import { listProposals, propose } from '../access/epochs/proposals.js';
import { replay } from '../access/epochs/replay.js';
import { lackingOf, withAdditions } from '../access/epochs/shipped-additions.js';
import { digestOf, enforceablePolicy, soundPolicy } from '../access/epochs/sound-policy.js';
import { vocabulary } from '../access/policy/vocabulary.js';
import { everything } from '../audit/audit-filter.js';
import { insertEntries } from '../audit/insert-entries.sql.js';
import { parseAuditEventId } from '../audit/rows.js';
import { readAuditEvent } from '../audit/search.js';
import { type AuditEntry, COMMAND_LINE } from '../audit/vocabulary.js';
import { loadConfig } from '../config.js';
import type { Database, Queryable } from '../store/database.js';
import { table, withDatabase } from './operate.js';

const read = (folder?: string): PolicyTexts => readPolicyTexts(folder ? pathToFileURL(`${folder}/`) : undefined);

/**
 * `hub policy check [folder]`: a policy as a start would load it: a broken rule, or an example that comes out wrong, is an error. With a configured
 * database also whether it is the one in force, and whether this program can enforce that one.
 */
export async function checkPolicy(folder?: string): Promise<void> {
  const texts = read(folder);
  await soundPolicy(texts);
  console.log('policy: ok; its rules load and every example comes out as it says');
  if (!loadConfig().databaseUrl) return;
  await withDatabase(async (db) => {
    const epoch = await inForce(db);
    if (!epoch) return console.log('no policy is in force yet: a start makes the one of the program the first epoch');
    const same = epoch.digest === digestOf(texts);
    console.log(
      same ? `it is in force, as epoch ${epoch.number}` : `epoch ${epoch.number} is in force, and differs (hub policy diff)`,
    );
    await enforceablePolicy(epoch.texts);
  });
}

/**
 * `hub policy status`: the epoch in force, whether this program can enforce it, and what came with the program that it lacks. Exit status 1 when it lacks something, so
 * that whoever upgrades by script notices.
 */
export async function policyStatus(): Promise<void> {
  await withDatabase(async (db) => {
    const epoch = await inForce(db);
    if (!epoch) return console.log('no policy is in force yet: a start makes the one of the program the first epoch');
    console.log(
      `epoch ${epoch.number} is in force since ${epoch.published.toISOString()}, proposed by ${epoch.proposed_by}, published by ${epoch.published_by}`,
    );
    await enforceablePolicy(epoch.texts);
    const { lines, examples } = lackingOf(epoch.texts);
    const open = await listProposals(db);
    for (const { id, note } of open) console.log(`proposed, and not published yet: ${id} (${note})`);
    if (lines.length === 0) return console.log('it has every rule of the program, but those that it gives up by name');
    for (const line of lines) console.log(`lacks  ${line}`);
    console.log(
      `What these allow is refused. hub policy upgrade --note "…" proposes them, with ${examples.length} examples; another person publishes it.`,
    );
    process.exitCode = 1;
  });
}

/** `hub policy upgrade`: proposes the policy in force with what it lacks of the program's; what the region has written itself stays. */
export const upgradePolicy = (options: Publishing): Promise<void> =>
  bring(async (db) => {
    const epoch = await inForce(db);
    if (!epoch) throw new Error('no policy is in force yet');
    if (lackingOf(epoch.texts).lines.length === 0) throw new Error(`epoch ${epoch.number} lacks nothing of the program's policy`);
    return { texts: withAdditions(epoch.texts) };
  }, options);

/** `hub policy diff [folder]`: what a policy has that the one in force has not, and the other way round. */
export async function diffPolicy(folder?: string): Promise<void> {
  await withDatabase(async (db) => {
    const epoch = await inForce(db);
    if (!epoch) throw new Error('no policy is in force yet');
    const { added, removed } = diffOf(epoch.texts, read(folder));
    for (const line of removed) console.log(`- ${line}`);
    for (const line of added) console.log(`+ ${line}`);
    if (added.length + removed.length === 0) console.log(`no difference to epoch ${epoch.number}`);
  });
}

interface Publishing {
  note: string;
  atOnce?: boolean;
}

/**
 * `hub policy publish [folder]`: proposes a policy, which another person publishes over HTTP. With `--at-once` it is in force when the command ends: for an
 * emergency, or when the policy in force lets nobody publish; the audit and the history say that nobody else looked at it.
 */
export const publishPolicy = (folder: string | undefined, options: Publishing): Promise<void> =>
  bring(async () => ({ texts: read(folder) }), options);

/** `hub policy rollback <number>`: the same with an earlier epoch, as a new one. */
export const rollbackPolicy = (text: string, options: Publishing): Promise<void> =>
  bring(async (db) => {
    const epoch = await readEpoch(db, Number(text) || 0);
    if (!epoch) throw new Error(`there is no epoch ${text}`);
    return { texts: epoch.texts, restores: epoch.number };
  }, options);

async function bring(
  find: (db: Database) => Promise<{ texts: PolicyTexts; restores?: number }>,
  { note, atOnce }: Publishing,
): Promise<void> {
  if (note.trim().length < 5) throw new Error('say why, in --note');
  await withDatabase(async (db) => {
    const { texts, restores } = await find(db);
    await soundPolicy(texts);
    const by = `command-line/${userInfo().username}`;
    await db.transaction(async (tx) => {
      if (!atOnce) {
        const { id } = await propose(tx, { texts, note, restores, by });
        await audit(tx, 'propose', `PolicyProposal/${id}`, note);
        console.log(`proposed as ${id}; a hub administrator publishes it: POST /access/policy/proposals/${id}/publish`);
        return;
      }
      await lockPolicy(tx);
      const digest = digestOf(texts);
      const { number } = await insertEpoch(tx, { texts, digest, vocabulary, note, restores, proposedBy: by, publishedBy: by });
      await audit(tx, 'publish', `PolicyEpoch/${number}`, `at once, by one person: ${note}`);
      console.log(`epoch ${number} is in force`);
    });
  });
}

/** `hub policy history`: epochs, newest first, and what is proposed. */
export async function policyHistory(): Promise<void> {
  await withDatabase(async (db) => {
    const epochs = await listEpochs(db, { count: 200 });
    if (epochs.length === 0) return console.log('no policy is in force yet');
    console.log(
      table(
        epochs.map(({ number, published, proposed_by, published_by, restores, digest, note }) => ({
          epoch: number,
          published,
          'proposed by': proposed_by,
          'published by': published_by,
          restores,
          digest: digest.slice(0, 16),
          note,
        })),
      ),
    );
    const proposals = await listProposals(db);
    if (proposals.length === 0) return;
    console.log(
      `\n${table(proposals.map(({ id, proposed, proposed_by, base, note }) => ({ proposal: id, proposed, 'proposed by': proposed_by, base, note })))}`,
    );
  });
}

/** `hub policy show [number]`: the rules of an epoch, by default of the one in force. */
export async function showPolicy(number?: string): Promise<void> {
  await withDatabase(async (db) => {
    const epoch = number === undefined ? await inForce(db) : await readEpoch(db, Number(number) || 0);
    if (!epoch) throw new Error(number === undefined ? 'no policy is in force yet' : `there is no epoch ${number}`);
    console.log(`# epoch ${epoch.number}, ${epoch.digest}\n${epoch.texts.rules}`);
  });
}

/** `hub policy replay <AuditEvent id>`: a past decision made again under its epoch; another outcome than recorded is an error. */
export async function replayDecision(id: string): Promise<void> {
  await withDatabase(async (db) => {
    const at = parseAuditEventId(id);
    const result = await db.snapshot(async (tx) => {
      const row = at && (await readAuditEvent(tx, everything, at));
      if (!row) throw new Error(`there is no AuditEvent ${id}`);
      return replay(tx, row);
    });
    await audit(db, 'replay', `AuditEvent/${id}`, result.same ? 'same' : 'different');
    console.log(JSON.stringify(result, undefined, 2));
    if (!result.same) throw new Error('the decision comes out otherwise than it was recorded');
  });
}

async function inForce(db: Database) {
  const number = await epochInForce(db);
  return number === undefined ? undefined : readEpoch(db, number);
}

const audit = (tx: Queryable, subtype: string, entity: string, detail: string): Promise<unknown> =>
  tx.query(
    insertEntries([
      { ...ENTRY, subtype, entity: [entity], detail, agentName: `${COMMAND_LINE.agentName} (${userInfo().username})` },
    ]),
  );

const ENTRY = {
  type: 'policy',
  action: 'E',
  outcome: 0,
  ...COMMAND_LINE,
} as const satisfies Partial<AuditEntry>;
