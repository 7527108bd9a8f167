import type { Audit } from '../../audit/vocabulary.js';
import type { Database, Queryable } from '../../store/database.js';
import { identifierIs } from '../../store/patient-identifier.js';
import { newId } from '../../store/resources.js';
import { sql } from '../../store/sql.js';
import type { RequestContext } from '../caller.js';
import { findPerson, type Standing } from './standing.js';
import type { AccessToken } from './verify-access-token.js';

/** A login, and the national identifier that its issuer has checked (`national_identifier` with `national_identifier_verified: true`). */
export interface CheckedIdentity {
  issuer: string;
  subject: string;
  nationalIdentifier: string;
  name?: string;
}

/**
 * Binds a patient's login to her Patient by the checked national identifier. Where several hospitals registered her, all these Patients must
 * already be cross-referenced as one person; otherwise a steward decides first. An existing account is left as it is, disabled or not.
 * @returns the id of the new account, or undefined when nothing was bound
 */
export async function bindPatientByIdentifier(tx: Queryable, identity: CheckedIdentity): Promise<string | undefined> {
  const patients = await tx.query<{ patient_id: string; person: string }>(sql`
    select distinct i.patient_id, coalesce(x.cluster_id, i.patient_id) as person
    from patient_identifier i left join cross_reference x on x.patient_id = i.patient_id
    where i.kind = 'national' and ${identifierIs('i', { value: identity.nationalIdentifier.trim().toUpperCase() })} order by i.patient_id limit 100`);
  const [first] = patients;
  if (!first || new Set(patients.map((p) => p.person)).size !== 1) return undefined;
  const [account] = await tx.query<{ id: string }>(sql`
    insert into account (id, issuer, subject, name, patient_id, roles)
    values (${newId()}, ${identity.issuer}, ${identity.subject}, ${displayName(identity)}, ${first.patient_id}, ${['patient']})
    on conflict (issuer, subject) do nothing returning id`);
  return account?.id;
}

/** What the issuer calls her: a line of text, whatever she has written there. */
const displayName = ({ name = '' }: CheckedIdentity): string =>
  name
    .replace(/[\p{Cc}\p{Cf}\p{Cs}]+/gu, ' ')
    .trim()
    .slice(0, 200) || 'Patient';

/** A patient who comes for the first time: bound, recorded, and looked up again. */
export async function enrolPatient(
  db: Database,
  audit: Audit,
  token: AccessToken,
  context: RequestContext,
): Promise<Standing | undefined> {
  const { nationalIdentifier, issuer, subject, name } = token;
  if (token.signedBy !== 'issuer' || !nationalIdentifier || !/^[\x20-\x7e]{1,100}$/.test(nationalIdentifier)) return undefined;
  return db.transaction(async (tx) => {
    const bound = await bindPatientByIdentifier(tx, { issuer, subject, name, nationalIdentifier });
    const standing = await findPerson(tx, issuer, subject);
    if (bound && standing?.patientId) {
      await audit.append(tx, [
        {
          type: 'identity',
          subtype: 'bind-account',
          action: 'C',
          outcome: 0,
          agent: 'Device/hub',
          patientId: standing.patientId,
          entity: [`Account/${bound}`],
          basis: 'national identifier checked by the issuer',
          ...context,
        },
      ]);
    }
    return standing;
  });
}
