import type { Hl7Context } from '@medplum/core';
import { type CharacterSet, decode } from './character-set.js';
import { Hl7Problem } from './problem.js';

/**
 * A value without its escape sequences (HL7 v2 section 2.7): the separators, bytes as hexadecimal, formatted text; highlighting and local sequences are
 * dropped. An escape character that begins no sequence is text, as many senders mean it.
 * @throws Hl7Problem for bytes that are no text, and for a sequence that switches the character set.
 */
export function unescaped(value: string, context: Hl7Context, set: CharacterSet): string {
  const { escapeCharacter } = context;
  if (!value.includes(escapeCharacter)) return value;
  const mark = `\\${escapeCharacter}`;
  return value.replace(new RegExp(`${mark}(${SEQUENCE})${mark}`, 'g'), (_, code: string) => meant(code, context, set));
}

const SEQUENCE = String.raw`[FSTREHN]|X(?:[0-9A-Fa-f]{2})+|\.(?:br|sp|sk|in|ti|ce|fi|nf)(?:[+-]?\d{1,3})?|[CM](?:[0-9A-Fa-f]{2}){2,3}|Z[^|\\]{0,80}`;

function meant(code: string, context: Hl7Context, set: CharacterSet): string {
  switch (code[0]) {
    case 'F':
      return context.fieldSeparator;
    case 'S':
      return context.componentSeparator;
    case 'T':
      return context.subcomponentSeparator;
    case 'R':
      return context.repetitionSeparator;
    case 'E':
      return context.escapeCharacter;
    case 'X':
      return decode(Buffer.from(code.slice(1), 'hex'), set);
    case '.':
      return formatted(code);
    case 'C':
    case 'M':
      throw new Hl7Problem(102, 'character-set', 'An escape sequence switches the character set, which is not spoken here.');
    default:
      return '';
  }
}

/** Formatted text (2.7.6): lines and blanks stay, indents and the like go. */
function formatted(code: string): string {
  const command = code.slice(1, 3);
  const count = Math.min(20, Math.max(1, Number(code.slice(3) || 1)));
  if (command === 'br' || command === 'ce') return '\n';
  if (command === 'sp') return '\n'.repeat(count);
  return command === 'sk' ? ' '.repeat(count) : '';
}
