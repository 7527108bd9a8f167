/**
 * What every connector gives the hub, whatever protocol the hospital speaks: changes since a cursor, retrieval as a stream,
 * and health. A connector translates a wire format into these shapes; it never imports the hub.
 */
import type { Readable } from 'node:stream';
import type { Statement } from './statement.js';

/** Patient module as the source states it (PS3.3 C.7.1.1), text decoded to Unicode. */
export interface PatientDescription {
  /** Patient ID (0010,0020), trimmed; absent when empty. */
  patientId?: string;
  /** Issuer of Patient ID (0010,0021). */
  issuerOfPatientId?: string;
  /** Patient's Name (0010,0010), all component groups, e.g. `Wang^XiaoDong=王^小东`. */
  name?: string;
  /** FHIR date: `YYYY-MM-DD`. Absent when empty or not a real date. */
  birthDate?: string;
  sex?: 'male' | 'female' | 'other' | 'unknown';
}

/** General Study module (PS3.3 C.7.2.1). */
export interface StudyDescription {
  studyInstanceUid: string;
  patient: PatientDescription;
  /** FHIR dateTime with the precision that the source has: `YYYY`, `YYYY-MM`, `YYYY-MM-DD` or with time and offset. */
  started?: string;
  accessionNumber?: string;
  description?: string;
  /** Study ID (0020,0010). */
  studyId?: string;
  /** Referring Physician's Name (0008,0090), all component groups. */
  referringPhysicianName?: string;
  series: SeriesDescription[];
  /** Number of Study Related Instances that the source claims (0020,1208), if it says so; used to find half-sent studies. */
  claimedInstances?: number;
}

/** General Series module (PS3.3 C.7.3.1). */
export interface SeriesDescription {
  seriesInstanceUid: string;
  /** DICOM modality code, upper case, e.g. `CT`. `OT` when the source has none is NOT invented: absent means unknown. */
  modality?: string;
  number?: number;
  description?: string;
  /** Body Part Examined (0018,0015), as sent, upper case, e.g. `CHEST`. */
  bodyPartExamined?: string;
  laterality?: 'R' | 'L';
  started?: string;
  /** Performed Procedure Step Start Date and Time (0040,0244), (0040,0245) as DA and TM. */
  performedStart?: { date: string; time?: string };
  /** Request Attributes Sequence (0040,0275). */
  requestAttributes?: RequestAttributes[];
  instances: InstanceDescription[];
}

/** An item of Request Attributes Sequence (PS3.3 table 10-9), as far as it is searched for. */
export interface RequestAttributes {
  /** (0040,0009) */
  scheduledProcedureStepId?: string;
  /** (0040,1001) */
  requestedProcedureId?: string;
}

/** SOP Common and Image Pixel modules, as far as the index needs them. */
export interface InstanceDescription {
  sopInstanceUid: string;
  sopClassUid: string;
  transferSyntaxUid?: string;
  number?: number;
  title?: string;
  numberOfFrames?: number;
  /**
   * SHA-256, hex, of the bytes of the object where the connector sees them, else of its metadata in canonical order. Absent when the source only told of the
   * object: then nothing is compared.
   */
  digest?: string;
  /** Of an object that a hub delivered here: the custodian that it is of, as the hub wrote it into the object. Not known without a digest. */
  copyOf?: string;
  /** Where the connector finds the object again (opaque to the hub, at most 1,000 characters). */
  locator: string;
}

/** Why an item could not be taken. Stable codes, shown to the hospital's administrator and translated by the console. */
export type QuarantineReason =
  | 'not-dicom'
  | 'truncated'
  | 'malformed'
  | 'missing-identifier'
  | 'invalid-uid'
  | 'too-large'
  | 'source-error'
  | 'count-mismatch'
  | 'sop-instance-conflict'
  | 'patient-conflict'
  | 'removal-unconfirmed'
  | 'not-hl7'
  | 'character-set'
  | 'unsupported'
  | 'invalid-record'
  | 'unknown-reference';

