import type { Request } from '@hapi/hapi';
import { invalid, notAcceptable } from '../outcomes.js';
import { acceptedRanges, chosen, type MediaRange, type Offer } from './accept.js';
import { type RenderingParameters, renderingParameters } from './rendering-parameters.js';

/** What a WADO-RS request asks for (PS3.18 section 10.4). */
export interface WadoRequest {
  studyInstanceUid: string;
  seriesInstanceUid?: string;
  sopInstanceUid?: string;
  frames?: number[];
  /** Of a bulk data resource: tags and item numbers in turn. */
  bulkPath?: (string | number)[];
  /** Media types that will do, in order of preference. */
  ranges: readonly MediaRange[];
  rendering: RenderingParameters;
  /** Organization id, where several custodians hold the study. */
  custodianId?: string;
}

/** What one kind of resource takes. */
export interface ResourceKind {
  /** All media types that it is ever answered in. */
  offers: readonly Offer[];
  /** Parameters of rendering (PS3.18 section 8.3.5) that it has. */
  parameters: readonly (keyof RenderingParameters | 'annotation' | 'iccprofile')[];
}

const MOST_FRAMES = 1000;
const MOST_DEPTH = 16;

/** @throws Refusal 400 for a malformed UID, frame list, path or parameter, 406 for media types that the resource is never answered in. */
export function wadoRequest(request: Request, { offers, parameters }: ResourceKind): WadoRequest {
  const { study, series, instance, frames, bulk } = request.params as Record<string, string | undefined>;
  const { custodian, accept, ...rest } = singleValues(request.query as Record<string, unknown>);
  const known: readonly string[] = parameters;
  const unknown = Object.keys(rest).find((name) => !known.includes(name));
  if (unknown !== undefined) throw invalid('Unknown parameter.', unknown.slice(0, 64));
  if (custodian !== undefined && !/^[A-Za-z0-9\-.]{1,64}$/.test(custodian))
    throw invalid('The custodian is the id of an Organization.', 'custodian');
  const ranges = rangesOf(accept, request.headers.accept);
  if (!chosen(ranges, offers)) throw notAcceptable();
  return {
    studyInstanceUid: uid(study ?? '', 'study'),
    ...(series === undefined ? {} : { seriesInstanceUid: uid(series, 'series') }),
    ...(instance === undefined ? {} : { sopInstanceUid: uid(instance, 'instance') }),
    ...(frames === undefined ? {} : { frames: frameList(frames) }),
    ...(bulk === undefined ? {} : { bulkPath: bulkPath(bulk) }),
    ...(custodian === undefined ? {} : { custodianId: custodian }),
    ranges,
    rendering: renderingParameters(rest),
  };
}

/** The parameter, for clients that cannot set a header, goes before the header (PS3.18 section 8.3.3.1). */
function rangesOf(parameter: string | undefined, header: unknown): MediaRange[] {
  return acceptedRanges(parameter ?? (typeof header === 'string' ? header : undefined));
}

function singleValues(query: Record<string, unknown>): Record<string, string> {
  for (const [name, value] of Object.entries(query))
    if (typeof value !== 'string') throw invalid('The parameter is given more than once.', name.slice(0, 64));
  return query as Record<string, string>;
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

/** `7FE00010`, or through the items of sequences: `54000100/0/54001010`. */
function bulkPath(value: string): (string | number)[] {
  const steps = value.split('/');
  const isPath =
    steps.length % 2 === 1 &&
    steps.length <= 2 * MOST_DEPTH &&
    steps.every((step, i) => (i % 2 ? /^(0|[1-9]\d{0,5})$/ : /^[0-9A-Fa-f]{8}$/).test(step));
  if (!isPath) throw invalid('Bulk data is named by a tag, or by tags and item numbers in turn.', 'bulkdata');
  return steps.map((step, i) => (i % 2 ? Number(step) : step.toUpperCase()));
}
