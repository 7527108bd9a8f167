import type { DicomJson } from '../../../connectors/dicom/values.js';
import type { Pushed } from '../../ingest/push/push-objects.js';

/**
 * Store Instances Response Module (PS3.18 annex I) in the DICOM JSON model. What does not even tell its identifiers is among the Other Failures.
 * @param retrieval address of a resource below `studies`.
 */
export function storeInstancesResponse(pushed: readonly Pushed[], retrieval: (path: string) => string): DicomJson {
  const stored = pushed.filter(({ failure }) => failure === undefined);
  const failed = pushed.filter(({ failure, sopInstanceUid }) => failure !== undefined && sopInstanceUid !== undefined);
  const others = pushed.filter(({ failure, sopInstanceUid }) => failure !== undefined && sopInstanceUid === undefined);
  const studies = new Set(stored.map(({ studyInstanceUid }) => studyInstanceUid));
  const [study] = studies;
  return {
    ...(studies.size === 1 && study ? { '00081190': address(retrieval(study)) } : {}),
    ...sequence(
      '00081198',
      failed.map((one) => ({ ...reference(one), ...reason(one) })),
    ),
    ...sequence(
      '00081199',
      stored.map((one) => ({ ...reference(one), ...warning(one), '00081190': address(retrieval(pathOf(one))) })),
    ),
    ...sequence('0008119A', others.map(reason)),
  };
}

const pathOf = ({ studyInstanceUid, seriesInstanceUid, sopInstanceUid }: Pushed): string =>
  `${studyInstanceUid}/series/${seriesInstanceUid}/instances/${sopInstanceUid}`;

const address = (url: string) => ({ vr: 'UR', Value: [url] });

const reason = ({ failure }: Pushed): DicomJson => ({ '00081197': { vr: 'US', Value: [failure] } });

const warning = ({ warning }: Pushed): DicomJson => (warning === undefined ? {} : { '00081196': { vr: 'US', Value: [warning] } });

const reference = ({ sopClassUid, sopInstanceUid }: Pushed): DicomJson => ({
  ...(sopClassUid ? { '00081150': { vr: 'UI', Value: [sopClassUid] } } : {}),
  '00081155': { vr: 'UI', Value: [sopInstanceUid] },
});

const sequence = (tag: string, items: readonly DicomJson[]): DicomJson =>
  items.length > 0 ? { [tag]: { vr: 'SQ', Value: [...items] } } : {};
