import type { QuarantineReason, UnreadableItem } from '../../../connectors/connector.js';
import type { Statement } from '../../../connectors/statement.js';
import { Refusal } from '../../outcomes.js';
import { RemovalUnconfirmed } from './removal-guard.js';

/** A statement that was refused, as an item that can be tried again: which elements, and what is wrong with them, never what they hold. */
export function asRefused({ locator, message }: Statement, error: unknown): UnreadableItem {
  const kept = { locator, ...(message ? { message } : {}) };
  if (!(error instanceof Refusal)) return { ...kept, reason: 'malformed', detail: 'The hub can not take this statement.' };
  const said = error.issues.slice(0, 5).map(({ expression = [], diagnostics = '', code }) => {
    const [element] = expression;
    return element ? `${element}: ${diagnostics || code}` : diagnostics || code;
  });
  return { ...kept, reason: reasonOf(error), detail: said.join(' ').slice(0, 1_000) };
}

function reasonOf(error: Refusal): QuarantineReason {
  const { status, issues } = error;
  if (error instanceof RemovalUnconfirmed) return 'removal-unconfirmed';
  if (status === 409) return 'patient-conflict';
  return issues.some((issue) => issue.code === 'not-found') ? 'unknown-reference' : 'invalid-record';
}