/** An item that could not be read: it is kept in the visible quarantine and can be retried by its locator. */
export interface UnreadableItem {
  locator: string;
  reason: QuarantineReason;
  /** One sentence for a person; never patient data. */
  detail: string;
  /** What is known of it, when anything is. */
  digest?: string;
  studyInstanceUid?: string;
  seriesInstanceUid?: string;
  sopInstanceUid?: string;
  /** The item as it came, for a source that can't be asked again: kept encrypted, and given to `retry`. */
  message?: Uint8Array;
}

/**
 * One step of a source's change log. `cursor` may be stored once the step is committed: reading again from it repeats nothing
 * that was committed and misses nothing. Steps without a cursor are covered by the next one that has it.
 */
export type Change =
  | { kind: 'study'; study: StudyDescription; cursor?: string }
  | { kind: 'statement'; statement: Statement; cursor?: string }
  /** Something of this study may be gone from the source, or be otherwise there. It is a hint: the hub looks at the study before it believes that. */
  | { kind: 'removed'; studyInstanceUid: string; cursor?: string }
  | { kind: 'unreadable'; item: UnreadableItem; cursor?: string }
  | { kind: 'checkpoint'; cursor: string };

/** An instance that the index holds from this source. */
export interface IndexedInstance {
  studyInstanceUid: string;
  seriesInstanceUid: string;
  sopInstanceUid: string;
  locator: string;
}

/** What the index holds from one source, for a connector that compares it with what the source has. */
export interface IndexView {
  /** Studies with the number of their instances, page by page. */
  studies(): AsyncIterable<readonly { studyInstanceUid: string; instances: number }[]>;
  /** All instances, page by page. */
  instances(): AsyncIterable<readonly IndexedInstance[]>;
  /** Ids at the source of its records of a type, page by page; those that are not known to be gone. */
  records(type: string): AsyncIterable<readonly string[]>;
}

/** A study that is to be looked at. */
export interface LookRequest {
  studyInstanceUid: string;
  /** What the index holds of it from this source. */
  instances: readonly IndexedInstance[];
  /** Locators of its objects in the quarantine. */
  held: readonly string[];
  /** An instance each of a few other studies that the source should have: one that has none of them is not itself. */
  others: readonly IndexedInstance[];
}

/** Everything that a source has of one study at a moment. */
export interface StudyNow {
  /** Its parts; those that differ in the patient stay apart. Empty: the source answers, and has none of it. */
  studies: StudyDescription[];
  /** Listed and not readable: neither there nor gone. One without SOP Instance UID stands for its whole series or study. */
  unreadable: UnreadableItem[];
  /** Whether the source showed that it is the one that was indexed: what it does not have counts as gone only then. */
  isItself: boolean;
  /** The source states patient and study once for all of its objects, as C-FIND does: what it states otherwise than before it has changed for all of them. */
  statesOnce?: boolean;
}

/** What to fetch: WADO-RS resources of PS3.18 section 10.4. */
export interface RetrieveRequest {
  studyInstanceUid: string;
  seriesInstanceUid?: string;
  sopInstanceUid?: string;
  /** 1-based frame numbers; only with `sopInstanceUid`. */
  frames?: number[];
  representation: 'instances' | 'metadata' | 'frames';
  /** The indexed instances inside the request's scope, in order: connectors without a query of their own find them by locator. */
  instances: { seriesInstanceUid: string; sopInstanceUid: string; sopClassUid?: string; locator: string }[];
}

/** A retrieval ready to be piped: `multipart/related; type="application/dicom"` (or octet-stream frames), or `application/dicom+json`. */
export interface RetrieveReply {
  contentType: string;
  /** Bytes of the body, where the source says how many there are. */
  contentLength?: number;
  body: Readable;
}

/** State of a source as its connector sees it now. */
export interface SourceHealth {
  reachable: boolean;
  /** One line for an administrator; no secrets. */
  detail: string;
  latencyMs?: number;
}

/** Errors of a source that a person can act on; anything else is a defect. */
export class SourceError extends Error {
  constructor(
    readonly code: 'unreachable' | 'timeout' | 'refused' | 'bad-response' | 'not-found' | 'forbidden-address',
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.name = 'SourceError';
  }
}

