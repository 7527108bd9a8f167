import { describe, expect, it } from '@jest/globals';
import { checkGraph } from '../../models/graph/check-graph.js';
import { graphLimits } from '../../models/graph/read-graph.js';
import { loadModelPackage } from '../../models/model-package.js';
import { checkModelPackage } from '../../models/runtime.js';
import { smallModel, stated } from './small-model.js';
import { withFolder } from './support.js';
import { type Field, integer, message, type ModelParts, model, node, number, subgraph, valueInfo } from './write-onnx.js';

const [input, output] = [valueInfo(11, 'x', [2]), valueInfo(12, 'y', [2])];
const abs = node('Abs', ['x'], ['y']);
const sound = (changes: Partial<ModelParts> = {}, ...further: Field[]) =>
  model({ graph: [abs, input, output, ...further], ...changes });
const faultsOf = (bytes: Buffer): string[] => checkGraph(bytes, stated).faults;

/** TensorProto of an initializer with one float in it, as far as it says. */
const tensor = (...fields: Field[]) => message(5, message(8, 'w'), number(2, 1), ...fields);
const held = message(9, Buffer.alloc(4));
const externally = (path: string) => [message(13, message(1, 'location'), message(2, path)), number(14, 1)];

const nested = (depth: number): Field[] => [
  node('If', ['x'], ['y'], ...(depth > 0 ? [subgraph('then_branch', ...nested(depth - 1))] : [])),
];

