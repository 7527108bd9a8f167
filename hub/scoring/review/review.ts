import { z } from 'zod';

export const DECISIONS = ['accept', 'correct', 'reject'] as const;

/** Why: codes of `systems.reviewReason`. */
export const REASONS = [
  'agreed',
  'false-positive',
  'missed-finding',
  'wrong-place',
  'wrong-value',
  'image-quality',
  'not-applicable',
  'other',
] as const;

/** Lines of a physician's own words. */
const words = z
  .string()
  .trim()
  .min(1)
  .max(4000)
  .regex(/^(?:[^\p{Cc}]|\n)*$/u, 'control characters are not taken');

const OBSERVATION = z.string().regex(/^Observation\/[A-Za-z0-9-]{1,64}$/);
const pixels = z.number().min(0).max(65_535);
const side = z.number().positive().max(65_535);

/** In pixels of one frame, from its upper left corner (PS3.3 C.10.5 SCOORD). */
const box = z.strictObject({
  sopInstanceUid: z.string().regex(/^(?=.{1,64}$)(0|[1-9]\d*)(\.(0|[1-9]\d*))+$/),
  frame: z.int().min(1).max(65_535).default(1),
  x: pixels,
  y: pixels,
  width: side,
  height: side,
});
const seen = {
  box: box.optional(),
  diameterMm: z.number().positive().max(2000).optional(),
  text: words.optional(),
};

const finding = z.discriminatedUnion('change', [
  z.strictObject({ change: z.literal('remove'), observation: OBSERVATION }),
  z
    .strictObject({ change: z.literal('change'), observation: OBSERVATION, ...seen })
    .refine((f) => f.box ?? f.diameterMm ?? f.text, 'a change says what is changed'),
  z.strictObject({ change: z.literal('add'), ...seen, box }),
]);

/** No value of a model is larger; its manifest says more. */
const MOST = 1e9;

/** One of the values about the whole by its code: a number in the model's unit, a code among the model's, or null where there is nothing to say. */
const value = z.strictObject({
  code: z.string().min(1).max(64),
  value: z.union([z.number().min(-MOST).max(MOST), z.string().min(1).max(64), z.null()]),
});

/** A physician's word on a machine's report. */
export const review = z
  .strictObject({
    decision: z.enum(DECISIONS),
    reason: z.enum(REASONS).optional(),
    text: words.optional(),
    /** What a correction says of the whole: is there what the model looks for. */
    positive: z.boolean().optional(),
    findings: z.array(finding).max(100).default([]),
    values: z.array(value).max(20).default([]),
  })
  .superRefine(({ decision, reason, text, positive, findings, values }, context) => {
    const wrong = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message });
    if (decision === 'correct' && positive === undefined) wrong('positive', 'a correction says whether the whole is positive');
    if (decision !== 'correct' && (positive !== undefined || findings.length + values.length > 0))
      wrong('decision', 'only a correction changes findings and values');
    if (decision === 'accept' && (reason ?? 'agreed') !== 'agreed') wrong('reason', 'who accepts agrees');
    if (decision !== 'accept' && (reason === undefined || reason === 'agreed')) wrong('reason', 'a reason is expected');
    if (reason === 'other' && text === undefined) wrong('text', 'another reason is told in words');
    const named = findings.flatMap((f) => ('observation' in f ? [f.observation] : []));
    if (new Set(named).size < named.length) wrong('findings', 'each finding is changed once');
    if (new Set(values.map((v) => v.code)).size < values.length) wrong('values', 'each value is given once');
  });

export type Review = z.infer<typeof review>;
export type FindingChange = Review['findings'][number];
export type Box = z.infer<typeof box>;
