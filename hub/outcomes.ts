/** FHIR OperationOutcome.issue (R4). */
export interface Issue {
  severity: 'fatal' | 'error' | 'warning' | 'information';
  /** FHIR issue-type code. */
  code: string;
  diagnostics?: string;
  /** FHIRPath of the element at fault. */
  expression?: string[];
  details?: { coding: { system: string; code: string }[]; text?: string };
}

/**
 * An expected failure: a status and the issues that the caller is told. Anything else that is thrown is a defect or an outage; it is
 * logged once and answered with no detail.
 */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly issues: readonly Issue[],
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(issues[0]?.diagnostics ?? issues[0]?.code ?? 'refused');
    this.name = 'Refusal';
  }
}

export interface OperationOutcome {
  resourceType: 'OperationOutcome';
  issue: readonly Issue[];
}

export const outcome = (issues: readonly Issue[]): OperationOutcome => ({ resourceType: 'OperationOutcome', issue: issues });

const one = (status: number, code: string, diagnostics: string, expression?: string): Refusal =>
  new Refusal(status, [{ severity: 'error', code, diagnostics, ...(expression ? { expression: [expression] } : {}) }]);

/** 400: the request can't be understood; names the element or parameter. */
export const invalid = (diagnostics: string, expression?: string): Refusal => one(400, 'invalid', diagnostics, expression);
/** 400: something that this server does not do. */
export const notSupported = (diagnostics: string, expression?: string): Refusal =>
  one(400, 'not-supported', diagnostics, expression);
/** 400: a search that the database gave up on; a narrower one may do. */
export const tooCostly = (): Refusal => one(400, 'too-costly', 'The search takes too long: narrow it.');
/** 401: no hint why. */
export const unauthenticated = (): Refusal =>
  new Refusal(401, [{ severity: 'error', code: 'login', diagnostics: 'Authentication is required.' }], {
    'www-authenticate': 'Bearer realm="hub"',
  });
/** 403: known to the caller, but not his; `reason` is a code of the denial-reason system. */
export const forbidden = (diagnostics: string, reason?: { system: string; code: string }): Refusal =>
  new Refusal(403, [{ severity: 'error', code: 'forbidden', diagnostics, ...(reason ? { details: { coding: [reason] } } : {}) }]);
/** 404: the same for what does not exist and for what the caller may not know of. */
export const notFound = (): Refusal => one(404, 'not-found', 'No such resource.');
export const gone = (): Refusal => one(410, 'deleted', 'The resource was deleted.');
/** 406: none of the media types that the client takes. */
export const notAcceptable = (diagnostics = 'This is not answered in the media types of the Accept header.'): Refusal =>
  one(406, 'not-supported', diagnostics);
export const methodNotAllowed = (diagnostics: string): Refusal => one(405, 'not-supported', diagnostics);
export const conflict = (diagnostics: string, expression?: string): Refusal => one(409, 'conflict', diagnostics, expression);
export const preconditionFailed = (diagnostics: string): Refusal => one(412, 'conflict', diagnostics);
export const tooLarge = (diagnostics: string): Refusal => one(413, 'too-long', diagnostics);
/** 422: understood, but against the profiles or business rules. */
export const unprocessable = (issues: readonly Issue[]): Refusal => new Refusal(422, issues);
/** 429: again after so many seconds. */
export const tooMany = (diagnostics: string, retryAfter = 1): Refusal =>
  new Refusal(429, [{ severity: 'error', code: 'throttled', diagnostics }], { 'retry-after': String(retryAfter) });
/** 502/504: the custodian's source does not answer as it should. */
export const sourceFailed = (status: 502 | 504, diagnostics: string): Refusal => one(status, 'transient', diagnostics);
/** 503: nothing is shown when the audit or the database can't be written. */
export const unavailable = (): Refusal =>
  new Refusal(503, [{ severity: 'error', code: 'transient', diagnostics: 'The service is not available.' }], {
    'retry-after': '5',
  });