describe('a graph', () => {
  it('that is made of standard operators, in one file, as its manifest says, has no fault', () => {
    expect(faultsOf(sound())).toEqual([]);
    expect(faultsOf(sound({ opsets: [['ai.onnx', 18]] }))).toEqual([]);
    expect(faultsOf(model({ graph: [abs, ...nested(1), input, output, tensor(number(1, 1), held)] }))).toEqual([]);
  });

  it.each<[string, Buffer, string]>([
    ['is of an IR version of the future', sound({ ir: 99 }), 'The IR version is 99, not 4 to 13.'],
    ['is of an opset of the future', sound({ opsets: [['', 99]] }), 'The opset is 99, not 11 to 26.'],
    ['says no opset', sound({ opsets: [] }), 'The graph does not say which opset it uses.'],
    [
      'imports two opsets',
      sound({
        opsets: [
          ['', 17],
          ['', 18],
        ],
      }),
      'The graph imports two opsets.',
    ],
    [
      'imports operators of its own',
      sound({
        opsets: [
          ['', 18],
          ['com.microsoft', 1],
        ],
      }),
      'The graph imports operators of "com.microsoft".',
    ],
    [
      'uses an operator of its own',
      sound({}, node('Abs', ['x'], ['z'], message(7, 'evil'))),
      'A node uses the operator "Abs" of "evil".',
    ],
    [
      'uses an unknown operator',
      sound({}, node('ReadFile', [], ['z'])),
      'The operator "ReadFile" is not one that a graph may use.',
    ],
    ['repeats without a bound', sound({}, node('Loop', [], ['z'])), 'The operator "Loop" is not one that a graph may use.'],
    [
      'draws random numbers',
      sound({}, node('RandomNormal', [], ['z'])),
      'The operator "RandomNormal" is not one that a graph may use.',
    ],
    [
      'hides an operator in a graph within',
      sound({}, node('If', ['x'], ['z'], subgraph('then_branch', node('Scan', [], ['z'])))),
      'The operator "Scan" is not one that a graph may use.',
    ],
    ['has a tensor in another file', sound({}, tensor(...externally('/etc/passwd'))), 'A tensor lies in another file.'],
    [
      'has a tensor of an attribute in another file',
      sound({}, node('Constant', [], ['z'], message(5, message(1, 'value'), message(5, ...externally('../../secret'))))),
      'A tensor lies in another file.',
    ],
    [
      'states a tensor of a petabyte',
      sound({}, tensor(number(1, 2 ** 50), held)),
      'A tensor states more elements than it holds.',
    ],
    [
      'states a negative size',
      sound({}, tensor(number(1, 2n ** 64n - 1n), held)),
      'A tensor states more elements than it holds.',
    ],
    ['has sparse tensors', sound({}, message(15, '')), 'The graph holds sparse tensors.'],
    ['defines functions', sound({ further: [message(25, message(1, 'f'))] }), 'The file defines functions of its own.'],
    ['brings training', sound({ further: [message(20, '')] }), 'The file holds training information.'],
    ['has two graphs', sound({ further: [message(7, abs)] }), 'The file states twice what it may state once.'],
    ['is nested too deep', sound({}, ...nested(5)), 'Graphs lie in one another more than 4 deep.'],
    ['has too many nodes', model({ graph: Array(graphLimits.nodes + 1).fill(abs) }), 'The graph has more than 20000 nodes.'],
    [
      'has too many fields',
      sound({}, Buffer.concat(Array(graphLimits.fields).fill(number(100, 1)))),
      'The file holds more fields than are read.',
    ],
    ['is cut off', sound().subarray(0, 40), 'The file is cut off.'],
    ['states a length beyond its end', Buffer.from([0x3a, 0xff, 0xff, 0xff, 0xff, 0x7f, 0]), 'The file is cut off.'],
    ['has a number without an end', Buffer.alloc(30, 0xff), 'A number in the file has no end.'],
    ['is no message', Buffer.from('%PDF-1.7 something'), 'The file is not a Protocol Buffers message.'],
    ['is empty', Buffer.alloc(0), 'The file holds no graph.'],
    ['has another input', model({ graph: [abs, valueInfo(11, 'z', [2]), output] }), 'The inputs are z, in the manifest x.'],
    ['has one output too many', sound({}, valueInfo(12, 'z', [2])), 'The outputs are y, z, in the manifest y.'],
    ['has an input of doubles', model({ graph: [abs, valueInfo(11, 'x', [2], 11), output] }), 'The type of x is not float32.'],
    [
      'has an input of another shape',
      model({ graph: [abs, valueInfo(11, 'x', ['n', 3]), output] }),
      'The shape of x is [n, 3], in the manifest [2].',
    ],
  ])('that %s is refused in a sentence', (_what, bytes, sentence) => {
    expect(faultsOf(bytes)).toContain(sentence);
  });

  it('of 10 MB of graphs within graphs is refused within bounds', () => {
    let graph = [abs];
    for (let depth = 0; depth < 20; depth++)
      graph = [node('If', ['x'], ['y'], subgraph('then_branch', ...graph, message(10, Buffer.alloc(520_000))))];
    const bytes = model({ graph });
    expect(bytes.length).toBeGreaterThan(10e6);
    expect(faultsOf(bytes)).toEqual(['Graphs lie in one another more than 4 deep.']);
  });

  it('that was damaged anywhere is read to an end: no fault of the reader, whatever the bytes', () => {
    const bytes = sound({}, ...nested(2), tensor(number(1, 1), held), node('Constant', [], ['c'], integer('value_int', 3)));
    for (let at = 0; at < bytes.length; at++) {
      for (const bit of [1, 8, 128]) {
        const damaged = Buffer.from(bytes);
        damaged[at]! ^= bit;
        expect(Array.isArray(faultsOf(damaged))).toBe(true);
      }
      expect(faultsOf(bytes.subarray(0, at))).not.toEqual([]);
    }
  });
});

describe('a model folder', () => {
  it('whose graph may not run does not load, and its check has a line for each fault', () =>
    withFolder(async (root) => {
      const hostile = sound({ ir: 99 }, node('Loop', [], ['z']), tensor(...externally('/etc/passwd')));
      await smallModel(root, 'hostile-model', hostile);
      const loaded = await loadModelPackage('hostile-model', root);
      expect(loaded).toMatchObject({ ok: false, code: 'invalid-model', message: expect.stringContaining('"Loop"') });
      const checks = await checkModelPackage('hostile-model', root);
      expect(checks.filter(({ ok }) => !ok).map(({ check, detail }) => [check, detail])).toEqual([
        ['content', 'The IR version is 99, not 4 to 13.'],
        ['content', 'A tensor lies in another file.'],
        ['content', 'The operator "Loop" is not one that a graph may use.'],
      ]);
    }));

  it('whose graph is larger than is read is refused unread', () =>
    withFolder(async (root) => {
      await smallModel(root, 'large-model', Buffer.alloc(graphLimits.bytes + 1));
      expect(await loadModelPackage('large-model', root)).toMatchObject({ message: expect.stringContaining('larger than') });
    }));
});
