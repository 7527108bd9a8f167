import type { Queryable } from '../../store/database.js';
import { type Sql, sql } from '../../store/sql.js';
import { type AgreementTerms, digestOf } from './agreement-terms.js';
import type { Limits } from './sharing-scope.js';

/**
 * Brings the fact tables in step with the terms and with who has signed them: a membership is in force by the member's signature, an agreement
 * by those of both sides, made by two people. @param isActive false: whatever was signed, nothing is in force.
 */
export async function putInForce(tx: Queryable, terms: AgreementTerms, isActive: boolean): Promise<void> {
  const { agreement, kind, organization, participant, from, until, scope } = terms;
  await tx.query(sql`delete from consortium_member where affiliation_id = ${agreement}`);
  await tx.query(sql`delete from sharing_agreement where id = ${agreement}`);
  if (!isActive) return;
  const facts = sql`${agreement}, ${organization}, ${participant}, ${limits(scope)}, ${from ?? '-infinity'}::timestamptz, ${until ?? 'infinity'}::timestamptz`;
  const digest = digestOf(terms);
  await tx.query(
    kind === 'consortium-membership'
      ? sql`
        insert into consortium_member (affiliation_id, consortium_id, organization_id, modality, body_site, purpose, not_older_than_days, valid_from, valid_until)
        select ${facts} where exists (select from agreement_signature m where ${openSignature('m', agreement, participant, digest)})`
      : sql`
        insert into sharing_agreement (id, custodian_id, recipient_id, modality, body_site, purpose, not_older_than_days, valid_from, valid_until, by_series, score_only)
        select ${facts}, ${scope.bySeries === true}, ${scope.scoreOnly === true} where exists (
          select from agreement_signature c, agreement_signature r
          where ${openSignature('c', agreement, organization, digest)} and ${openSignature('r', agreement, participant, digest)}
            and c.account <> r.account and c.signer <> r.signer)`,
  );
}

const limits = ({ modality, bodySite, purpose, notOlderThanDays }: Limits): Sql =>
  sql`${modality}::text[], ${bodySite}::text[], ${purpose}::text[], ${notOlderThanDays}::integer`;

function openSignature(alias: 'c' | 'm' | 'r', agreement: string, organization: string, digest: string): Sql {
  const s = { c: sql`c`, m: sql`m`, r: sql`r` }[alias];
  return sql`${s}.agreement_id = ${agreement} and ${s}.organization_id = ${organization} and ${s}.digest = ${digest} and ${s}.ended_at is null`;
}
