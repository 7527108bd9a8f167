import type { paths } from './orthanc-api.generated.js';

/**
 * What the connector asks of Orthanc's REST interface, and the parts of the answers that it uses. Paths and parameters are those of Orthanc's own
 * OpenAPI, and so are the answers that it gives a schema; it has none for what is stored, which is written here by hand.
 */
type Documented<P extends keyof paths> = paths[P]['get'];
type Answer<P extends keyof paths> = Documented<P>['responses'][200]['content']['application/json'];

/**
 * Path and query parameters of a GET. `last` of the change log is used as the Orthanc book has it ("Tracking changes"), for the OpenAPI leaves it
 * out. A flag has an empty value.
 */
export type OrthancRequest<P extends keyof paths> = Pick<Documented<P>['parameters'], 'path'> & {
  query?: Documented<P>['parameters']['query'] | (P extends '/changes' ? { last: '' } : never);
};

/** What each GET answers, as far as the source keeps to it. */
export interface OrthancAnswers extends Record<keyof paths, object> {
  '/changes': OrthancChanges;
  '/instances': unknown[];
  '/instances/{id}': OrthancInstance;
  '/instances/{id}/metadata': OrthancMetadata;
  '/series': OrthancSeries[];
  '/series/{id}': OrthancSeries;
  '/statistics': Answer<'/statistics'>;
  '/studies': OrthancStudy[];
  '/studies/{id}': OrthancStudy;
}

interface ChangeEntry {
  ChangeType: string;
  ResourceType: string;
  ID: string;
  Seq: number;
}

/** `GET /changes` (Orthanc book, "Tracking changes"). */
export interface OrthancChanges extends Omit<Required<Answer<'/changes'>>, 'Changes'> {
  Changes: ChangeEntry[];
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
