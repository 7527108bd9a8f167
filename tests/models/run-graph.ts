/**
 * `node run-graph.js <model.onnx>`, with the inputs on standard input as JSON ({ name: shape }): fills them with a ramp from 0 to 250, runs the graph, and
 * writes the outputs as JSON: shape, lowest and highest value, whether all are finite. A process of its own, as the runtime does not load in a test's context.
 */
import { createRequire } from 'node:module';
import { text } from 'node:stream/consumers';

const onnxruntime: typeof import('onnxruntime-node') = createRequire(import.meta.url)('onnxruntime-node');

export interface OutputSeen {
  shape: number[];
  low: number;
  high: number;
  finite: boolean;
}

const shapes = JSON.parse(await text(process.stdin)) as Record<string, number[]>;
const feeds = Object.entries(shapes).map(([name, shape]) => {
  const count = shape.reduce((product, size) => product * size, 1);
  const ramp = Float32Array.from({ length: count }, (_, i) => (i % 251) * (i % 3 === 0 ? 1 : 0.5));
  return [name, new onnxruntime.Tensor('float32', ramp, shape)] as const;
});
const session = await onnxruntime.InferenceSession.create(process.argv[2]!, { intraOpNumThreads: 1 });
const outputs = await session.run(Object.fromEntries(feeds));
const seen = Object.entries(outputs).map(([name, { data, dims }]) => {
  const values = [...(data as Float32Array)];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return [name, { shape: [...dims], low, high, finite: values.every(Number.isFinite) } satisfies OutputSeen] as const;
});
console.log(JSON.stringify(Object.fromEntries(seen)));
