/** What a model says about a study, whatever the model. */

/** A box in the pixels of a frame: `x`, `y` is the upper left corner, (0, 0) the upper left corner of the image (PS3.3 C.10.5 SCOORD). */
export interface PixelBox {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** A box on one frame of one instance. Frames count from 1, as in DICOM. */
export interface BoxOnInstance {
  sopInstanceUid: string;
  frame: number;
  box: PixelBox;
}

/** Something found: where its middle is, and every slice that it is seen on, from foot to head. What was not measured is absent. */
export interface Finding extends BoxOnInstance {
  /** As the model card explains; higher is more. */
  score: number;
  /** What the score is made of, by the names that the manifest gives under `findingValues`. */
  evidence?: Record<string, number>;
  diameterMm?: number;
  volumeMm3?: number;
  /** In the patient's space (PS3.3 C.7.6.2.1.1), mm. */
  centreMm?: [x: number, y: number, z: number];
  /** The part of the body that it lies in, more exact than the model's own body site. */
  site?: { system: string; code: string; display: string };
  /** Where in the site, in words. */
  siteText?: string;
  slices: BoxOnInstance[];
}

/** What the score is made of, by place: even cells over a box on one frame. */
export interface HeatMap extends BoxOnInstance {
  rows: number;
  columns: number;
  /** Row by row from the top, 0 to 1. */
  values: number[];
}

/** What one input adds to the score, in the model's own terms. */
export interface Contribution {
  code: { system: string; code: string; display: string };
  value: number;
}

/** What went in: a file of the study, or a laboratory value, each with its digest (hex). */
export type Input = { sopInstanceUid: string; sha256: string } | { observationId: string; sha256: string };

/** What a model says. */
export interface Interpretation {
  /** Absent where the model reads no images. */
  studyInstanceUid?: string;
  /** The series that was scored. */
  seriesInstanceUid?: string;
  inputs: Input[];
  /** Whether the operating point is reached: the interpretation of the whole. */
  positive: boolean;
  /** The highest score first. */
  findings: Finding[];
  /** The most telling first. */
  maps?: HeatMap[];
  /** The strongest first. */
  contributions?: Contribution[];
  /** Values by the names that the manifest gives them under `summary`; null where there is nothing to measure. */
  summary: Record<string, number | null>;
}
