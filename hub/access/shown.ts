import { extensions } from '../../fhir-profiles/codes.js';
import { or, type Sql } from '../store/sql.js';
import type { Decision, RequestAccess, RowWithEvidence } from './decision.js';

/** What a caller sees of a row, with the decision that says so: the row as it is, or a part of it in its place. */
export interface Shown {
  row: RowWithEvidence;
  decision: Decision;
  /** The row is a part of the record: what else is known of the study as a whole is not shown. */
  isPart?: true;
}

/** The one place where it is decided what of a record leaves: all of it, the part that is opened, or nothing (undefined). */
export function shown(access: RequestAccess, row: RowWithEvidence): Shown | undefined {
  const decision = access.decide('read', row);
  if (decision.allowed || row.deleted) return decision.allowed ? { row, decision } : undefined;
  const part = access.part?.of(row);
  return part && { row: partOfStudy(row, part.isShown), decision: part.decision, isPart: true };
}

/** Condition on `r`: `shown` shows something of it. */
export const visible = (access: RequestAccess, type: string): Sql =>
  access.part && type === 'ImagingStudy' ? or([access.filter('read', type), access.part.filter]) : access.filter('read', type);

interface Study {
  identifier?: unknown;
  status?: unknown;
  subject?: unknown;
  started?: unknown;
  extension?: { url: string }[];
  series?: { uid?: string; modality?: { system?: string; code?: string }; numberOfInstances?: number; instance?: unknown[] }[];
}

/**
 * The study with those of its series that are opened. Elements of the study are kept where they say nothing of the other series; counts and
 * modalities are those of what is left. The extension says that there is more.
 */
function partOfStudy(row: RowWithEvidence, isShown: (series: object) => boolean): RowWithEvidence {
  const { identifier, status, subject, started, extension, series: all } = JSON.parse(row.content) as Study;
  const series = (all ?? []).filter(isShown);
  const modality = new Map(series.flatMap(({ modality: m }) => (m?.code ? [[`${m.system ?? ''}|${m.code}`, m]] : [])));
  const content = {
    extension: [
      ...(extension ?? []).filter((e) => e.url === extensions.custodian),
      { url: extensions.withheldParts, valueBoolean: true },
    ],
    identifier,
    status,
    ...(modality.size > 0 ? { modality: [...modality.values()].map((m) => ({ system: m.system, code: m.code })) } : {}),
    subject,
    started,
    numberOfSeries: series.length,
    numberOfInstances: series.reduce((sum, s) => sum + (s.numberOfInstances ?? s.instance?.length ?? 0), 0),
    series,
  };
  const { security } = JSON.parse(row.meta ?? '{}') as { security?: unknown };
  return { ...row, meta: security ? JSON.stringify({ security }) : null, content: JSON.stringify(content) };
}
