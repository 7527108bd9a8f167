import type { RowWithEvidence } from '../decision.js';
import { and, or, raw, type Sql, sql } from '../../store/sql.js';
import { all, notOlderThan, type Scope, type Seen, type Term } from './terms.js';

/** An agreement that looks at each series by itself. */
export interface PartAgreement {
  id: string;
  custodian: string;
  scope: Scope;
}

/** A series of an ImagingStudy, as far as a scope looks at it. */
export interface Series {
  uid?: string;
  modality?: { system?: string; code?: string };
  bodySite?: { system?: string; code?: string };
}

/** The term that some series of a study lies within one of these agreements, and which of them do. */
export interface PartTerm extends Term {
  /** SQL: one of the series that are within also meets `test`, a condition on `s`, the series as json. */
  someSeries(test: Sql): Sql;
  /** Whether a series of this row is within. */
  within(seen: Seen): (series: Series) => boolean;
}

/**
 * Studies of which these agreements cover a series: by modality and body site of the series, and age of the study. What a series does not say
 * lies outside. Looked up in the resource itself: callers without such agreements pay nothing for it, and no index says it twice.
 */
export function coveredInPart(agreements: readonly PartAgreement[], purposeOfUse: string): PartTerm | undefined {
  const applicable = agreements.filter(({ scope }) => !scope.purpose || scope.purpose.includes(purposeOfUse));
  if (applicable.length === 0) return undefined;
  const applying = (seen: Seen): PartAgreement[] =>
    applicable.filter(
      ({ custodian, scope }) =>
        seen.row.custodian_id === custodian && all(notOlderThan(scope.not_older_than_days)).test(seen) !== undefined,
    );
  const someSeries = (test: Sql): Sql =>
    or(
      applicable.map(
        ({ custodian, scope }) => sql`(r.custodian_id in (${custodian}) and ${notOlderThan(scope.not_older_than_days).sql}
          and exists (select from ${SERIES} where ${and([inLimit('modality', scope.modality), inLimit('bodySite', scope.body_site), test])}))`,
      ),
    );
  return {
    someSeries,
    within: (seen) => {
      const scopes = applying(seen).map(({ scope }) => scope);
      return (series) => scopes.some((scope) => isWithin(series, scope));
    },
    sql: someSeries(raw('true')),
    test: (seen) => {
      const found = applying(seen).filter(({ scope }) => seriesOf(seen.row).some((series) => isWithin(series, scope)));
      return found.length > 0 ? found.map(({ id }) => ({ kind: 'agreement', id })) : undefined;
    },
  };
}

/** The series of `r`, each as `s`. */
const SERIES = raw(
  "json_array_elements(case when json_typeof(r.content->'series') = 'array' then r.content->'series' else '[]'::json end) as s",
);

const inLimit = (element: 'modality' | 'bodySite', limit: string[] | null): Sql =>
  limit === null ? raw('true') : sql`coalesce(s->${raw(`'${element}'`)}->>'code' = any(${limit}::text[]), false)`;

const isWithin = ({ modality, bodySite }: Series, { modality: modalities, body_site: sites }: Scope): boolean =>
  (modalities === null || modalities.includes(modality?.code as string)) &&
  (sites === null || sites.includes(bodySite?.code as string));

export function seriesOf({ type, content }: Pick<RowWithEvidence, 'type' | 'content'>): Series[] {
  if (type !== 'ImagingStudy') return [];
  const { series } = JSON.parse(content) as { series?: unknown };
  return Array.isArray(series) ? (series as Series[]) : [];
}
