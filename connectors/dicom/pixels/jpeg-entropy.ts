/** Huffman decoding of JPEG's entropy-coded data (ISO 10918-1 Annexes C and F.2.2). */

/** For each 16 bits ahead: length of the code that they begin with in the high byte (0 for none), its value in the low byte. */
export type HuffmanTable = Uint16Array;

/** Table from the number of codes of each length and their values (Annex C). */
export function buildHuffmanTable(counts: Uint8Array, values: Uint8Array): HuffmanTable {
  const table = new Uint16Array(65536);
  let [from, next] = [0, 0];
  counts.forEach((count, i) => {
    const [length, share] = [i + 1, 1 << (15 - i)];
    for (let n = 0; n < count; n++, from += share) table.fill((length << 8) | values[next++]!, from, from + share);
  });
  return table;
}

/** Reads the bits of entropy-coded data, with its stuffed zero bytes, up to the next marker; zeros from there on. */
export class BitReader {
  private at = 0;
  private held = 0;
  private bits = 0;

  constructor(private readonly bytes: Uint8Array) {}

  bit(): number {
    return this.receive(1);
  }

  /** The next `count` bits, at most 16. */
  receive(count: number): number {
    if (this.bits < count) this.fill();
    this.bits -= count;
    return (this.held >>> this.bits) & ((1 << count) - 1);
  }

  /** A value of `count` bits whose sign is in its first bit (F.2.2.1). */
  receiveSigned(count: number): number {
    const value = this.receive(count);
    return count > 0 && value < 1 << (count - 1) ? value - (1 << count) + 1 : value;
  }

  symbol(table: HuffmanTable): number {
    if (this.bits < 16) this.fill();
    const entry = table[(this.held >>> (this.bits - 16)) & 0xffff]!;
    if (entry === 0) throw new Error('No such Huffman code');
    this.bits -= entry >> 8;
    return entry & 0xff;
  }

  /** Steps over the restart marker ahead. */
  restart(): void {
    this.bits = 0;
    while (this.at + 1 < this.bytes.length && !(this.bytes[this.at] === 0xff && (this.bytes[this.at + 1]! & 0xf8) === 0xd0))
      this.at++;
    this.at += 2;
  }

  /** At least 16 bits; 24 at most, so that they fit in an integer. */
  private fill(): void {
    while (this.bits < 17) {
      const byte = this.bytes[this.at] ?? 0xff;
      const marker = byte === 0xff && this.bytes[this.at + 1] !== 0;
      this.held = ((this.held << 8) | (marker ? 0 : byte)) & 0xffffff;
      this.bits += 8;
      if (!marker) this.at += byte === 0xff ? 2 : 1;
    }
  }
}
