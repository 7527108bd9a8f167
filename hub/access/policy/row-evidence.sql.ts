import type { RowWithEvidence } from '../decision.js';
import { type Sql, sql } from '../../store/sql.js';
import type { ConsentRule, Seen } from './terms.js';

/** The column `evidence` for alias `r`: the instant of the snapshot, the registration of the patient with the organization, and the patient's consent rules. */
export const rowEvidence = (organizationId: string): Sql => sql`(json_build_object(
  'now', (extract(epoch from now()) * 1000000)::bigint,
  'registered', (select g.own from patient_registration g where g.organization_id = ${organizationId} and g.patient_id = r.patient_id),
  'consents', (
    select coalesce(json_agg(json_build_object(
      'id', c.consent_id, 'version', c.consent_version, 'provision', c.provision, 'decision', c.decision, 'actor', c.actor, 'purpose', c.purpose,
      'from', case when isfinite(c.valid_from) then (extract(epoch from c.valid_from) * 1000000)::bigint end,
      'until', case when isfinite(c.valid_until) then (extract(epoch from c.valid_until) * 1000000)::bigint end
    ) order by c.consent_id, c.provision), '[]'::json)
    from consent_rule c where c.patient_id = r.patient_id)
)) as evidence`;

/** What the column says. @throws Error when it is not there or is no such object: then nothing can be decided. */
export function seenOf(row: RowWithEvidence): Seen {
  const evidence = (typeof row.evidence === 'string' ? JSON.parse(row.evidence) : row.evidence) as
    | Partial<Seen>
    | null
    | undefined;
  const { now, registered, consents } = evidence ?? {};
  if (typeof now !== 'number' || !Array.isArray(consents) || (registered !== null && typeof registered !== 'boolean'))
    throw new Error('a row without its evidence');
  if (!Array.isArray(row.modality) || !Array.isArray(row.body_site) || !Array.isArray(row.parties) || !Array.isArray(row.labels))
    throw new Error('a row without its extracts');
  return { row, now, registered, consents: consents as ConsentRule[] };
}
