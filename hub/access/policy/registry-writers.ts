import { extensions, systems } from '../../../fhir-profiles/codes.js';
import type { Queryable } from '../../store/database.js';
import { dateRange } from '../../store/fhir-date.js';
import { type Concept, codeIn, idOf } from '../../store/fhir-elements.js';
import { createResources, type ResourceRow, toResource, updateResource } from '../../store/resources.js';
import type { FhirResource } from '../../store/search-keys.js';
import { sql } from '../../store/sql.js';
import type { ResourceWriter } from '../write-request.js';
import { refused } from '../write-rules.js';

type Effect = (tx: Queryable, resource: FhirResource & { id: string }) => Promise<void>;

/** A writer of registry entries that keeps the policy's fact table in step with them. */
function registryWriter(effect: Effect): ResourceWriter {
  const applied = async (tx: Queryable, rows: readonly ResourceRow[]): Promise<void> => {
    for (const row of rows) await effect(tx, toResource(row));
  };
  return {
    create: async (tx, requests) => {
      const rows = await createResources(
        tx,
        requests.map((r) => ({ resource: r.resource, custodianId: '' })),
      );
      await applied(tx, rows);
      return rows;
    },
    update: async (tx, { resource, current }) => {
      const row = await updateResource(tx, { resource: { ...resource, id: current.id }, custodianId: '' }, current.version);
      await applied(tx, [row]);
      return row;
    },
  };
}

/** Organization: its kind by type, the system of its patient numbers, and its charter (of a consortium; a scope that is absent limits nothing). */
export const organizationWriter = registryWriter(async (tx, organization) => {
  const kind = kindOf(organization);
  const assigner = extensionOf(organization, extensions.patientAssigner)?.valueUri;
  await tx.query(sql`
    insert into organization (id, kind, name, assigner_system, active)
    values (${organization.id}, ${kind}, ${organization.name ?? organization.id}, ${assigner ?? null}, ${organization.active !== false})
    on conflict (id) do update set kind = excluded.kind, name = excluded.name, assigner_system = excluded.assigner_system, active = excluded.active`);
  await tx.query(sql`delete from consortium_charter where consortium_id = ${organization.id}`);
  const scope = scopeOf(organization, 'Organization') ?? UNLIMITED;
  if (kind === 'consortium') {
    await tx.query(sql`
      insert into consortium_charter (consortium_id, modality, body_site, purpose, not_older_than_days)
      values (${organization.id}, ${scope.modality}, ${scope.bodySite}, ${scope.purpose}, ${scope.notOlderThanDays})`);
  }
});

/**
 * OrganizationAffiliation: a membership of a consortium, or a sharing agreement from a custodian to a recipient. The period is FHIR's: its end
 * includes the day, month or year that it names.
 * @param utcOffset of dates without one.
 */
export const affiliationWriter = (utcOffset: string): ResourceWriter =>
  registryWriter(async (tx, affiliation) => {
    await tx.query(sql`delete from consortium_member where affiliation_id = ${affiliation.id}`);
    await tx.query(sql`delete from sharing_agreement where id = ${affiliation.id}`);
    const kind = ((affiliation.code ?? []) as Concept[]).map((c) => codeIn(c, systems.affiliationKind)).find(Boolean);
    const { organization, participant } = await partiesOf(tx, affiliation, kind);
    const { from, until } = validityOf(affiliation, utcOffset);
    const scope = scopeOf(affiliation, 'OrganizationAffiliation') ?? UNLIMITED;
    const limits = sql`${scope.modality}, ${scope.bodySite}, ${scope.purpose}, ${scope.notOlderThanDays}`;
    if (affiliation.active === false) return;
    if (kind === 'consortium-membership') {
      await tx.query(sql`
        insert into consortium_member (affiliation_id, consortium_id, organization_id, modality, body_site, purpose, not_older_than_days, valid_from, valid_until)
        values (${affiliation.id}, ${organization}, ${participant}, ${limits}, ${from}, ${until})`);
    } else {
      await tx.query(sql`
        insert into sharing_agreement (id, custodian_id, recipient_id, modality, body_site, purpose, not_older_than_days, valid_from, valid_until)
        values (${affiliation.id}, ${organization}, ${participant}, ${limits}, ${from}, ${until})`);
    }
  });

