import { z } from 'zod';
import { MAX_SCOPE_LENGTH } from './scopes.js';
import { TokenError } from './token-error.js';
import { MAX_TOKEN_LENGTH } from './verify-access-token.js';

const word = z.string().min(1).max(200);
const token = z.string().min(1).max(MAX_TOKEN_LENGTH);

const form = z.object({
  grant_type: word,
  scope: z.string().min(1).max(MAX_SCOPE_LENGTH).optional(),
  client_id: word.optional(),
  client_assertion_type: word.optional(),
  client_assertion: token.optional(),
  subject_token: token.optional(),
  subject_token_type: word.optional(),
  requested_token_type: word.optional(),
  audience: z.string().max(500).optional(),
  resource: z.string().max(500).optional(),
  /** The hub's own: the capacity in which the token shall act. */
  role: word.optional(),
  purpose_of_use: word.optional(),
  /** SMART App Launch 2: the context that a hospital's system opened. */
  launch: word.optional(),
});

/** Parameters of the token endpoint; each may be sent once (RFC 6749 3.2). Unknown ones are ignored, as the RFC demands. */
export type TokenForm = z.infer<typeof form>;

/** RFC 6749 5.1, RFC 8693 2.2.1. */
export interface TokenResponse {
  access_token: string;
  token_type: 'bearer';
  /** Seconds. */
  expires_in: number;
  scope: string;
  issued_token_type?: string;
  /** SMART App Launch 2, launch context: id of the Patient. */
  patient?: string;
  need_patient_banner?: boolean;
}

/** @throws {TokenError} `invalid_request` */
export function readTokenForm(payload: unknown): TokenForm {
  const result = form.safeParse(payload);
  if (result.success) return result.data;
  const name = result.error.issues[0]?.path.join('.') || 'body';
  throw new TokenError('invalid_request', `form: ${name}`, { description: `${name}: missing, repeated, empty or too long` });
}
