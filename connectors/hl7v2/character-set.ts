/** MSH-18 (table 0211): bytes to Unicode. Text that is not what its label says is refused: it would be stored garbled. */
import { TextDecoder } from 'node:util';
import { Hl7Problem } from './problem.js';

export const CHARACTER_SETS = ['UTF-8', 'GB18030', 'ASCII'] as const;
export type CharacterSet = (typeof CHARACTER_SETS)[number];

/** Labels as they are met, without blanks, hyphens and case. GBK and GB 2312 are parts of GB 18030. */
const LABELS: Readonly<Record<string, CharacterSet>> = {
  ASCII: 'ASCII',
  ISOIR6: 'ASCII',
  UNICODEUTF8: 'UTF-8',
  UTF8: 'UTF-8',
  ISOIR192: 'UTF-8',
  GB18030: 'GB18030',
  GB180302000: 'GB18030',
  GB180302005: 'GB18030',
  GB180302022: 'GB18030',
  GBK: 'GB18030',
  CP936: 'GB18030',
  GB2312: 'GB18030',
  GB231280: 'GB18030',
};

const MSH_18 = { segment: 'MSH', field: 18 } as const;
const HAN = /\p{Script=Han}/u;

const utf8 = new TextDecoder('utf-8', { fatal: true });
const gb18030 = new TextDecoder('gb18030', { fatal: true });

/** The character set of a label; several (table 0211 by repetition) are those of escape sequences, which are not spoken here. */
export function characterSetOf(label: string, otherwise: CharacterSet): CharacterSet {
  const [first = ''] = label.split('~');
  if (first.trim() === '') return otherwise;
  const known = LABELS[first.toUpperCase().replace(/[\s_/-]/g, '')];
  if (!known)
    throw new Hl7Problem(
      103,
      'character-set',
      'The character set in MSH-18 is not spoken here: UNICODE UTF-8, GB18030 or ASCII.',
      MSH_18,
    );
  return known;
}

/**
 * Decodes bytes, every one of them.
 * @throws Hl7Problem `character-set` when they are not valid in it; when they are labelled GB 18030 and are UTF-8 with Chinese characters, which
 * would be read as other characters (浣犲ソ for 你好); when a sender before has lost characters already (U+FFFD).
 */
export function decode(bytes: Uint8Array, set: CharacterSet): string {
  const text = strictly(bytes, set);
  if (text === undefined) throw new Hl7Problem(102, 'character-set', `The text is not valid ${set}.`, MSH_18);
  if (set === 'GB18030' && HAN.test(strictly(bytes, 'UTF-8') ?? ''))
    throw new Hl7Problem(102, 'character-set', 'The text is labelled GB18030 and is UTF-8.', MSH_18);
  if (text.includes('\ufffd'))
    throw new Hl7Problem(102, 'character-set', 'Characters of the text were lost before it came here (U+FFFD).', MSH_18);
  return text;
}

function strictly(bytes: Uint8Array, set: CharacterSet): string | undefined {
  if (set === 'ASCII') return bytes.every((byte) => byte < 0x80) ? Buffer.from(bytes).toString('latin1') : undefined;
  try {
    return (set === 'UTF-8' ? utf8 : gb18030).decode(bytes);
  } catch {
    return undefined;
  }
}
