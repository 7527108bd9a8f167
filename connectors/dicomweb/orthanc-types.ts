/** The parts of Orthanc's REST answers that the connector uses. */

/** `GET /changes` (Orthanc book, "Tracking changes"). */
export interface OrthancChanges {
  Changes: { ChangeType: string; ResourceType: string; ID: string; Seq: number }[];
  Done: boolean;
  Last: number;
}

/** `GET /instances/{id}`. */
export interface OrthancInstance {
  ID: string;
  ParentSeries: string;
  MainDicomTags: { SOPInstanceUID?: string };
}

/** `GET /series/{id}`. */
export interface OrthancSeries {
  ParentStudy: string;
  Instances?: string[];
  MainDicomTags: { SeriesInstanceUID?: string };
}

/** `GET /studies/{id}`. */
export interface OrthancStudy {
  ID: string;
  MainDicomTags: { StudyInstanceUID?: string };
}

/** `GET /instances/{id}/metadata?expand`. */
export interface OrthancMetadata {
  TransferSyntax?: string;
}

/** `GET /statistics`. */
export interface OrthancStatistics {
  CountInstances: number;
}
