import { createHash, randomBytes } from 'node:crypto';
import type { Queryable } from '../../store/database.js';
import { sql } from '../../store/sql.js';

/** What a launch is for: this patient, opened by this person of this hospital. */
export interface LaunchContext {
  organizationId: string;
  patientId: string;
  /** Id of the person's account. */
  accountId: string;
}

/** Launch tokens are random; nothing can be read from one. */
const LAUNCH = /^[\w-]{43}$/;

const digestOf = (launch: string): string => createHash('sha256').update(launch).digest('base64url');

/** Opens a context (SMART App Launch 2, EHR launch) for so many seconds. @returns the launch token; only its digest is kept. */
export async function openLaunch(tx: Queryable, context: LaunchContext, seconds: number): Promise<string> {
  const launch = randomBytes(32).toString('base64url');
  await tx.query(sql`delete from launch_context where expires < now()`);
  await tx.query(sql`
    insert into launch_context (digest, organization_id, patient_id, account_id, expires)
    values (${digestOf(launch)}, ${context.organizationId}, ${context.patientId}, ${context.accountId}, now() + make_interval(secs => ${seconds}))`);
  return launch;
}

/** Takes a context, once: whoever shows the token, it is gone. Undefined for one that was used, has expired, or never was. */
export async function takeLaunch(on: Queryable, launch: string): Promise<LaunchContext | undefined> {
  if (!LAUNCH.test(launch)) return undefined;
  const [row] = await on.query<LaunchContext & { isOpen: boolean } & Record<string, unknown>>(sql`
    delete from launch_context where digest = ${digestOf(launch)}
    returning organization_id as "organizationId", patient_id as "patientId", account_id as "accountId", expires > now() as "isOpen"`);
  return row?.isOpen ? { organizationId: row.organizationId, patientId: row.patientId, accountId: row.accountId } : undefined;
}

/** The enabled account of a person of this hospital, by what her issuer calls her. */
export async function accountOf(
  on: Queryable,
  organizationId: string,
  issuer: string,
  subject: string,
): Promise<string | undefined> {
  const [row] = await on.query<{ id: string }>(
    sql`select id from account where issuer = ${issuer} and subject = ${subject} and organization_id = ${organizationId} and enabled`,
  );
  return row?.id;
}
