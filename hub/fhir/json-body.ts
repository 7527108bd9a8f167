import { invalid } from '../outcomes.js';

/** Deepest nesting of a body. FHIR resources stay below 20; a Bundle of them below 30. */
const MAX_DEPTH = 60;

/**
 * Parses a request body. Bounded in depth before it is parsed, so that a hostile tree never exists in memory.
 * @throws Refusal 400 for anything that is not one JSON object.
 */
export function parseJsonBody(body: Buffer): Record<string, unknown> {
  if (exceedsDepth(body)) throw invalid(`The body is nested deeper than ${MAX_DEPTH} levels.`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(decode(body));
  } catch {
    throw invalid('The body is not valid JSON.');
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) throw invalid('The body must be one JSON object.');
  return parsed as Record<string, unknown>;
}

function decode(body: Buffer): string {
  return new TextDecoder('utf-8', { fatal: true }).decode(body);
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

function exceedsDepth(body: Buffer): boolean {
  let depth = 0;
  let inString = false;
  for (let i = 0; i < body.length; i += 1) {
    const byte = body[i];
    if (inString) {
      if (byte === BACKSLASH) i += 1;
      else if (byte === QUOTE) inString = false;
    } else if (byte === QUOTE) inString = true;
    else if (byte === 0x7b || byte === 0x5b) {
      depth += 1;
      if (depth > MAX_DEPTH) return true;
    } else if (byte === 0x7d || byte === 0x5d) depth -= 1;
  }
  return false;
}
