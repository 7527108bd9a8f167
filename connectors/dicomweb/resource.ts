import { isUid } from '../dicom/uid.js';

/** A study, series or instance of a DICOMweb source (PS3.18 table 10.4.1-1). */
export interface Resource {
  studyInstanceUid: string;
  seriesInstanceUid?: string;
  sopInstanceUid?: string;
}

/** `studies/{study}/series/{series}/instances/{instance}`, as far as the resource goes; also its locator. */
export function resourcePath({ studyInstanceUid, seriesInstanceUid, sopInstanceUid }: Resource): string {
  const series = seriesInstanceUid === undefined ? '' : `/series/${seriesInstanceUid}`;
  const instance = sopInstanceUid === undefined ? '' : `/instances/${sopInstanceUid}`;
  return `studies/${studyInstanceUid}${series}${instance}`;
}

/** The resource that a locator names, if it is one. */
export function parseLocator(locator: string): Resource | undefined {
  const [, study, series, instance] = /^studies\/([\d.]+)(?:\/series\/([\d.]+)(?:\/instances\/([\d.]+))?)?$/.exec(locator) ?? [];
  if (study === undefined || [study, series, instance].some((uid) => uid !== undefined && !isUid(uid))) return undefined;
  return { studyInstanceUid: study, seriesInstanceUid: series, sopInstanceUid: instance };
}

/** A URL below a root, whose path is kept: `https://pacs/dicom-web` and `studies` give `https://pacs/dicom-web/studies`. */
export function urlBelow(root: string, path: string, query: [string, string][] = []): URL {
  const url = new URL(`${root.replace(/\/+$/, '')}/${path}`);
  for (const [name, value] of query) url.searchParams.append(name, value);
  return url;
}
