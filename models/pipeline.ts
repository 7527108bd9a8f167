import type { Interpretation } from './finding.js';
import type { Manifest } from './manifest.js';
import type { Outcome } from './outcome.js';
import type { ScoreStage } from './score-messages.js';

export interface TensorData {
  data: Float32Array;
  shape: number[];
}

export type Tensors = Record<string, TensorData>;

/** A laboratory value: its FHIR Observation, in the unit that the Observation states. */
export interface ObservedValue {
  observationId: string;
  /** Of the Observation, hex. */
  sha256: string;
  codings: { system: string; code: string }[];
  value: number;
  /** UCUM. */
  unit: string;
  /** FHIR dateTime of the sample. */
  effective: string;
}

/** What is to be scored: the Part 10 files of one study, or laboratory values of one sample; the other list is empty. */
export interface Given {
  files: string[];
  observations: ObservedValue[];
}

/** What the scoring process does for a model's code. */
export interface Tools {
  /** Runs the model's graph, or the further graph of that name, as often as it is asked. */
  run(feeds: Tensors, graph?: string): Promise<Tensors>;
  /** A stage begins; `reading` has begun before the code is called. */
  stage(stage: ScoreStage): void;
  /** The share of the present stage that is done, 0 to 1. */
  progress(share: number): void;
}

/** The code of a model: `pipeline.js` in its folder exports it as `score`. It opens the files that it is given and nothing else. */
export type Score = (given: Given, manifest: Manifest, tools: Tools) => Promise<Outcome<Interpretation>>;
