import { randomUUID } from 'node:crypto';
import { headerOf } from './message.js';
import { type ErrorCode, Hl7Problem, type Place, placeText } from './problem.js';

/**
 * What became of a message. `accepted`: it is committed. `error`: it may be sent again, as it is. `rejected`: it will never be taken as it is; it waits in
 * the quarantine.
 */
export type Outcome =
  | { kind: 'accepted' }
  | { kind: 'error'; text: string }
  | { kind: 'rejected'; code: ErrorCode; text: string; place?: Place };

const CODES = { accepted: 'A', error: 'E', rejected: 'R' } as const;

/**
 * The answers to a message, in the order in which they are sent (HL7 v2 section 2.9). Original mode: AA, AE or AR. Enhanced mode, where MSH-15 or MSH-16
 * is valued: CA, CE or CR as MSH-15 asks, then the application's as MSH-16 asks; both after the commit. What is repeated of the message is repeated byte for
 * byte, everything else is ASCII.
 */
export function answersTo(bytes: Buffer, outcome: Outcome, now = new Date()): Buffer[] {
  const header = headerOrNone(bytes);
  const [accept, application] = [header[14] ?? '', header[15] ?? ''].map((field) => field.trim().toUpperCase());
  const isEnhanced = accept !== '' || application !== '';
  const modes = isEnhanced
    ? ([
        ['C', accept],
        ['A', application],
      ] as const)
    : ([['A', 'AL']] as const);
  return modes.filter(([, condition]) => isWanted(condition ?? '', outcome)).map(([mode]) => answer(header, mode, outcome, now));
}

/** Table 0155: always, never, on error, on success. An empty one in enhanced mode is never. */
function isWanted(condition: string, { kind }: Outcome): boolean {
  if (condition === 'AL') return true;
  return condition === (kind === 'accepted' ? 'SU' : 'ER');
}

/** Of what does not begin like a message nothing is repeated. */
function headerOrNone(bytes: Buffer): string[] {
  try {
    return headerOf(bytes);
  } catch (error) {
    if (error instanceof Hl7Problem) return ['|', '^~\\&'];
    throw error;
  }
}

function answer(header: readonly string[], mode: 'A' | 'C', outcome: Outcome, now: Date): Buffer {
  const [separator = '|', encoding = '^~\\&'] = header;
  const [component = '^'] = encoding;
  const at = (field: number): string => header[field - 1] ?? '';
  const [, event = ''] = at(9).split(component);
  const line = (...fields: string[]): string => fields.join(separator);
  const type = ['ACK', event, 'ACK'].filter(Boolean);
  const msh = line(
    'MSH',
    encoding,
    at(5),
    at(6),
    at(3),
    at(4),
    timestamp(now),
    '',
    (event ? type : ['ACK']).join(component),
    randomUUID().replaceAll('-', '').slice(0, 20),
    at(11) || 'P',
    at(12) || '2.5.1',
  );
  const msa = line('MSA', `${mode}${CODES[outcome.kind]}`, at(10));
  const segments = [msh, msa, ...(outcome.kind === 'accepted' ? [] : [line(...errorFields(outcome, header))])];
  return Buffer.from(`${segments.join('\r')}\r`, 'latin1');
}

/** ERR (2.15.5): ERR-2 where, ERR-3 what (table 0357), ERR-4 severity, ERR-7 and ERR-8 for people. */
function errorFields(outcome: Exclude<Outcome, { kind: 'accepted' }>, header: readonly string[]): string[] {
  const [, encoding = '^~\\&'] = header;
  const [component = '^'] = encoding;
  const { code, place } = outcome.kind === 'rejected' ? outcome : { code: 207 as const, place: undefined };
  const where = place
    ? [place.segment, place.ordinal ?? 1, place.field ?? '', place.repetition ?? '', place.component ?? '']
        .join(component)
        .replace(new RegExp(`\\${component}+$`), '')
    : '';
  const text = escaped(place ? `${placeText(place)}: ${outcome.text}` : outcome.text, header);
  return ['ERR', '', where, [code, TEXTS[code], 'HL70357'].join(component), 'E', '', '', '', text];
}

const TEXTS: Readonly<Record<ErrorCode, string>> = {
  100: 'Segment sequence error',
  101: 'Required field missing',
  102: 'Data type error',
  103: 'Table value not found',
  200: 'Unsupported message type',
  201: 'Unsupported event code',
  202: 'Unsupported processing id',
  203: 'Unsupported version id',
  204: 'Unknown key identifier',
  207: 'Application internal error',
};

/** Our own sentences, ASCII, with the message's separators escaped. */
function escaped(text: string, [separator = '|', encoding = '^~\\&']: readonly string[]): string {
  const [component, repetition, mark = '\\', sub] = encoding;
  const codes = new Map([
    [separator, 'F'],
    [component, 'S'],
    [sub, 'T'],
    [repetition, 'R'],
    [mark, 'E'],
  ]);
  return [...text.replace(/[^\x20-\x7e]/g, '?')].map((c) => (codes.has(c) ? `${mark}${codes.get(c)}${mark}` : c)).join('');
}

const timestamp = (now: Date): string => `${now.toISOString().replace(/[-:T]/g, '').slice(0, 14)}+0000`;
