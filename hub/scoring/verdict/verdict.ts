import type { Review } from '../review/review.js';
import type { ScoredImage } from '../score-record.js';
import type { Standing } from './standing.js';

/** A DICOM document that the hub made. */
export interface DocumentReference {
  sopClassUid: string;
  sopInstanceUid: string;
  seriesInstanceUid: string;
}

/** A physician's word on a score, with all that documents made of it need: kept beside the score's record, one for each version of the report that a word made. */
export interface Verdict {
  /** The version of the report that it made. */
  reportVersion: number;
  decision: Review['decision'];
  reason: NonNullable<Review['reason']>;
  /** In the physician's words. */
  text?: string;
  /** dateTime in the region's own time. */
  at: string;
  physician: string;
  /** Name of the organization that he decides for. */
  organization: string;
  /** What stands now; of what was rejected, what stood before. */
  standing: Standing;
  /** Of the study, images that findings lie on and that the model did not read. */
  images: Record<string, ScoredImage>;
  /** The documents whose content this one takes up, or that it withdraws: as those have them who know the patient, and as others do. */
  before: { named: DocumentReference[]; unnamed: DocumentReference[] };
}
