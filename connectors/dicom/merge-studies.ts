import type { StudyDescription } from '../connector.js';

/**
 * Joins descriptions of the same study into one each, in the order of their first appearance. Studies that agree in the UID but
 * not in the patient stay apart, so that the conflict is seen. Study and series attributes are those of the first instance.
 */
export function mergeStudies(studies: readonly StudyDescription[]): StudyDescription[] {
  const merged = new Map<string, StudyDescription>();
  for (const study of studies) {
    const key = JSON.stringify([study.studyInstanceUid, study.patient]);
    const known = merged.get(key);
    if (known) addSeries(known, study);
    else merged.set(key, { ...study, series: study.series.map((series) => ({ ...series, instances: [...series.instances] })) });
  }
  return [...merged.values()];
}

function addSeries(target: StudyDescription, source: StudyDescription): void {
  for (const series of source.series) {
    const known = target.series.find((one) => one.seriesInstanceUid === series.seriesInstanceUid);
    if (known) known.instances.push(...series.instances);
    else target.series.push({ ...series, instances: [...series.instances] });
  }
}
