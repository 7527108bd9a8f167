/** RFC 6749 5.2 and RFC 8693 2.2.2. */
export type TokenErrorCode =
  | 'invalid_request'
  | 'invalid_client'
  | 'invalid_scope'
  | 'unsupported_grant_type'
  | 'invalid_target'
  | 'slow_down';

/**
 * A refusal of the token endpoint. `description` is only given to one who has proven who he is (then `agent` names him), or about the form of the request;
 * `reason` goes to the audit.
 */
export class TokenError extends Error {
  constructor(
    readonly error: TokenErrorCode,
    readonly reason: string,
    readonly about: { description?: string; agent?: string } = {},
  ) {
    super(reason);
    this.name = 'TokenError';
  }

  get status(): number {
    if (this.error === 'slow_down') return 429;
    return this.error === 'invalid_client' ? 401 : 400;
  }

  get body(): { error: TokenErrorCode; error_description?: string } {
    const { description } = this.about;
    return { error: this.error, ...(description ? { error_description: description } : {}) };
  }
}
