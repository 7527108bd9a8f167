import type { Request } from '@hapi/hapi';
import type { RetrieveRequest } from '../../connectors/connector.js';
import { invalid, Refusal } from '../outcomes.js';

/** What a WADO-RS request asks for (PS3.18 section 10.4). */
export interface WadoRequest {
  studyInstanceUid: string;
  seriesInstanceUid?: string;
  sopInstanceUid?: string;
  frames?: number[];
  representation: RetrieveRequest['representation'];
  /** Organization id, where several custodians hold the study. */
  custodianId?: string;
}

const MOST_FRAMES = 1000;

/** @throws Refusal 400 for a malformed UID, frame list or parameter, 406 for media types that WADO-RS does not answer with here. */
export function wadoRequest(request: Request, representation: WadoRequest['representation']): WadoRequest {
  const { study, series, instance, frames } = request.params as Record<string, string | undefined>;
  const { custodian, ...rest } = request.query as Record<string, unknown>;
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined) throw invalid('Unknown parameter.', unknown.slice(0, 64));
  if (custodian !== undefined && (typeof custodian !== 'string' || !/^[A-Za-z0-9\-.]{1,64}$/.test(custodian)))
    throw invalid('The custodian is the id of an Organization.', 'custodian');
  assertAcceptable(request.headers.accept, representation);
  return {
    studyInstanceUid: uid(study ?? '', 'study'),
    ...(series === undefined ? {} : { seriesInstanceUid: uid(series, 'series') }),
    ...(instance === undefined ? {} : { sopInstanceUid: uid(instance, 'instance') }),
    ...(frames === undefined ? {} : { frames: frameList(frames) }),
    ...(custodian === undefined ? {} : { custodianId: custodian }),
    representation,
  };
}

/** PS3.5 section 9.1; leading zeros are common in archives and taken as they are. */
export function uid(value: string, name: string): string {
  if (value.length > 64 || !/^[0-2](\.\d+)+$/.test(value)) throw invalid('This is no unique identifier.', name);
  return value;
}

function frameList(value: string): number[] {
  const numbers = value.split(',');
  if (numbers.length > MOST_FRAMES || !numbers.every((n) => /^[1-9]\d{0,8}$/.test(n)))
    throw invalid(`Frames are numbers from 1, joined by commas, at most ${MOST_FRAMES}.`, 'frames');
  return numbers.map(Number);
}

/** Media types that each representation may be asked for as; the parts come in the transfer syntax that the source has. */
const MEDIA_TYPES: Readonly<Record<WadoRequest['representation'], RegExp>> = {
  instances:
    /^(\*\/\*|multipart\/\*|multipart\/related(?!.*type=)|multipart\/related.*type="?application\/(dicom|\*)"?)\s*(;|$)/i,
  frames:
    /^(\*\/\*|multipart\/\*|multipart\/related(?!.*type=)|multipart\/related.*type="?application\/(octet-stream|\*)"?)\s*(;|$)/i,
  metadata: /^(\*\/\*|application\/\*|application\/(dicom\+)?json)\s*(;|$)/i,
};

function assertAcceptable(accept: unknown, representation: WadoRequest['representation']): void {
  if (typeof accept !== 'string' || accept === '') return;
  const ranges = accept
    .slice(0, 1000)
    .split(',')
    .map((range) => range.trim());
  if (ranges.some((range) => MEDIA_TYPES[representation].test(range))) return;
  throw new Refusal(406, [
    { severity: 'error', code: 'not-supported', diagnostics: 'This is not answered in the media types of the Accept header.' },
  ]);
}
