import { bindAccount } from '../access/authentication/accounts.js';
import { insertEntries } from '../audit/insert-entries.sql.js';
import { type AuditEntry, COMMAND_LINE } from '../audit/vocabulary.js';
import type { Database } from '../store/database.js';
import { AccountEntity } from '../store/entities.js';
import { sql } from '../store/sql.js';
import { table, withDatabase } from './operate.js';

interface Binding {
  issuer?: string;
  subject: string;
  name: string;
  role: string[];
  organization?: string;
  practitioner?: string;
  patient?: string;
  guardian?: string[];
}

/** `hub account bind`: gives a person of the OpenID Connect issuer her roles, and a patient's login the one Patient that is hers. */
export async function bindPerson(options: Binding): Promise<void> {
  await withDatabase(async (db, config) => {
    const issuer = options.issuer ?? config.oidcIssuer;
    if (!issuer) throw new Error('say --issuer, or configure oidcIssuer');
    await assertKnown(db, options);
    const account = await db.transaction(async (tx) => {
      const bound = await bindAccount(tx, {
        issuer,
        subject: options.subject,
        name: options.name,
        roles: options.role as never,
        organizationId: options.organization,
        practitionerId: options.practitioner,
        patientId: options.patient,
        relatedPersons: options.guardian,
      });
      await tx.query(insertEntries([entry('bind-account', 'C', bound.id, options.patient)]));
      return bound;
    });
    console.log(`Account/${account.id}: ${account.roles.join(', ')}`);
  });
}

/** A binding to something that does not exist would only be noticed by the person who can't work. */
async function assertKnown(db: Database, { organization, practitioner, patient, guardian = [] }: Binding): Promise<void> {
  const wanted = [
    ...Object.entries({ Organization: organization, Practitioner: practitioner, Patient: patient }),
    ...guardian.map((id) => ['RelatedPerson', id]),
  ].filter(([, id]) => id !== undefined);
  for (const [type, id] of wanted) {
    const found = await db.query(sql`select 1 from resource where type = ${type} and id = ${id} and not deleted`);
    if (found.length === 0) throw new Error(`there is no ${type}/${id}`);
  }
}

/** `hub account list`. */
export async function listAccounts(): Promise<void> {
  const accounts = await withDatabase((db) =>
    db.dataSource.getRepository(AccountEntity).find({ order: { issuer: 'ASC', subject: 'ASC' } }),
  );
  if (accounts.length === 0) return console.log('no account is bound yet');
  console.log(
    table(
      accounts.map(({ id, subject, name, roles, organizationId, patientId, enabled }) => ({
        id,
        subject,
        name,
        roles: roles.join(','),
        organizationId,
        patientId,
        enabled,
      })),
    ),
  );
}

/** `hub account disable ID`: takes effect within two seconds, for tokens that were issued before too. */
export async function disableAccount(id: string): Promise<void> {
  await withDatabase(async (db) => {
    await db.transaction(async (tx) => {
      const changed = await tx.query(sql`update account set enabled = false where id = ${id} returning 1`);
      if (changed.length === 0) throw new Error(`there is no account ${id}`);
      await tx.query(insertEntries([entry('disable-account', 'U', id)]));
    });
    console.log(`Account/${id} is disabled`);
  });
}

function entry(subtype: string, action: AuditEntry['action'], id: string, patientId?: string): AuditEntry {
  return {
    type: 'access',
    subtype,
    action,
    outcome: 0,
    ...COMMAND_LINE,
    entity: [`Account/${id}`],
    patientId,
  };
}
