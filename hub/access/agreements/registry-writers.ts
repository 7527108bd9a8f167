import { extensions, systems } from '../../../fhir-profiles/codes.js';
import type { Queryable } from '../../store/database.js';
import { type Concept, codeIn } from '../../store/fhir-elements.js';
import { createResources, type ResourceRow, toResource, updateResource } from '../../store/resources.js';
import type { FhirResource } from '../../store/search-keys.js';
import { sql } from '../../store/sql.js';
import type { ResourceWriter, WriteRequest } from '../write-request.js';
import { refused } from '../write-rules.js';
import { type AgreementDeps, settleAgreement, settleMemberships } from './agreements.js';
import { extensionOf, limitsOf } from './sharing-scope.js';

type Effect = (tx: Queryable, row: ResourceRow, by: WriteRequest) => Promise<void>;

/** A writer of registry entries that keeps the policy's fact table in step with them. */
function registryWriter(effect: Effect): ResourceWriter {
  return {
    create: async (tx, requests) => {
      const rows = await createResources(
        tx,
        requests.map((r) => ({ resource: r.resource, custodianId: '' })),
      );
      for (const [i, row] of rows.entries()) await effect(tx, row, requests[i]!);
      return rows;
    },
    update: async (tx, request) => {
      const { resource, current } = request;
      const row = await updateResource(tx, { resource: { ...resource, id: current.id }, custodianId: '' }, current.version);
      await effect(tx, row, request);
      return row;
    },
  };
}

/**
 * Organization: its kind by type, the system of its patient numbers, and its charter (of a consortium; a scope that is absent limits nothing).
 * The members have signed the charter: with another one their signatures are void.
 */
export const organizationWriter = (deps: AgreementDeps): ResourceWriter =>
  registryWriter(async (tx, row, by) => {
    const organization = toResource(row);
    const kind = kindOf(organization);
    const assigner = extensionOf(organization, extensions.patientAssigner)?.valueUri;
    await tx.query(sql`
      insert into organization (id, kind, name, assigner_system, active)
      values (${organization.id}, ${kind}, ${organization.name ?? organization.id}, ${assigner ?? null}, ${organization.active !== false})
      on conflict (id) do update set kind = excluded.kind, name = excluded.name, assigner_system = excluded.assigner_system, active = excluded.active`);
    await tx.query(sql`delete from consortium_charter where consortium_id = ${organization.id}`);
    const scope = limitsOf(organization);
    if (scope.bySeries || scope.scoreOnly) throw refused('A charter shares whole studies, to be seen.', 'Organization.extension');
    if (kind !== 'consortium') return;
    await tx.query(sql`
      insert into consortium_charter (consortium_id, modality, body_site, purpose, not_older_than_days)
      values (${organization.id}, ${scope.modality}, ${scope.bodySite}, ${scope.purpose}, ${scope.notOlderThanDays})`);
    if (row.version > 1) await settleMemberships(deps, tx, organization.id, by);
  });

/** OrganizationAffiliation: a membership of a consortium, or a sharing agreement from a custodian to a recipient. It is a draft until it is signed. */
export const affiliationWriter = (deps: AgreementDeps): ResourceWriter =>
  registryWriter((tx, row, by) => settleAgreement(deps, tx, row, by));

/** Kinds of organization that the policy tells apart, by Organization.type. */
function kindOf(organization: FhirResource): 'commission' | 'consortium' | 'hospital' | 'other' {
  const codes = ((organization.type ?? []) as Concept[]).map((c) => codeIn(c, systems.organizationKind));
  return (['commission', 'consortium', 'hospital'] as const).find((kind) => codes.includes(kind)) ?? 'other';
}
