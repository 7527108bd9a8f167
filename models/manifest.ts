import { z } from 'zod';

const coding = z.strictObject({ system: z.string().min(1), code: z.string().min(1), display: z.string().min(1) });
const dimension = z.union([z.int().positive(), z.string().min(1)]);
const tensor = z.strictObject({
  name: z.string().min(1),
  type: z.literal('float32'),
  /** Sizes; a name stands for a size that varies. */
  shape: z.array(dimension),
  description: z.string().min(1),
});

/** A tensor for the self-test: a background with balls in it, so that no data set has to lie in the folder. */
const drawnTensor = z.strictObject({
  shape: z.array(z.int().positive().max(512)).max(5),
  background: z.number(),
  balls: z.array(z.strictObject({ centre: z.array(z.number()), radius: z.number().positive(), value: z.number() })).default([]),
});

const graph = <File extends z.ZodType<string>>(file: File) =>
  z.strictObject({
    file,
    sha256: z.string().regex(/^[0-9a-f]{64}$/),
    inputs: z.array(tensor).min(1),
    outputs: z.array(tensor).min(1),
  });

/** `manifest.json` of a model folder. */
export const manifestSchema = z.strictObject({
  /** Also the name of the folder. */
  name: z.string().regex(/^[a-z][a-z0-9-]{2,63}$/),
  version: z.string().regex(/^\d+\.\d+\.\d+$/),
  title: z.string().min(1),
  licence: z.strictObject({
    /** `research-only`: trained on data that may not be used otherwise, so neither may the model. */
    use: z.enum(['unrestricted', 'research-only']),
    /** Of the graph: SPDX identifier, or LicenseRef- and a name that the card explains. */
    graph: z.string().min(1),
    /** What it was trained on; empty where nothing was. */
    data: z.array(z.strictObject({ name: z.string().min(1), licence: z.string().min(1) })),
  }),
  task: z.enum(['detection', 'classification', 'severity']),
  accepts: z.strictObject({
    /** Empty where the model reads no images. */
    modality: z.array(z.string().regex(/^[A-Z]{2,16}$/)),
    bodySite: z.array(coding).min(1),
    /** Body Part Examined (0018,0015) values that fit; a series without one fits too, the model then looks for itself. */
    bodyPartExamined: z.array(z.string().regex(/^[A-Z ]{1,16}$/)),
    transferSyntaxes: z.array(z.string().regex(/^[0-9.]+$/)),
    /** Of a model that reads a CT volume. */
    volume: z
      .strictObject({
        leastSlices: z.int().min(2),
        mostSliceSpacingMm: z.number().positive(),
        mostVoxels: z.int().positive(),
        /** Which series is chosen: see SeriesLimits. */
        mixedStacks: z.boolean().optional(),
        withoutContrast: z.boolean().optional(),
        smoothKernel: z.boolean().optional(),
      })
      .optional(),
    /** Of a model that reads laboratory values: their codes in the order of the graph's input, and how many may be missing. */
    observations: z
      .strictObject({ codes: z.array(coding).min(1), unit: z.string().min(1), mostMissing: z.int().min(0) })
      .optional(),
  }),
  /**
   * For a graph in another place than the project's folders: the model of the project whose code makes a study ready for it; its graph must
   * have the same inputs and outputs. Code is never taken from another place.
   */
  pipeline: z
    .string()
    .regex(/^[a-z][a-z0-9-]{2,63}$/)
    .optional(),
  graph: graph(z.literal('model.onnx')),
  /** Graphs that the model's code runs beside it, by name; each in a folder of its own with its card and recipe. */
  furtherGraphs: z
    .record(z.string().regex(/^[a-z][a-z0-9-]{2,63}$/), graph(z.string().regex(/^[a-z][a-z0-9-]*\/model\.onnx$/)))
    .default({}),
  /** What one job may use: its process is ended when it holds more (mebibytes), and no more jobs run at once than fit. */
  resources: z.strictObject({ memoryMb: z.int().min(64).max(65_536) }).default({ memoryMb: 3072 }),
  /** Settings of the code before and after the graph. */
  parameters: z.record(z.string(), z.number()),
  /** The operating point. */
  thresholds: z.record(z.string(), z.number()),
  /** Codes for each finding. */
  findingCodes: z.array(coding).min(1),
  /** Values of each finding beside its score and its measures. */
  findingValues: z.record(z.string(), z.strictObject({ code: coding, unit: z.string().min(1) })).default({}),
  /**
   * The values about the whole, with their code: a quantity with its UCUM unit and what it can be, or one of the coded values by its place in the list. The first is
   * the main one; `findingCount` is how many findings there are.
   */
  summary: z.record(
    z.string(),
    z.union([
      z
        .strictObject({
          code: coding,
          unit: z.string().min(1),
          minimum: z.number().optional(),
          maximum: z.number().optional(),
          integer: z.boolean().optional(),
          /** The threshold that it is compared with, by name. */
          threshold: z.string().min(1).optional(),
        })
        .refine(({ minimum, maximum }) => (minimum ?? 0) <= (maximum ?? Number.POSITIVE_INFINITY), 'minimum is above maximum'),
      z.strictObject({ code: coding, values: z.array(coding).min(2) }),
    ]),
  ),
  limitsOfUse: z.array(z.string().min(1)).min(1),
  selfTest: z.strictObject({
    feeds: z.record(z.string(), drawnTensor),
    expect: z
      .array(z.strictObject({ output: z.string(), index: z.int().min(0), value: z.number(), tolerance: z.number().positive() }))
      .min(1),
  }),
});

/** Name of the value that counts the findings. */
export const FINDING_COUNT = 'findingCount';

export type Manifest = z.infer<typeof manifestSchema>;
export type DrawnTensor = z.infer<typeof drawnTensor>;
