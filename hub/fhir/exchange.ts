import type { Caller, RequestContext } from '../access/caller.js';
import type { Access } from '../access/access.js';
import type { ResourceWriter } from '../access/write-request.js';
import type { Audit } from '../audit/vocabulary.js';
import type { Config } from '../config.js';
import type { Database } from '../store/database.js';
import type { CursorSigner } from './cursor.js';

/** One FHIR interaction as asked, over HTTP or as an entry of a batch. */
export interface FhirRequest {
  method: 'GET' | 'POST' | 'PUT';
  /** Path below the base, e.g. `['ImagingStudy', '123']`. */
  path: readonly string[];
  /** Parameters in order, decoded; repeated ones stay repeated. */
  query: readonly (readonly [string, string])[];
  ifMatch?: string;
  ifNoneExist?: string;
  ifNoneMatch?: string;
  /** `handling=strict`: an unknown parameter is an error. */
  strict: boolean;
  body?: unknown;
  caller: Caller;
  context: RequestContext;
}

/** The answer: a body that is JSON text already. */
export interface FhirResponse {
  status: number;
  body?: string;
  headers?: Record<string, string>;
}

/** What the FHIR face works with. */
export interface FhirDeps {
  db: Database;
  access: Access;
  audit: Audit;
  config: Config;
  cursors: CursorSigner;
  /** Domain writers by resource type; the others are written as they are. */
  writers: Readonly<Record<string, ResourceWriter>>;
}
