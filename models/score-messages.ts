import type { Interpretation } from './finding.js';
import type { Outcome } from './outcome.js';
import type { Given } from './pipeline.js';

/** What the parent asks of the scoring process, as its only message. */
export type ScoreTask =
  | {
      kind: 'score';
      folder: string /** File of the model's code. */;
      pipeline: string;
      given: Given;
      threads: number;
      thresholds: Record<string, number>;
    }
  /** Loads the graph, compares its inputs and outputs with the manifest and runs the self-test. */
  | { kind: 'check'; folder: string; threads: number };

export type ScoreStage = 'reading' | 'computing' | 'measuring';

/** What the scoring process answers: any number of `progress`, then one of the others. */
export type ScoreMessage =
  | { kind: 'progress'; stage: ScoreStage; share: number }
  | { kind: 'scored'; outcome: Outcome<Scored> }
  | { kind: 'checked'; outcome: Outcome<ModelCheck[]> };

export interface Scored extends Interpretation {
  model: { name: string; version: string; sha256: string };
  runtime: { node: string; onnxruntime: string; threads: number };
  /** The operating point that was used. */
  thresholds: Record<string, number>;
  /** Milliseconds from the start of the process's work, in all and by stage. */
  elapsedMs: number;
  stagesMs: Record<ScoreStage, number>;
  peakMemoryBytes: number;
}

export interface ModelCheck {
  check: 'manifest' | 'hash' | 'card' | 'content' | 'graph' | 'self-test';
  ok: boolean;
  detail: string;
}
