import type { Audit, AuditEntry } from '../../audit/vocabulary.js';
import { conflict, forbidden, notFound } from '../../outcomes.js';
import type { Queryable } from '../../store/database.js';
import { databaseNow } from '../../store/now.js';
import { columns, newId, type ResourceRow, toResource } from '../../store/resources.js';
import { sql } from '../../store/sql.js';
import type { Caller, RequestContext } from '../caller.js';
import type { Evidence } from '../decision.js';
import { agentOf } from '../write-request.js';
import { putInForce } from './agreement-facts.sql.js';
import { type AgreementTerms, digestOf, signatoriesOf, termsOf } from './agreement-terms.js';

export interface AgreementDeps {
  /** Offset of dates without one. */
  utcOffset: string;
  audit: Pick<Audit, 'append'>;
}

/** Who acts, and from where. */
export interface By {
  caller: Caller;
  context: RequestContext;
}

export interface AgreementSignature {
  id: string;
  organization_id: string;
  signer: string;
  account: string;
  signer_name: string;
  digest: string;
  signed_at: Date;
  /** Compact JWS of the hub over the terms, the person, the organization and the time. */
  jws: string;
  ended_at: Date | null;
  ended_because: 'terms-changed' | 'withdrawn' | null;
}

/** An agreement or membership with all that was ever signed of it, oldest first. */
export interface AgreementState {
  row: ResourceRow;
  terms: AgreementTerms;
  digest: string;
  inForce: boolean;
  signatures: AgreementSignature[];
}

/** What a signature says, before it is signed by the hub's key. */
export interface Signing {
  id: string;
  signedAt: Date;
  organization: string;
  version: number;
  terms: AgreementTerms;
  digest: string;
}

/** After a change of the affiliation: signatures of other terms are void, and what is signed as it stands is in force. */
export async function settleAgreement(deps: AgreementDeps, tx: Queryable, row: ResourceRow, by: By): Promise<void> {
  const affiliation = toResource(row);
  const terms = await termsOf(tx, affiliation, deps.utcOffset);
  const voided = await tx.query<{ organization_id: string }>(sql`
    update agreement_signature set ended_at = now(), ended_because = 'terms-changed', ended_by = ${by.caller.id}
    where agreement_id = ${row.id} and ended_at is null and digest <> ${digestOf(terms)} returning organization_id`);
  await putInForce(tx, terms, affiliation.active !== false);
  if (voided.length > 0) await deps.audit.append(tx, entriesOf(by, terms, 'agreement-void', 'terms-changed'));
}

/** The memberships of a consortium whose charter may have changed. */
export async function settleMemberships(deps: AgreementDeps, tx: Queryable, consortium: string, by: By): Promise<void> {
  const rows = await tx.query<ResourceRow & Record<string, unknown>>(sql`
    select ${columns} from resource r
    where r.type = 'OrganizationAffiliation' and not r.deleted and ${consortium} = any(r.parties) order by r.id for update`);
  for (const row of rows) await settleAgreement(deps, tx, row, by);
}

/** @throws Refusal 404 where there is none. @param lock signatures and changes of one agreement follow each other. */
export async function readAgreement(tx: Queryable, id: string, utcOffset: string, lock = false): Promise<AgreementState> {
  const [row] = await tx.query<ResourceRow & Record<string, unknown>>(sql`
    select ${columns} from resource r where r.type = 'OrganizationAffiliation' and r.id = ${id} and not r.deleted ${lock ? sql`for update` : sql``}`);
  if (!row) throw notFound();
  const terms = await termsOf(tx, toResource(row), utcOffset);
  const signatures = await tx.query<AgreementSignature & Record<string, unknown>>(sql`
    select id, organization_id, signer, account, signer_name, digest, signed_at, jws, ended_at, ended_because
    from agreement_signature where agreement_id = ${id} order by signed_at, id`);
  const [held] = await tx.query<{ held: boolean }>(sql`
    select exists (select from sharing_agreement where id = ${id} and valid_from <= now() and now() < valid_until)
      or exists (select from consortium_member where affiliation_id = ${id} and valid_from <= now() and now() < valid_until) as held`);
  return { row, terms, digest: digestOf(terms), inForce: held?.held === true, signatures };
}

/**
 * Signs the terms for the caller's organization; it takes effect when all who have to have signed. Whether the caller may sign at all is
 * decided before. To sign again what is signed changes nothing.
 * @param digest of the terms that the person has read.
 * @throws Refusal 403 for who is no signatory, 409 for other terms than the current ones, an agreement that is closed, a suspended party, and a
 * person who has signed for the other side.
 */
