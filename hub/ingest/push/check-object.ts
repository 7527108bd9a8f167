import { createHash } from 'node:crypto';
import type { ObjectUids, Part10Object, UnreadableItem } from '../../../connectors/connector.js';
import { bufferSource } from '../../../connectors/dicom/byte-source.js';
import { knownUids } from '../../../connectors/dicom/describe.js';
import { readObject, readStudy } from '../../../connectors/dicom/read-study.js';
import { failureOf, OF_ANOTHER_STUDY, PROCESSING_FAILURE } from './failure-reasons.js';

/** An object that may be stored, or why not: a Failure Reason, and for the quarantine what is wrong with it. */
export type Checked =
  | { ok: true; object: Part10Object; uids: ObjectUids }
  | { ok: false; sopClassUid?: string; sopInstanceUid?: string; status: number; item?: UnreadableItem };

/**
 * Checks what was pushed: a whole DICOM file (PS3.10) that states its identifiers, in the File Meta Information and in the data set alike.
 * @param studyInstanceUid of the study that it has to be of, where the request names one.
 */
export async function checkObject(bytes: Buffer, studyInstanceUid: string | undefined): Promise<Checked> {
  const digest = createHash('sha256').update(bytes).digest('hex');
  // nothing of it is kept, so that it can be found no more: the same bytes are the same item
  const locator = `push/${digest}`;
  const refused = (item: Omit<UnreadableItem, 'locator'>, sopClassUid?: string): Checked => ({
    ok: false,
    status: failureOf(item.reason),
    item: { locator, digest, ...item },
    ...(sopClassUid ? { sopClassUid } : {}),
    ...(item.sopInstanceUid ? { sopInstanceUid: item.sopInstanceUid } : {}),
  });
  const source = bufferSource(bytes);
  const header = await readObject(source);
  if (header.ok && !header.object.isPart10)
    return refused({ reason: 'not-dicom', detail: 'What was pushed is not a DICOM file (PS3.10).', ...knownUids(header.json) });
  const read = await readStudy(source, { locator });
  if (!read.ok || !header.ok) {
    const { reason, detail, ...known } = read.ok ? (header as Extract<typeof header, { ok: false }>) : read;
    const { ok: _ok, ...uids } = known;
    return refused({ reason, detail, ...uids });
  }
  const [series] = read.study.series;
  const instance = series?.instances[0];
  if (!series || !instance) return { ok: false, status: PROCESSING_FAILURE };
  const { sopClassUid, sopInstanceUid } = instance;
  const uids = { studyInstanceUid: read.study.studyInstanceUid, seriesInstanceUid: series.seriesInstanceUid, sopInstanceUid };
  const stated = header.object.meta?.elements
    .get('00020003')
    ?.value?.toString('latin1')
    .replace(/[\0 ]+$/, '');
  if (stated !== undefined && stated !== sopInstanceUid)
    return refused(
      { reason: 'malformed', detail: 'Media Storage SOP Instance UID is that of another object.', ...uids },
      sopClassUid,
    );
  if (studyInstanceUid !== undefined && uids.studyInstanceUid !== studyInstanceUid)
    return { ok: false, status: OF_ANOTHER_STUDY, sopClassUid, sopInstanceUid };
  const object = { sopClassUid, sopInstanceUid, transferSyntaxUid: header.object.transferSyntaxUid, bytes };
  return { ok: true, object, uids };
}
