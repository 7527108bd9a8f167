import { createHash } from 'node:crypto';
import { type AffiliationKind, systems } from '../../../fhir-profiles/codes.js';
import { canonical } from '../../store/canonical-json.js';
import type { Queryable } from '../../store/database.js';
import { dateRange } from '../../store/fhir-date.js';
import { type Concept, codeIn, idOf } from '../../store/fhir-elements.js';
import type { FhirResource } from '../../store/search-keys.js';
import { sql } from '../../store/sql.js';
import { refused } from '../write-rules.js';
import { type Limits, limitsOf } from './sharing-scope.js';

/** What the parties of an affiliation agree on: everything that decides who may see what, and nothing else. */
export interface AgreementTerms {
  agreement: string;
  kind: AffiliationKind;
  /** The custodian, or the consortium. */
  organization: string;
  /** The recipient, or the member. */
  participant: string;
  /** Half-open, instants; null: open. */
  from: string | null;
  until: string | null;
  scope: Limits;
  /** What the consortium's charter covers: a member shares under it, so it signs it too. */
  charter?: Limits;
}

/** SHA-256, hexadecimal, of the terms as canonical JSON (RFC 8785): what a signature is about. */
export const digestOf = (terms: AgreementTerms): string => createHash('sha256').update(canonical(terms)).digest('hex');

/** Whose signatures put it in force: both sides of an agreement; the member, whose records a membership opens. */
export const signatoriesOf = ({ kind, organization, participant }: AgreementTerms): string[] =>
  kind === 'sharing-agreement' ? [organization, participant] : [participant];

/**
 * The terms of an OrganizationAffiliation. The period is FHIR's: its end includes the day, month or year that it names.
 * @param utcOffset of dates without one.
 * @throws Refusal 422 for another kind, organizations that can't have one, and limits or a period that can't be read: they would limit nothing.
 */
export async function termsOf(
  tx: Queryable,
  affiliation: FhirResource & { id: string },
  utcOffset: string,
): Promise<AgreementTerms> {
  const { kind, organization, participant } = await partiesOf(tx, affiliation);
  const { from, until } = validityOf(affiliation, utcOffset);
  const terms: AgreementTerms = {
    agreement: affiliation.id,
    kind,
    organization,
    participant,
    from,
    until,
    scope: limitsOf(affiliation),
  };
  if (kind === 'sharing-agreement') return terms;
  if (terms.scope.bySeries || terms.scope.scoreOnly)
    throw refused('A membership shares whole studies, to be seen.', 'OrganizationAffiliation.extension');
  return { ...terms, charter: await charterOf(tx, organization) };
}

const KINDS_OF_PARTIES: Readonly<Record<AffiliationKind, { organization: string; participant: string }>> = {
  'consortium-membership': { organization: 'consortium', participant: 'hospital' },
  'sharing-agreement': { organization: 'hospital', participant: 'hospital' },
};

async function partiesOf(
  tx: Queryable,
  affiliation: FhirResource,
): Promise<Pick<AgreementTerms, 'kind' | 'organization' | 'participant'>> {
  const codes = ((affiliation.code ?? []) as Concept[]).map((c) => codeIn(c, systems.affiliationKind));
  const kind = (Object.keys(KINDS_OF_PARTIES) as AffiliationKind[]).find((k) => codes.find(Boolean) === k);
  if (!kind)
    throw refused(
      'The kind of an affiliation is a sharing agreement or a consortium membership.',
      'OrganizationAffiliation.code',
    );
  const expected = KINDS_OF_PARTIES[kind];
  const organization = idOf(affiliation.organization, 'Organization') ?? '';
  const participant = idOf(affiliation.participatingOrganization, 'Organization') ?? '';
  const rows = await tx.query<{ id: string; kind: string }>(
    sql`select id, kind from organization where id = any(${[organization, participant]}::text[])`,
  );
  const isOf = (id: string, wanted: string): boolean => rows.some((row) => row.id === id && row.kind === wanted);
  if (!isOf(organization, expected.organization))
    throw refused(`A ${expected.organization} is expected.`, 'OrganizationAffiliation.organization');
  if (!isOf(participant, expected.participant) || participant === organization)
    throw refused(`Another ${expected.participant} is expected.`, 'OrganizationAffiliation.participatingOrganization');
  return { kind, organization, participant };
}

function validityOf({ period }: FhirResource, utcOffset: string): Pick<AgreementTerms, 'from' | 'until'> {
  const range = period ? dateRange(period, utcOffset) : undefined;
  const isLost = (period?.start && !range?.from) || (period?.end && !range?.until);
  const isBackwards = range?.from && range.until && range.until <= range.from;
  if (isLost || isBackwards) throw refused('The period can’t be read.', 'OrganizationAffiliation.period');
  return { from: range?.from?.toISOString() ?? null, until: range?.until?.toISOString() ?? null };
}

async function charterOf(tx: Queryable, consortium: string): Promise<Limits> {
  const [charter] = await tx.query<Limits & Record<string, unknown>>(sql`
    select modality, body_site as "bodySite", purpose, not_older_than_days as "notOlderThanDays"
    from consortium_charter where consortium_id = ${consortium}`);
  if (!charter) throw refused('A consortium is expected.', 'OrganizationAffiliation.organization');
  return charter;
}
