import type { Interpretation } from './finding.js';
import type { Manifest } from './manifest.js';
import type { Outcome } from './outcome.js';

export interface TensorData {
  data: Float32Array;
  shape: number[];
}

export type Tensors = Record<string, TensorData>;

/** A study made ready for the graph, and how to read the graph's answer. */
export interface Prepared {
  feeds: Tensors;
  studyInstanceUid: string;
  seriesInstanceUid: string;
  /** The files that were used. */
  inputs: { sopInstanceUid: string; sha256: string }[];
  interpret(outputs: Tensors): Interpretation;
}

/**
 * The code of a model: `pipeline.js` in its folder exports it as `prepare`. It gets the paths of the Part 10 files of one study;
 * `progress` gets the share of its work that is done, 0 to 1.
 */
export type Prepare = (paths: string[], manifest: Manifest, progress: (share: number) => void) => Promise<Outcome<Prepared>>;