const KINDS_OF_PARTIES: Readonly<Record<string, { organization: string; participant: string }>> = {
  'consortium-membership': { organization: 'consortium', participant: 'hospital' },
  'sharing-agreement': { organization: 'hospital', participant: 'hospital' },
};

/** @throws Refusal 422 for an affiliation of another kind, or between organizations that can't have one. */
async function partiesOf(
  tx: Queryable,
  affiliation: FhirResource,
  kind: string | undefined,
): Promise<{ organization: string; participant: string }> {
  const expected = KINDS_OF_PARTIES[kind ?? ''];
  if (!expected)
    throw refused(
      'The kind of an affiliation is a sharing agreement or a consortium membership.',
      'OrganizationAffiliation.code',
    );
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
  return { organization, participant };
}

/** @throws Refusal 422 for a period that can't be read or ends before it begins: it would otherwise limit nothing. */
function validityOf({ period }: FhirResource, utcOffset: string): { from: Date | string; until: Date | string } {
  const range = period ? dateRange(period, utcOffset) : undefined;
  const isLost = (period?.start && !range?.from) || (period?.end && !range?.until);
  const isBackwards = range?.from && range.until && range.until <= range.from;
  if (isLost || isBackwards) throw refused('The period can’t be read.', 'OrganizationAffiliation.period');
  return { from: range?.from ?? '-infinity', until: range?.until ?? 'infinity' };
}

interface Extension {
  url: string;
  valueUri?: string;
  valueCoding?: { code?: string };
  valueDuration?: { value?: number; code?: string };
  extension?: Extension[];
}

const extensionOf = (resource: FhirResource, url: string): Extension | undefined =>
  ((resource.extension ?? []) as Extension[]).find((e) => e.url === url);

/** Kinds of organization that the policy tells apart, by Organization.type. */
function kindOf(organization: FhirResource): 'commission' | 'consortium' | 'hospital' | 'other' {
  const codes = ((organization.type ?? []) as Concept[]).map((c) => codeIn(c, systems.organizationKind));
  return (['commission', 'consortium', 'hospital'] as const).find((kind) => codes.includes(kind)) ?? 'other';
}

/** UCUM: a year is 365.25 days, a month a twelfth of it. */
const DAYS: Readonly<Record<string, number>> = { d: 1, mo: 365.25 / 12, a: 365.25 };
const LONGEST_DAYS = 73_050;

interface Limits {
  modality: string[] | null;
  bodySite: string[] | null;
  purpose: string[] | null;
  notOlderThanDays: number | null;
}

const UNLIMITED: Limits = { modality: null, bodySite: null, purpose: null, notOlderThanDays: null };

/** The limits of a sharing scope; undefined when there is none. @throws Refusal 422 for a limit that can't be read: it would otherwise limit nothing. */
function scopeOf(resource: FhirResource, type: string): Limits | undefined {
  const scope = extensionOf(resource, extensions.sharingScope);
  if (!scope) return undefined;
  const limits = scope.extension ?? [];
  const unknown = limits.find((limit) => !['modality', 'bodySite', 'purpose', 'notOlderThan'].includes(limit.url));
  if (unknown) throw refused(`The limit '${unknown.url}' is not known.`, `${type}.extension`);
  const codes = (url: string): string[] | null => {
    const values = limits.filter((limit) => limit.url === url).map((limit) => limit.valueCoding?.code ?? '');
    if (values.includes('')) throw refused(`The limit '${url}' needs a code.`, `${type}.extension`);
    return values.length === 0 ? null : values;
  };
  const age = limits.find((limit) => limit.url === 'notOlderThan');
  return {
    modality: codes('modality'),
    bodySite: codes('bodySite'),
    purpose: codes('purpose'),
    notOlderThanDays: age ? daysOf(age, type) : null,
  };
}

function daysOf({ valueDuration: age }: Extension, type: string): number {
  const days = Math.floor((age?.value ?? Number.NaN) * (DAYS[age?.code ?? ''] ?? Number.NaN));
  if (!(days >= 0 && days <= LONGEST_DAYS))
    throw refused('The age is a number of d, mo or a (UCUM), at most 200 years.', `${type}.extension`);
  return days;
}
