import type { RowWithEvidence } from '../decision.js';
import { raw, type Sql, sql } from '../../store/sql.js';
import { referredSql } from './consent-terms.js';
import type { ConsentRule, Seen } from './terms.js';

/** Microseconds since 1970; null for an open bound. */
const micros = (column: string): Sql =>
  raw(`case when isfinite(${column}) then (extract(epoch from ${column}) * 1000000)::bigint end`);

/** The column `evidence` for alias `r`: the instant of the snapshot, the registration of the patient with the organization, and what consents are compared with. */
export const rowEvidence = (organizationId: string): Sql => sql`(json_build_object(
  'now', (extract(epoch from now()) * 1000000)::bigint,
  'registered', (select g.own from patient_registration g where g.organization_id = ${organizationId} and g.patient_id = r.patient_id),
  'refers', r.refers, 'authors', r.authors, 'dateUntil', ${micros('r.date_until')},
  'consents', (
    select coalesce(json_agg(json_build_object(
      'id', c.consent_id, 'version', c.consent_version, 'provision', c.provision, 'decision', c.decision, 'place', c.place, 'last', c.last,
      'btg', c.btg, 'lifts', c.lifts, 'policy', c.policy, 'actor', c.actor, 'holder', c.holder, 'purpose', c.purpose, 'class', c.class, 'level', c.level,
      'sensitivity', c.sensitivity, 'data', c.data, 'data_refers', c.data_refers, 'author', c.author, 'referred', ${referredSql(raw('c.data_referred'))},
      'from', ${micros('c.valid_from')}, 'until', ${micros('c.valid_until')},
      'data_from', ${micros('c.data_from')}, 'data_until', ${micros('c.data_until')}
    ) order by c.consent_id, c.place), '[]'::json)
    from consent_rule c where c.patient_id = r.patient_id)
)) as evidence`;

/** What the column says. @throws Error when it is not there or is no such object: then nothing can be decided. */
export function seenOf(row: RowWithEvidence): Seen {
  const evidence = (typeof row.evidence === 'string' ? JSON.parse(row.evidence) : row.evidence) as
    | Partial<Seen>
    | null
    | undefined;
  const { now, registered, consents, refers, authors, dateUntil = null } = evidence ?? {};
  if (
    typeof now !== 'number' ||
    !Array.isArray(consents) ||
    !Array.isArray(refers) ||
    !Array.isArray(authors) ||
    (registered !== null && typeof registered !== 'boolean')
  )
    throw new Error('a row without its evidence');
  if (!Array.isArray(row.modality) || !Array.isArray(row.body_site) || !Array.isArray(row.parties) || !Array.isArray(row.labels))
    throw new Error('a row without its extracts');
  return { row, now, registered, consents: consents as ConsentRule[], refers, authors, dateUntil };
}
