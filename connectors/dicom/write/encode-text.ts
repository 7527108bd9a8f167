import iconv from 'iconv-lite';
import { decoderFor, encodingOf } from '../charset.js';

/** Unicode text as bytes of one Specific Character Set; undefined when it can't be written in it. */
export type Encode = (text: string) => Buffer | undefined;

export const utf8: Encode = (text) => Buffer.from(text, 'utf8');

/**
 * The encoder for a data set without code extensions (PS3.3 C.12.1.1.2). What it writes reads back as the same text. Code extensions are not
 * written: few readers follow them, so that only ASCII fits a data set that uses them.
 * @param terms the values of Specific Character Set (0008,0005).
 */
export function encoderFor(terms: readonly string[]): Encode {
  const encoding = encodingOf(terms);
  if (encoding === 'utf-8') return utf8;
  const decode = decoderFor(terms);
  return (text) => {
    if (/^[\x20-\x7e]*$/.test(text)) return Buffer.from(text, 'latin1');
    // ISO_IR 6 is ASCII alone, ISO_IR 13 half-width katakana
    if (encoding === undefined || encoding === 'latin1' || encoding === 'shift_jis') return undefined;
    const bytes = iconv.encode(text, encoding);
    const isInSet = encoding.startsWith('gb') || !bytes.some((byte) => byte >= 0x80 && byte < 0xa0);
    return isInSet && decode(bytes) === text ? bytes : undefined;
  };
}
