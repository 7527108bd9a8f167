import type { StudyNow } from '../../../connectors/connector.js';
import type { Origin } from '../quarantine.js';

/** What a source has of one study now, and what may be done about it. */
export interface Replacement extends Origin {
  connectorId: string;
  studyInstanceUid: string;
  now: StudyNow;
  /** When the look began, by the database: what came in since is newer than what was seen. */
  began: string;
  /** A person has confirmed that what is missing is gone. */
  confirmed: boolean;
  /** Every other study of the patient at this source agrees with what this one says of him. */
  mayCorrectPatient: boolean;
}
