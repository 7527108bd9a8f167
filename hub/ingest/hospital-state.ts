import type { SourceHealth } from '../../connectors/connector.js';
import { rulesIn, ruleInWords } from '../jobs/scoring-rules.js';
import { notFound } from '../outcomes.js';
import type { Database } from '../store/database.js';
import { sql } from '../store/sql.js';
import { type OpenDeps, openSource, type SourceRecord } from './open-source.js';

/** A source as its record stands. */
export interface SourceState {
  id: string;
  kind: string;
  enabled: boolean;
  /** Everything that the source had at this moment is indexed. */
  lastSuccess: Date | null;
  /** Seconds since then; null before the first complete reading. */
  lagSeconds: number | null;
  /** Items that the source is known to have and that are not indexed; null when it does not tell. */
  backlog: number | null;
  /** Why the last reading failed; null when it did not. */
  lastError: string | null;
}

export interface HospitalState {
  id: string;
  name: string;
  active: boolean;
  sources: SourceState[];
  studies: number;
  /** Items in the quarantine that nobody has dealt with. */
  held: number;
  /** Objects in its archives that are other hospitals' by their mark, and of which no delivery is on record. */
  foundCopies: number;
  /** What is scored without being asked, in words. */
  rules: string[];
}

/** The hospitals of the region, or one of them, with their sources and figures. */
export async function listHospitals(db: Database, id?: string): Promise<HospitalState[]> {
  const only = sql`(${id ?? null}::text is null or o.id = ${id ?? null})`;
  const hospitals = await db.query<Omit<HospitalState, 'sources' | 'rules'> & Record<string, unknown>>(sql`
    select o.id, o.name, o.active,
      (select count(*) from study_claim s where s.custodian_id = o.id and s.removed is null) as studies,
      (select count(*) from quarantine q where q.custodian_id = o.id and q.state = 'held') as held,
      (select count(*) from found_copy f where f.custodian_id = o.id) as "foundCopies"
    from organization o where o.kind = 'hospital' and ${only} order by o.id`);
  const sources = await db.query<SourceState & { organizationId: string; rules: unknown } & Record<string, unknown>>(sql`
    select c.id, c.kind, c.enabled, c.last_success as "lastSuccess", c.backlog, c.last_error as "lastError", c.organization_id as "organizationId",
      case when c.enabled then c.settings -> 'autoScore' end as rules, floor(extract(epoch from now() - c.last_success))::integer as "lagSeconds"
    from connector c join organization o on o.id = c.organization_id where ${only} order by c.id`);
  return hospitals.map((hospital) => {
    const own = sources.filter((s) => s.organizationId === hospital.id);
    const rules = new Set(own.flatMap((s) => rulesIn(s.rules).map(ruleInWords)));
    return { ...hospital, rules: [...rules], sources: own.map(({ organizationId: _, rules: __, ...source }) => source) };
  });
}

export interface CheckedHospital extends HospitalState {
  sources: (SourceState & { health: SourceHealth })[];
}

const LONGEST_CHECK_MS = 15_000;

/** Asks each source of a hospital whether it answers. @throws Refusal 404 for a hospital that is not there. */
export async function checkHospital(db: Database, id: string, deps: OpenDeps): Promise<CheckedHospital> {
  const [hospital] = await listHospitals(db, id);
  if (!hospital) throw notFound();
  const records = await db.query<SourceRecord & { cursor: string | null; [column: string]: unknown }>(
    sql`select id, organization_id, kind, settings, secrets, cursor from connector where organization_id = ${id}`,
  );
  const found = new Map(await Promise.all(records.map(async (r) => [r.id, await healthOf(deps, r)] as const)));
  const removed: Found = { health: { reachable: false, detail: 'The source was removed meanwhile.' } };
  const sources = hospital.sources.map((s) => {
    const { health, backlog } = found.get(s.id) ?? removed;
    return { ...s, backlog: backlog ?? s.backlog, health };
  });
  return { ...hospital, sources };
}

interface Found {
  health: SourceHealth;
  /** As the source says now. */
  backlog?: number;
}

async function healthOf(deps: OpenDeps, record: SourceRecord & { cursor: string | null }): Promise<Found> {
  try {
    const { connector } = openSource(deps, record);
    const limit = AbortSignal.timeout(LONGEST_CHECK_MS);
    try {
      const health = await connector.health(limit);
      const backlog = health.reachable
        ? await connector.backlog?.(record.cursor ?? undefined, limit).catch(() => undefined)
        : undefined;
      return { health, ...(backlog === undefined ? {} : { backlog }) };
    } finally {
      await connector.close();
    }
  } catch (error) {
    const late = (error as Error).name === 'TimeoutError';
    const detail = late ? 'The source does not answer in time.' : 'The settings of the source can not be used.';
    return { health: { reachable: false, detail } };
  }
}
