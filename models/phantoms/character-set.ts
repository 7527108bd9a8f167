/** Specific Character Set (0008,0005) values that the phantoms write, PS3.3 C.12.1.1.2. */
export type CharacterSet = 'GB18030' | 'ISO_IR 192' | 'ISO_IR 100';

/** Encodes a Unicode string as the bytes that a data set with this Specific Character Set holds. Throws on a character outside it. */
export function encodeText(text: string, characterSet: CharacterSet): Uint8Array {
  if (characterSet === 'ISO_IR 192') return new TextEncoder().encode(text);
  return characterSet === 'GB18030' ? encodeGb18030(text) : encodeLatin1(text);
}

function encodeLatin1(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => {
    const code = character.codePointAt(0)!;
    if (code > 0xff) throw new RangeError(`U+${code.toString(16)} is not in ISO_IR 100`);
    return code;
  });
}

function encodeGb18030(text: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of text) {
    const code = character.codePointAt(0)!;
    if (code < 0x80) bytes.push(code);
    else bytes.push(...(twoByteCodes().get(character) ?? fourByteCodes(character, code)));
  }
  return Uint8Array.from(bytes);
}

let table: Map<string, number[]> | undefined;

/** The platform decodes GB18030 but has no encoder, so its decoder is turned round. */
function twoByteCodes(): Map<string, number[]> {
  if (table) return table;
  table = new Map();
  const decoder = new TextDecoder('gb18030');
  for (let lead = 0x81; lead <= 0xfe; lead++) {
    for (let trail = 0x40; trail <= 0xfe; trail++) {
      if (trail === 0x7f) continue;
      const decoded = decoder.decode(Uint8Array.of(lead, trail));
      if ([...decoded].length === 1 && decoded !== '\ufffd') table.set(decoded, [lead, trail]);
    }
  }
  return table;
}

/** Supplementary planes are linear in GB18030; the rest of the BMP is found by bisecting the decoder, which is monotonic there. */
function fourByteCodes(character: string, code: number): number[] {
  if (code >= 0x10000) return fourBytes(code - 0x10000 + 189000);
  const decoder = new TextDecoder('gb18030');
  for (let low = 0, high = 39419; low <= high; ) {
    const middle = (low + high) >> 1;
    const found = decoder.decode(Uint8Array.from(fourBytes(middle))).codePointAt(0)!;
    if (found === code) return fourBytes(middle);
    if (found < code) low = middle + 1;
    else high = middle - 1;
  }
  throw new RangeError(`${character} has no code in GB18030`);
}

function fourBytes(pointer: number): number[] {
  return [
    0x81 + Math.floor(pointer / 12600),
    0x30 + (Math.floor(pointer / 1260) % 10),
    0x81 + (Math.floor(pointer / 10) % 126),
    0x30 + (pointer % 10),
  ];
}
