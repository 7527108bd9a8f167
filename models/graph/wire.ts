/** One field of a Protocol Buffers message: a number (wire type 0), or bytes (1, 2 and 5), which are a view and never a copy. */
export interface Field {
  number: number;
  value: number;
  bytes: Buffer;
}

/** The bytes are not a message, or hold more than may be read. */
export class WireFault extends Error {}

/** How many fields may still be read, over all messages of a file: bounds the time and memory that reading takes. */
export interface FieldBudget {
  left: number;
}

const none = Buffer.alloc(0);
const longestVarint = 10;
const largestNumber = 2 ** 29 - 1;

/** The fields of a message, one level deep, in the order of the bytes. @throws WireFault */
export function fieldsOf(message: Buffer, budget: FieldBudget): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let length = 0, power = 1; length < longestVarint; length++, power *= 128) {
      const byte = message[at++];
      if (byte === undefined) throw new WireFault('The file is cut off.');
      value += (byte & 127) * power;
      if (byte < 128) return value;
    }
    throw new WireFault('A number in the file has no end.');
  };
  const take = (length: number): Buffer => {
    if (length > message.length - at) throw new WireFault('The file is cut off.');
    at += length;
    return message.subarray(at - length, at);
  };
  while (at < message.length) {
    if (budget.left-- <= 0) throw new WireFault('The file holds more fields than are read.');
    const key = varint();
    const [number, wire] = [Math.floor(key / 8), key % 8];
    // Readers that keep 32 bits of a key would take a larger one for another field.
    if (number === 0 || number > largestNumber) throw new WireFault('The file is not a Protocol Buffers message.');
    if (wire === 0) fields.push({ number, value: varint(), bytes: none });
    else fields.push({ number, value: 0, bytes: take(lengthOf(wire, varint)) });
  }
  return fields;
}

function lengthOf(wire: number, varint: () => number): number {
  if (wire === 2) return varint();
  if (wire === 1) return 8;
  if (wire === 5) return 4;
  throw new WireFault('The file is not a Protocol Buffers message.');
}
