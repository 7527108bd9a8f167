import { allowedOperators } from './operators.js';
import { type Field, type FieldBudget, fieldsOf, WireFault } from './wire.js';

/** An input or output as the graph states it; a size that varies has a name, or '' where it has none. */
export interface StatedTensor {
  name: string;
  /** TensorProto.DataType; 1 is float32, 0 something that is no tensor. */
  type: number;
  shape: (number | string)[];
}

/** What a graph says of itself (onnx.proto3), read without running it, and what is wrong with it. */
export interface GraphReading {
  irVersion: number;
  /** Version by domain; the standard operators' is ''. */
  opsets: ReadonlyMap<string, number>;
  nodes: number;
  initializers: number;
  /** How often each operator is used, in graphs within graphs too. */
  operators: ReadonlyMap<string, number>;
  inputs: StatedTensor[];
  outputs: StatedTensor[];
  /** Sentences; empty for a graph that may run. */
  faults: string[];
}

/** Bounds on what is read of a file: far above any graph of use, far below what could hurt. */
export const graphLimits = { bytes: 64 * 1024 ** 2, fields: 400_000, nodes: 20_000, initializers: 20_000, depth: 4, rank: 8 };

/** The newest that onnxruntime 1.30 loads, the oldest whose operators mean what they mean today. */
export const versions = { ir: [4, 13], opset: [11, 26] } as const;

/** Reads a graph. What makes no sense as ONNX is one fault and ends the reading. */
export function readGraphProto(bytes: Buffer): GraphReading {
  const reader = new GraphReader();
  try {
    if (bytes.length > graphLimits.bytes) throw new WireFault(`The file is larger than ${graphLimits.bytes} bytes.`);
    reader.readModel(bytes);
  } catch (error) {
    if (!(error instanceof WireFault)) throw error;
    reader.fault(error.message);
  }
  return reader.reading();
}

class GraphReader {
  private readonly budget: FieldBudget = { left: graphLimits.fields };
  private readonly faults = new Set<string>();
  private readonly operators = new Map<string, number>();
  private readonly opsets = new Map<string, number>();
  private irVersion = 0;
  private nodes = 0;
  private initializers = 0;
  private inputs: StatedTensor[] = [];
  private outputs: StatedTensor[] = [];

  fault(sentence: string): void {
    if (this.faults.size < 20) this.faults.add(sentence);
  }

  reading(): GraphReading {
    const { irVersion, opsets, nodes, initializers, operators, inputs, outputs } = this;
    return { irVersion, opsets, nodes, initializers, operators, inputs, outputs, faults: [...this.faults] };
  }

  /** ModelProto. */
  readModel(bytes: Buffer): void {
    const fields = this.fields(bytes);
    this.irVersion = single(fields, 1)?.value ?? 0;
    if (this.irVersion < versions.ir[0] || this.irVersion > versions.ir[1])
      this.fault(`The IR version is ${this.irVersion}, not ${versions.ir.join(' to ')}.`);
    for (const opset of all(fields, 8)) this.readOpset(opset);
    if (!this.opsets.has('')) this.fault('The graph does not say which opset it uses.');
    if (all(fields, 20).length > 0) this.fault('The file holds training information.');
    if (all(fields, 25).length > 0) this.fault('The file defines functions of its own.');
    const graph = single(fields, 7);
    if (!graph) throw new WireFault('The file holds no graph.');
    const { inputs, outputs } = this.readGraph(graph.bytes, 0);
    [this.inputs, this.outputs] = [inputs, outputs];
  }

  /** OperatorSetIdProto: `ai.onnx` is another name of ''. */
  private readOpset(bytes: Buffer): void {
    const fields = this.fields(bytes);
    const stated = text(single(fields, 1));
    const domain = stated === 'ai.onnx' ? '' : stated;
    const version = single(fields, 2)?.value ?? 0;
    if (domain !== '') this.fault(`The graph imports operators of ${quoted(domain)}.`);
    else if (version < versions.opset[0] || version > versions.opset[1])
      this.fault(`The opset is ${version}, not ${versions.opset.join(' to ')}.`);
    if ((this.opsets.get(domain) ?? version) !== version) this.fault('The graph imports two opsets.');
    this.opsets.set(domain, version);
  }

  /** GraphProto, also one within an attribute. */
  private readGraph(bytes: Buffer, depth: number): { inputs: StatedTensor[]; outputs: StatedTensor[] } {
    if (depth > graphLimits.depth) throw new WireFault(`Graphs lie in one another more than ${graphLimits.depth} deep.`);
    const fields = this.fields(bytes);
    const [nodes, initializers] = [all(fields, 1), all(fields, 5)];
    this.nodes += nodes.length;
    this.initializers += initializers.length;
    if (this.nodes > graphLimits.nodes) throw new WireFault(`The graph has more than ${graphLimits.nodes} nodes.`);
    if (this.initializers > graphLimits.initializers)
      throw new WireFault(`The graph has more than ${graphLimits.initializers} initializers.`);
    if (all(fields, 15).length > 0) this.fault('The graph holds sparse tensors.');
    for (const initializer of initializers) this.readTensor(initializer);
    for (const node of nodes) this.readNode(node, depth);
    const tensors = (number: number) => all(fields, number).map((value) => this.readValueInfo(value));
    return { inputs: tensors(11), outputs: tensors(12) };
  }

