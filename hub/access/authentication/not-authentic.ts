/** A credential that does not hold. The reason is for the log and the audit; the one who sent it is told nothing. */
export class NotAuthentic extends Error {
  constructor(readonly reason: string) {
    super(reason);
    this.name = 'NotAuthentic';
  }
}

/** What went wrong, as a word: jose's stable codes (`ERR_JWT_EXPIRED`), or the reason itself. Rethrows what is no failed credential. */
export function reasonOf(error: unknown): string {
  if (error instanceof NotAuthentic) return error.reason;
  const code = (error as { code?: unknown } | undefined)?.code;
  if (typeof code === 'string' && /^ERR_(JW|JOSE)/.test(code)) return code;
  throw error;
}
