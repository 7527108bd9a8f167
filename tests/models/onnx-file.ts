/** What an ONNX file says of itself (onnx.proto3, ModelProto), read without running it. */
export interface OnnxFile {
  /** Version by domain; the domain of the standard operators is ''. */
  opsets: Record<string, number>;
  operators: string[];
  /** Whether a tensor lies in another file. */
  external: boolean;
}

const [modelGraph, modelOpset, graphNode, graphInitializer, nodeOperator, tensorLocation] = [7, 8, 1, 5, 4, 14];

export function readOnnxFile(bytes: Buffer): OnnxFile {
  const model = fieldsOf(bytes);
  const graph = fieldsOf(bytesOf(model, modelGraph)[0]!);
  const opsets = bytesOf(model, modelOpset).map((opset) => {
    const fields = fieldsOf(opset);
    const version = fields.find(({ field }) => field === 2)!.value as number;
    return [bytesOf(fields, 1)[0]?.toString() ?? '', version] as const;
  });
  const operators = bytesOf(graph, graphNode).map((node) => bytesOf(fieldsOf(node), nodeOperator)[0]!.toString());
  const initializers = bytesOf(graph, graphInitializer).map(fieldsOf);
  const external = initializers.some((tensor) => tensor.some(({ field, value }) => field === tensorLocation && value === 1));
  return { opsets: Object.fromEntries(opsets), operators: [...new Set(operators)].sort(), external };
}

interface Field {
  field: number;
  value: number | Buffer;
}

const bytesOf = (fields: Field[], wanted: number): Buffer[] =>
  fields.filter(({ field }) => field === wanted).map(({ value }) => value as Buffer);

/** The fields of a Protocol Buffers message, one level deep. */
function fieldsOf(bytes: Buffer): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let power = 1; ; power *= 128) {
      const byte = bytes[at++]!;
      value += (byte & 127) * power;
      if (byte < 128) return value;
    }
  };
  const take = (length: number): Buffer => {
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const key = varint();
    const wire = key % 8;
    const value = wire === 0 ? varint() : take(wire === 2 ? varint() : wire === 1 ? 8 : 4);
    fields.push({ field: Math.floor(key / 8), value });
  }
  return fields;
}
