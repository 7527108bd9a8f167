import type { Statement, Step } from '../../../connectors/statement.js';
import type { Audit } from '../../audit/vocabulary.js';
import { assignerSystem } from '../../identity/identifiers.js';
import { mergePatients } from '../../identity/merge-patients.js';
import { moveNumbers } from '../../identity/move-numbers.js';
import type { Queryable } from '../../store/database.js';
import { sql } from '../../store/sql.js';
import { type Origin, resolveItems } from '../quarantine.js';
import { callerOf, type RecordDeps, sourceAgent, type Taking } from './taking.js';
import { removeRecord } from './remove-record.js';
import { replacePatient } from './replace-patient.js';
import { takeRecord } from './take-record.js';

/**
 * Takes all steps of a statement, or none, in the caller's transaction. One that was taken before is not taken again.
 * @throws Refusal for what can't be taken as it is: names the element.
 */
export async function takeStatement(
  tx: Queryable,
  { audit, records, withdrawJobs }: { audit: Audit; records: RecordDeps; withdrawJobs?: Taking['withdrawJobs'] },
  origin: Origin,
  statement: Statement,
): Promise<void> {
  await resolveItems(tx, origin, [statement.locator]);
  if (statement.once !== undefined && !(await isFirst(tx, origin, statement.once))) return;
  const caller = callerOf(origin);
  const taking: Taking = {
    tx,
    audit,
    records,
    origin,
    caller,
    access: await records.access.forCaller(tx, caller),
    assigner: await assignerSystem(tx, origin.custodianId),
    what: statement.what,
    ids: statement.ids,
    base: statement.base,
    withdrawJobs,
    taken: new Map(),
  };
  for (const step of statement.steps) await take(taking, step);
}

async function take(taking: Taking, step: Step): Promise<void> {
  const { tx, audit, records, origin } = taking;
  const by = { custodianId: origin.custodianId, agent: sourceAgent(taking), what: taking.what };
  const deps = { audit, reevaluateGrants: records.reevaluateGrants };
  if (step.kind === 'record') await takeRecord(taking, step);
  else if (step.kind === 'record-gone') await removeRecord(taking, step);
  else if (step.kind === 'patient-replaced') await replacePatient(taking, { ...by, ...step });
  else if (step.kind === 'patient-merge')
    await mergePatients(tx, deps, { ...by, survivor: step.survivor, retired: step.retired });
  else await moveNumbers(tx, deps, { ...by, ...step });
}

/** How long a sender may take to say something again. */
const REMEMBERED_DAYS = 30;

/** Whether the statement is said for the first time. Who says the same at the same time waits for the first; old ones are forgotten a few at a time. */
async function isFirst(tx: Queryable, { connectorId }: Origin, fingerprint: string): Promise<boolean> {
  await tx.query(sql`
    delete from taken_statement where (connector_id, fingerprint) in (
      select connector_id, fingerprint from taken_statement where taken < now() - make_interval(days => ${REMEMBERED_DAYS})
      order by taken limit 20 for update skip locked)`);
  const made = await tx.query(sql`
    insert into taken_statement (connector_id, fingerprint) values (${connectorId ?? ''}, ${fingerprint}) on conflict do nothing returning 1`);
  return made.length > 0;
}
