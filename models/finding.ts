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

/** Something found: where its middle is, and every slice that it is seen on, from foot to head. */
export interface Finding extends BoxOnInstance {
  /** As the model card explains; higher is more. */
  score: number;
  diameterMm: number;
  volumeMm3: number;
  /** In the patient's space (PS3.3 C.7.6.2.1.1), mm. */
  centreMm: [x: number, y: number, z: number];
  slices: BoxOnInstance[];
}

/** What a model reads from the outputs of its graph. */
export interface Interpretation {
  /** The highest score first. */
  findings: Finding[];
  /** Values by the names that the manifest gives them under `summary`; null where there is nothing to measure. */
  summary: Record<string, number | null>;
}
