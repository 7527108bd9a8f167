import type { Shown } from '../../access/shown.js';
import type { Queryable } from '../../store/database.js';
import { toResource } from '../../store/resources.js';
import type { Level } from './attributes.js';
import { type StudyData, studyData, type Values } from './data-sets.js';
import { type Custodian, knownOf, studyUidOf } from './known-of-studies.sql.js';
import { meets } from './match.js';
import type { Key, QidoQuery } from './query.js';

/** A study as it is shown, with what is known of it. */
export interface KnownStudy {
  study: Shown;
  data: StudyData;
  custodian: Custodian | undefined;
}

/** A study, series or instance of an answer: its own values and those of the levels above it. */
export interface Result extends KnownStudy {
  levels: readonly Values[];
}

/** @param level down to which it is asked. @param root of the DICOMweb services. */
export async function knownStudies(tx: Queryable, studies: readonly Shown[], level: Level, root: string): Promise<KnownStudy[]> {
  const keys = studies.map(({ row }) => ({ custodianId: row.custodian_id, studyInstanceUid: studyUidOf(toResource(row)) }));
  const known = await knownOf(tx, keys, level);
  return studies.map((study) => ({
    study,
    data: studyData(study, known, root),
    custodian: known.custodians.get(study.row.custodian_id),
  }));
}

/** The study itself, or those of its series or instances that meet the keys, as they are shown. */
export function resultsOf(of: KnownStudy, { level, seriesInstanceUid, keys }: QidoQuery): Result[] {
  const { values: ofStudy, series: all } = of.data;
  if (level === 'study') return [{ ...of, levels: [ofStudy] }];
  const keysOf = (which: Level): Key[] => keys.filter(({ attribute }) => attribute.level === which);
  const isSought = (values: Values): boolean =>
    (seriesInstanceUid === undefined || values.get('0020000E')?.[0] === seriesInstanceUid) && meetsAll(values, keysOf('series'));
  const series = all.filter(({ values }) => isSought(values));
  if (level === 'series') return series.map(({ values }) => ({ ...of, levels: [ofStudy, values] }));
  return series.flatMap(({ values, instances }) =>
    instances
      .filter((instance) => meetsAll(instance, keysOf('instance')))
      .map((instance) => ({ ...of, levels: [ofStudy, values, instance] })),
  );
}

const meetsAll = (values: Values, keys: readonly Key[]): boolean =>
  keys.every(({ attribute, match }) => (values.get(attribute.path) ?? []).some((value) => meets(match, String(value ?? ''))));