  /** NodeProto. */
  private readNode(bytes: Buffer, depth: number): void {
    const fields = this.fields(bytes);
    const [operator, domain] = [text(single(fields, 4)), text(single(fields, 7))];
    this.operators.set(operator, (this.operators.get(operator) ?? 0) + 1);
    if (domain !== '' && domain !== 'ai.onnx') this.fault(`A node uses the operator ${quoted(operator)} of ${quoted(domain)}.`);
    else if (!allowedOperators.has(operator)) this.fault(`The operator ${quoted(operator)} is not one that a graph may use.`);
    for (const attribute of all(fields, 5)) this.readAttribute(attribute, depth);
  }

  /** AttributeProto: tensors and graphs within it. */
  private readAttribute(bytes: Buffer, depth: number): void {
    const fields = this.fields(bytes);
    for (const tensor of [...all(fields, 5), ...all(fields, 10)]) this.readTensor(tensor);
    for (const graph of [...all(fields, 6), ...all(fields, 11)]) this.readGraph(graph, depth + 1);
    if (all(fields, 22).length + all(fields, 23).length > 0) this.fault('The graph holds sparse tensors.');
  }

  /** TensorProto: in this file, and no larger than what it holds (the smallest elements are half a byte). */
  private readTensor(bytes: Buffer): void {
    const fields = this.fields(bytes);
    const outside = all(fields, 13).length > 0 || fields.some(({ number, value }) => number === 14 && value !== 0);
    if (outside) this.fault('A tensor lies in another file.');
    const dimensions = fields.filter(({ number }) => number === 1).flatMap((field) => packed(field));
    if (dimensions.length > graphLimits.rank) this.fault(`A tensor has more than ${graphLimits.rank} dimensions.`);
    const elements = dimensions.reduce((product, size) => product * size, 1);
    const payload = fields.filter(({ number }) => payloadFields.has(number));
    const held = payload.reduce((sum, field) => sum + Math.max(field.bytes.length, 1), 0);
    if (!outside && elements > 2 * held) this.fault('A tensor states more elements than it holds.');
  }

  /** ValueInfoProto > TypeProto > Tensor > TensorShapeProto > Dimension. */
  private readValueInfo(bytes: Buffer): StatedTensor {
    const fields = this.fields(bytes);
    const type = single(fields, 2);
    const tensor = type && single(this.fields(type.bytes), 1);
    const stated = tensor ? this.fields(tensor.bytes) : [];
    const shape = single(stated, 2);
    const dimensions = shape ? all(this.fields(shape.bytes), 1) : [];
    if (dimensions.length > graphLimits.rank) this.fault(`A tensor has more than ${graphLimits.rank} dimensions.`);
    return {
      name: text(single(fields, 1)),
      type: single(stated, 1)?.value ?? 0,
      shape: dimensions.slice(0, graphLimits.rank).map((dimension) => {
        const [size, name] = [single(this.fields(dimension), 1), single(this.fields(dimension), 2)];
        return size ? size.value : text(name);
      }),
    };
  }

  private fields(bytes: Buffer): Field[] {
    return fieldsOf(bytes, this.budget);
  }
}

/** float, int32, string, int64, raw, double and uint64 data of a tensor. */
const payloadFields = new Set([4, 5, 6, 7, 9, 10, 11]);

const all = (fields: Field[], number: number): Buffer[] =>
  fields.filter((field) => field.number === number).map((field) => field.bytes);

/** The only field of that number: of two, readers do not agree which counts. */
function single(fields: Field[], number: number): Field | undefined {
  const found = fields.filter((field) => field.number === number);
  if (found.length > 1) throw new WireFault('The file states twice what it may state once.');
  return found[0];
}

/** Repeated numbers are packed into one field, or each is a field of its own. */
function packed({ value, bytes }: Field): number[] {
  if (bytes.length === 0) return [value];
  const numbers: number[] = [];
  let [number, power] = [0, 1];
  for (const byte of bytes.subarray(0, 10 * graphLimits.rank)) {
    number += (byte & 127) * power;
    power *= 128;
    if (byte >= 128) continue;
    numbers.push(number);
    [number, power] = [0, 1];
  }
  return numbers;
}

const text = (field: Field | undefined): string => (field ? field.bytes.toString('utf8', 0, 200) : '');
const quoted = (name: string): string => JSON.stringify(name.replace(/[^\w.\-/ ]/g, '?'));