/** One SOP Instance as a DICOM file (PS3.10) with its File Meta Information. */
export interface Part10Object {
  sopClassUid: string;
  sopInstanceUid: string;
  transferSyntaxUid: string;
  bytes: Uint8Array;
  /** The last item of its Original Attributes Sequence is of the change that made it, and of this object alone. */
  isReconciled?: boolean;
}

/** The identifiers of a SOP Instance and of what it belongs to. */
export interface ObjectUids {
  studyInstanceUid: string;
  seriesInstanceUid: string;
  sopInstanceUid: string;
}

/** What an archive answered to one object. */
export interface StoreOutcome {
  sopInstanceUid: string;
  /** Kept, also with a warning (coercion). */
  stored: boolean;
  /** DIMSE status (PS3.4 table B.2-1) or Failure Reason (0008,1197), e.g. 0x0000, 0xA700, 0x0110. */
  status: number;
  /** One sentence for a person; never patient data. */
  detail?: string;
  /** It was sent, and nothing tells whether it was kept. */
  unanswered?: boolean;
}

/** Takes one pushed step. Resolves after the commit, with what went to the quarantine; throws when the step is to be sent again. */
export type TakeChange = (change: Change) => Promise<readonly UnreadableItem[]>;

/** Objects of one series; others of it may come with them. */
export interface WantedHeaders {
  studyInstanceUid: string;
  seriesInstanceUid: string;
  sopInstanceUids: ReadonlySet<string>;
}

export interface Connector {
  /** Yields what is new since `cursor` (undefined: everything) and ends when there is no more. Never throws for one bad item. */
  changes(cursor: string | undefined, signal: AbortSignal, index?: IndexView): AsyncIterable<Change>;
  /**
   * Whether `changes` would yield anything since `cursor`: a few small requests at most, which a source bears several times a second. A guess is
   * allowed where it says yes. @throws SourceError when the source cannot be asked.
   */
  hasNews?(cursor: string, signal: AbortSignal): Promise<boolean>;
  /**
   * Everything that the source has of one study now, each object that is missing asked for by itself. @throws SourceError when it can't say that
   * completely, or contradicts itself: then nothing is known.
   */
  look?(study: LookRequest, signal: AbortSignal): Promise<StudyNow>;
  /** How many items the source is known to have that come after `cursor`; undefined when it can't tell. @throws SourceError when it cannot be asked. */
  backlog?(cursor: string | undefined, signal: AbortSignal): Promise<number | undefined>;
  /** Reads one quarantined item again; `message` is what was kept of it, `sopClassUid` spares a PACS being asked for every class. */
  retry(item: { locator: string; message?: Uint8Array; sopClassUid?: string }, signal: AbortSignal): Promise<Change>;
  /** Reads the headers of many objects of a series at once, for a source whose listing does not show them: a study or an unreadable item each. @throws SourceError. */
  headers?(wanted: WantedHeaders, signal: AbortSignal): Promise<readonly Change[]>;
  retrieve(request: RetrieveRequest, signal: AbortSignal): Promise<RetrieveReply>;
  /**
   * Has the archive keep objects: STOW-RS, C-STORE, a file. Yields an outcome for each, in the order given; one that is refused stops no other.
   * Storing again what the archive has is no error; where the archive can be asked, another object of a SOP Instance UID that it has is refused (0111H). @throws SourceError when the archive cannot be asked.
   */
  store?(objects: AsyncIterable<Part10Object>, signal: AbortSignal): AsyncIterable<StoreOutcome>;
  /** Where an object that was stored is found again: the locator that `changes` will state for it, and that `retry` reads it by. */
  storedLocator?(uids: ObjectUids): string;
  /**
   * Takes what the hospital pushes (C-STORE, MLLP). A sender is told of success only after `take` resolved. Resolves when it listens; stops when
   * `signal` is aborted. Only one process listens for a source at a time. @throws SourceError when it cannot listen.
   */
  listen?(take: TakeChange, signal: AbortSignal): Promise<void>;
  health(signal: AbortSignal): Promise<SourceHealth>;
  close(): Promise<void>;
}
