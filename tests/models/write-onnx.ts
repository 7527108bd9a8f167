/** Writes ONNX files (onnx.proto3) field by field, so that wrong ones can be written too. */

export type Field = Buffer;

/** A number: wire type 0. */
export const number = (field: number, value: number | bigint): Field => Buffer.concat([varint(field * 8), varint(value)]);

/** A message, a text or bytes: wire type 2. */
export function message(field: number, ...content: (Field | string)[]): Field {
  const bytes = Buffer.concat(content.map((part) => Buffer.from(part as string)));
  return Buffer.concat([varint(field * 8 + 2), varint(bytes.length), bytes]);
}

function varint(value: number | bigint): Buffer {
  const bytes: number[] = [];
  let rest = BigInt(value);
  do {
    bytes.push(Number(rest & 127n) | (rest > 127n ? 128 : 0));
    rest >>= 7n;
  } while (rest > 0n);
  return Buffer.from(bytes);
}

/** ValueInfoProto of a tensor; `type` 1 is float32. */
export const valueInfo = (field: number, name: string, shape: (number | string)[], type = 1): Field => {
  const dimensions = shape.map((size) => message(1, typeof size === 'number' ? number(1, size) : message(2, size)));
  return message(field, message(1, name), message(2, message(1, number(1, type), message(2, ...dimensions))));
};

/** NodeProto within a graph. */
export const node = (operator: string, inputs: string[], outputs: string[], ...further: Field[]): Field =>
  message(
    1,
    ...inputs.map((name) => message(1, name)),
    ...outputs.map((name) => message(2, name)),
    message(4, operator),
    ...further,
  );

/** AttributeProto of a node: an integer, or a tensor of integers, or a graph. */
export const integer = (name: string, value: number): Field => message(5, message(1, name), number(3, value), number(20, 2));
export const subgraph = (name: string, ...graph: Field[]): Field =>
  message(5, message(1, name), message(6, ...graph), number(20, 5));
export const integers = (name: string, values: number[]): Field =>
  message(5, message(1, name), message(5, ...int64Tensor(values)), number(20, 4));

const int64Tensor = (values: number[]): Field[] => [
  number(1, values.length),
  number(2, 7),
  message(9, Buffer.from(new BigInt64Array(values.map(BigInt)).buffer)),
];

export interface ModelParts {
  ir?: number;
  opsets?: [domain: string, version: number][];
  graph: Field[];
  further?: Field[];
}

/** ModelProto. */
export const model = ({ ir = 9, opsets = [['', 18]], graph, further = [] }: ModelParts): Buffer =>
  Buffer.concat([
    number(1, ir),
    message(7, ...graph),
    ...opsets.map(([domain, version]) => message(8, message(1, domain), number(2, version))),
    ...further,
  ]);
