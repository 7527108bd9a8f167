import { isDeepStrictEqual } from 'node:util';
import type { Queryable } from '../store/database.js';
import { createResources, findResource, lastStanding, type ResourceRow, toResource, updateResource } from '../store/resources.js';
import type { FhirResource } from '../store/search-keys.js';
import { sql } from '../store/sql.js';
import { scopeBesideOwnDocuments } from './own-documents.js';
import { isAccessionNumber, renderStudy } from './render-study.js';
import { linkAwaiting } from './statements/awaited-studies.js';
import { addInstances, addSeries, type Claim, endpointIds, ofStudy, studyRows } from './study-rows.sql.js';
import type { InstanceFacts, StudyFacts } from './study-facts.js';

/** A study after it was rendered anew; `changed` is false when that made no difference. */
export interface StoredStudy {
  row: ResourceRow;
  created: boolean;
  changed: boolean;
}

/**
 * Renders a claimed study from its rows and stores the resource when it differs from what stands. The claim must be locked.
 * @param baseOf the elements that the rows don't give, from the version before; by default that version's own.
 */
export async function storeStudy(
  tx: Queryable,
  custodianId: string,
  claim: Claim,
  baseOf: (before: FhirResource) => FhirResource = (before) => before,
): Promise<StoredStudy> {
  const current = await findResource(tx, 'ImagingStudy', claim.study_id);
  const standing = current?.deleted ? await lastStanding(tx, 'ImagingStudy', claim.study_id) : current;
  const before = standing ? toResource(standing) : undefined;
  const { series, instances } = await studyRows(tx, custodianId, claim.study_instance_uid);
  const endpoints = await endpointsOf(tx, custodianId);
  // A study that comes back is the same resource; of its images nothing is what it was.
  const base = current?.deleted ? withoutImages : baseOf;
  const resource = renderStudy(base({ resourceType: 'ImagingStudy', ...before }), {
    custodianId,
    claim,
    series,
    instances,
    endpoints,
  });
  if (!current) {
    const [row] = await createResources(tx, [{ resource, custodianId }]);
    if (!row) throw new Error('a study was not stored');
    await linkAwaiting(tx, row);
    return { row, created: true, changed: true };
  }
  if (current.deleted)
    await tx.query(sql`
    update study_claim set removed = null where custodian_id = ${custodianId} and study_instance_uid = ${claim.study_instance_uid}`);
  else if (isDeepStrictEqual(plain(resource), plain(before))) return { row: current, created: false, changed: false };
  const scope = await scopeBesideOwnDocuments(tx, resource, instances);
  const row = await updateResource(tx, { resource, custodianId, scope }, current.version);
  if (claim.accession_number !== accessionOf(before)) await linkAwaiting(tx, row);
  return { row, created: false, changed: true };
}

/** What is left of a study when all that images say of it is taken away: what a hospital's system pushed. */
export function withoutImages({
  series: _series,
  numberOfSeries: _s,
  numberOfInstances: _i,
  ...rest
}: FhirResource): FhirResource {
  return rest;
}

const accessionOf = (study: FhirResource | undefined): string | null =>
  ((study?.identifier ?? []) as FhirResource[]).find(isAccessionNumber)?.value ?? null;

/** As stored: without version and date, and without properties that JSON drops. */
function plain(resource: FhirResource | undefined): unknown {
  const { versionId: _version, lastUpdated: _updated, ...meta } = resource?.meta ?? {};
  return JSON.parse(JSON.stringify({ ...resource, meta }));
}

async function endpointsOf(tx: Queryable, custodianId: string): Promise<string[]> {
  const [found] = await tx.query<{ ids: string[] }>(sql`select ${endpointIds(custodianId)} as ids`);
  return (found?.ids ?? []).map((id) => `Endpoint/${id}`);
}

/** Adds new series and instances of one study. @returns the instances that somebody else stored meanwhile */
export async function addRows(
  tx: Queryable,
  custodianId: string,
  connectorId: string | null,
  { studyInstanceUid, series }: StudyFacts,
  instances: readonly InstanceFacts[],
): Promise<InstanceFacts[]> {
  const used = new Set(instances.map((i) => i.series_instance_uid));
  await addSeries(
    tx,
    custodianId,
    ofStudy(
      studyInstanceUid,
      series.filter((s) => used.has(s.series_instance_uid)),
    ),
  );
  const added = await addInstances(tx, custodianId, connectorId, ofStudy(studyInstanceUid, instances));
  return instances.filter((i) => !added.has(i.sop_instance_uid));
}
