/** A media range of an Accept header (RFC 9110 section 12.5.1, PS3.18 section 8.7.5). */
export interface MediaRange {
  /** `application/dicom`, `image/*`, or anything; of a multipart range that of its parts. Lower case. */
  type: string;
  /** `either` where the range leaves it open. */
  framing: 'single' | 'multipart' | 'either';
  /** UID, or `*`. */
  transferSyntax?: string;
  /** Weight, 0 to 1. */
  q: number;
}

/** Bounds on what is looked at: the rest of a longer header is not. */
const MOST_CHARACTERS = 4000;
const MOST_RANGES = 64;

const anything: MediaRange = { type: '*/*', framing: 'either', q: 1 };

/** The ranges in order of preference; without a header anything will do. A range that can't be understood accepts nothing. */
export function acceptedRanges(header: string | undefined): MediaRange[] {
  if (header === undefined || header.trim() === '') return [anything];
  return splitOutsideQuotes(header.slice(0, MOST_CHARACTERS), ',')
    .slice(0, MOST_RANGES)
    .flatMap((text) => mediaRange(text) ?? [])
    .filter(({ q }) => q > 0)
    .sort((a, b) => b.q - a.q);
}

function mediaRange(text: string): MediaRange | undefined {
  const [name = '', ...rest] = splitOutsideQuotes(text, ';').map((piece) => piece.trim());
  const parameters = new Map(rest.map(parameterOf).filter((parameter) => parameter !== undefined));
  const type = name.toLowerCase();
  if (!/^[\w!#$&^.+*-]+\/[\w!#$&^.+*-]+$/.test(type)) return undefined;
  const q = Number(parameters.get('q') ?? 1);
  const transferSyntax = parameters.get('transfer-syntax');
  if (!(q >= 0 && q <= 1)) return undefined;
  const common = { q, ...(transferSyntax ? { transferSyntax } : {}) };
  if (type === '*/*') return { ...common, type, framing: 'either' };
  if (type !== 'multipart/related' && type !== 'multipart/*') return { ...common, type, framing: 'single' };
  return { ...common, type: parameters.get('type')?.toLowerCase() ?? '*/*', framing: 'multipart' };
}

function parameterOf(piece: string): [string, string] | undefined {
  const [, name, quoted, token] = /^([\w-]+)\s*=\s*(?:"([^"]*)"|([^\s"]*))$/.exec(piece) ?? [];
  return name === undefined ? undefined : [name.toLowerCase(), quoted ?? token ?? ''];
}

function splitOutsideQuotes(text: string, separator: string): string[] {
  const pieces: string[] = [];
  let [start, isQuoted] = [0, false];
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '"') isQuoted = !isQuoted;
    else if (text[i] === separator && !isQuoted) {
      pieces.push(text.slice(start, i));
      start = i + 1;
    }
  }
  return [...pieces, text.slice(start)];
}

export interface Offer {
  type: string;
  framing: 'single' | 'multipart';
}

const covers = (range: MediaRange, offer: Offer): boolean =>
  (range.framing === 'either' || range.framing === offer.framing) &&
  (range.type === '*/*' ||
    range.type === offer.type ||
    (range.type.endsWith('/*') && offer.type.startsWith(range.type.slice(0, -1))));

/** An offer that was taken, and the ranges that it meets, in order of preference. */
export interface Chosen<T extends Offer> {
  offer: T;
  ranges: MediaRange[];
}

/** The offer that is preferred: by the client's weights, then by the order of the offers. Undefined when none will do. */
export function chosen<T extends Offer>(ranges: readonly MediaRange[], offers: readonly T[]): Chosen<T> | undefined {
  for (const range of ranges) {
    const offer = offers.find((one) => covers(range, one));
    if (offer) return { offer, ranges: ranges.filter((one) => covers(one, offer)) };
  }
  return undefined;
}