export async function signAgreement(
  deps: AgreementDeps & { seal: (by: Caller, signing: Signing) => Promise<string> },
  tx: Queryable,
  { id, digest }: { id: string; digest: string },
  by: By,
): Promise<void> {
  const { row, terms, digest: current, signatures } = await readAgreement(tx, id, deps.utcOffset, true);
  const organization = by.caller.organizationId;
  if (!signatoriesOf(terms).includes(organization)) throw forbidden('Your organization does not sign this.');
  if (toResource(row).active === false) throw conflict('It is closed.', 'OrganizationAffiliation.active');
  if (digest !== current) throw conflict('The terms are not those any more: read them again.', 'digest');
  await assertActive(tx, terms);
  const open = signatures.filter((s) => s.ended_at === null);
  if (open.some((s) => s.organization_id === organization)) return;
  const account = by.caller.accountId ?? by.caller.id;
  // one person may have two accounts, each at one side
  if (open.some((s) => s.account === account || s.signer === by.caller.id))
    throw conflict('You have signed for the other side.', 'signature');
  const signing: Signing = { id: newId(), signedAt: await databaseNow(tx), organization, version: row.version, terms, digest };
  await tx.query(sql`
    insert into agreement_signature (id, agreement_id, organization_id, signer, account, signer_name, digest, signed_at, jws)
    values (${signing.id}, ${id}, ${organization}, ${by.caller.id}, ${account}, ${by.caller.name}, ${digest}, ${signing.signedAt}, ${await deps.seal(by.caller, signing)})`);
  await putInForce(tx, terms, true);
  await deps.audit.append(tx, entriesOf(by, terms, 'agreement-sign', digest));
}

/**
 * Either side takes its signature back, and with it all of them: the agreement ends at once, and begins again only when everybody signs anew.
 * @throws Refusal 403 for who is no signatory, 409 where nothing is signed.
 */
export async function withdrawAgreement(deps: AgreementDeps, tx: Queryable, id: string, by: By): Promise<void> {
  const { row, terms } = await readAgreement(tx, id, deps.utcOffset, true);
  if (!signatoriesOf(terms).includes(by.caller.organizationId)) throw forbidden('Your organization does not sign this.');
  const ended = await tx.query(sql`
    update agreement_signature set ended_at = now(), ended_because = 'withdrawn', ended_by = ${by.caller.id}
    where agreement_id = ${id} and ended_at is null returning 1`);
  if (ended.length === 0) throw conflict('Nobody has signed it.', 'signature');
  await putInForce(tx, terms, toResource(row).active !== false);
  await deps.audit.append(tx, entriesOf(by, terms, 'agreement-withdraw', digestOf(terms)));
}

/** The open signatures that put the agreements or the custodian's membership in force which a decision rests on. */
export async function signaturesBehind(
  tx: Queryable,
  evidence: readonly Evidence[],
  custodianId: string,
): Promise<(Pick<AgreementSignature, 'organization_id' | 'signer' | 'signed_at'> & { agreement_id: string })[]> {
  const idsOf = (kind: string): string[] => evidence.filter((e) => e.kind === kind).map((e) => e.id);
  const [agreements, consortia] = [idsOf('agreement'), idsOf('consortium')];
  if (agreements.length + consortia.length === 0) return [];
  return tx.query(sql`
    select s.agreement_id, s.organization_id, s.signer, s.signed_at from agreement_signature s
    where s.ended_at is null and (s.agreement_id = any(${agreements}::text[]) or s.agreement_id in (
      select m.affiliation_id from consortium_member m where m.consortium_id = any(${consortia}::text[]) and m.organization_id = ${custodianId}))
    order by s.agreement_id, s.signed_at limit 20`);
}

async function assertActive(tx: Queryable, { organization, participant }: AgreementTerms): Promise<void> {
  const active = await tx.query(
    sql`select from organization where id = any(${[organization, participant]}::text[]) and active for share`,
  );
  if (active.length < 2) throw conflict('A party is suspended.', 'organization');
}

/** One entry for each party: each sees in its own audit what became of its agreement. */
function entriesOf(by: By, terms: AgreementTerms, subtype: string, detail: string): AuditEntry[] {
  return [terms.organization, terms.participant].map((custodianId) => ({
    ...agentOf(by.caller, by.context),
    type: 'policy',
    subtype,
    action: 'U',
    outcome: 0,
    custodianId,
    entity: [`OrganizationAffiliation/${terms.agreement}`],
    detail,
  }));
}
