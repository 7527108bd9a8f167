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
      const rows = await createResources(tx, requests.map((r) => ({ resource: r.resource, custodianId: '' })));
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

/** Organization: its kind by type, the system of its patient numbers, and its charter (of a consortium). */
export const organizationWriter = registryWriter(async (tx, organization) => {
  const kind = kindOf(organization);
  const assigner = valueOf(organization, extensions.patientAssigner)?.valueUri;
  await tx.query(sql`
    insert into organization (id, kind, name, assigner_system, active)
    values (${organization.id}, ${kind}, ${organization.name ?? organization.id}, ${assigner ?? null}, ${organization.active !== false})
    on conflict (id) do update set kind = excluded.kind, name = excluded.name, assigner_system = excluded.assigner_system, active = excluded.active`);
  await tx.query(sql`delete from consortium_charter where consortium_id = ${organization.id}`);
  const scope = scopeOf(organization, 'Organization');
  if (kind === 'consortium' && scope) {
    await tx.query(sql`
      insert into consortium_charter (consortium_id, modality, body_site, purpose, not_older_than_days)
      values (${organization.id}, ${scope.modality}, ${scope.bodySite}, ${scope.purpose}, ${scope.notOlderThanDays})`);
  }
});

/** OrganizationAffiliation: a membership of a consortium, or a sharing agreement from a custodian to a recipient. */
export const affiliationWriter = registryWriter(async (tx, affiliation) => {
  await tx.query(sql`delete from consortium_member where affiliation_id = ${affiliation.id}`);
  await tx.query(sql`delete from sharing_agreement where id = ${affiliation.id}`);
  if (affiliation.active === false) return;
  const organization = idOf(affiliation.organization, 'Organization') ?? '';
  const participant = idOf(affiliation.participatingOrganization, 'Organization') ?? '';
  const kind = ((affiliation.code ?? []) as Concept[]).map((c) => codeIn(c, systems.affiliationKind)).find(Boolean);
  const range = affiliation.period ? dateRange(affiliation.period, '+08:00') : undefined;
  if (affiliation.period && !range) throw refused('The period can’t be read.', 'OrganizationAffiliation.period');
  const validity = { from: range?.from ?? '-infinity', until: range?.until ?? 'infinity' };
  const scope = scopeOf(affiliation, 'OrganizationAffiliation');
  const limits = sql`${scope?.modality ?? null}, ${scope?.bodySite ?? null}, ${scope?.purpose ?? null}, ${scope?.notOlderThanDays ?? null}`;
  if (kind === 'consortium-membership') {
    await tx.query(sql`
      insert into consortium_member (affiliation_id, consortium_id, organization_id, modality, body_site, purpose, not_older_than_days, valid_from, valid_until)
      values (${affiliation.id}, ${organization}, ${participant}, ${limits}, ${validity.from}, ${validity.until})`);
  } else if (kind === 'sharing-agreement') {
    if (organization === participant) throw refused('An agreement is between two organizations.', 'OrganizationAffiliation.participatingOrganization');
    await tx.query(sql`
      insert into sharing_agreement (id, custodian_id, recipient_id, modality, body_site, purpose, not_older_than_days, valid_from, valid_until)
      values (${affiliation.id}, ${organization}, ${participant}, ${limits}, ${validity.from}, ${validity.until})`);
  }
});

interface Extension {
  url: string;
  valueUri?: string;
  valueCoding?: { code?: string };
  valueDuration?: { value?: number; code?: string };
  extension?: Extension[];
}

const valueOf = (resource: FhirResource, url: string): Extension | undefined => ((resource.extension ?? []) as Extension[]).find((e) => e.url === url);

/** Kinds of organization that the policy tells apart, by Organization.type. */
function kindOf(organization: FhirResource): 'commission' | 'consortium' | 'hospital' | 'other' {
  const codes = ((organization.type ?? []) as Concept[]).map((c) => codeIn(c, systems.organizationKind));
  return (['commission', 'consortium', 'hospital'] as const).find((kind) => codes.includes(kind)) ?? 'other';
}

const DAYS: Readonly<Record<string, number>> = { d: 1, wk: 7, mo: 30, a: 365 };

/** The limits of a sharing scope; undefined when there is none. A limit that can't be read is refused: it would otherwise limit nothing. */
function scopeOf(resource: FhirResource, type: string): { modality: string[] | null; bodySite: string[] | null; purpose: string[] | null; notOlderThanDays: number | null } | undefined {
  const scope = valueOf(resource, extensions.sharingScope);
  if (!scope) return undefined;
  const limits = scope.extension ?? [];
  const codes = (url: string): string[] | null => {
    const of = limits.filter((l) => l.url === url);
    return of.length === 0 ? null : of.map((l) => l.valueCoding?.code ?? '');
  };
  const unknown = limits.find((l) => !['modality', 'bodySite', 'purpose', 'notOlderThan'].includes(l.url));
  if (unknown) throw refused(`The limit '${unknown.url}' is not known.`, `${type}.extension`);
  const age = limits.find((l) => l.url === 'notOlderThan')?.valueDuration;
  const unit = age ? DAYS[age.code ?? ''] : undefined;
  if (age && (unit === undefined || typeof age.value !== 'number')) throw refused('The age is a number of d, wk, mo or a.', `${type}.extension`);
  return {
    modality: codes('modality'),
    bodySite: codes('bodySite'),
    purpose: codes('purpose'),
    notOlderThanDays: age && unit ? Math.floor((age.value ?? 0) * unit) : null,
  };
}
