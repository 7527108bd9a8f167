import type { Logger } from 'pino';

/**
 * The log as every part of the hub gets it. An error that nobody expected is told by its kind, its code and where it was thrown: the texts of
 * databases and parsers quote the data that they could not take, so no message is written.
 */
export const withoutData = (log: Logger): Logger => log.child({}, { serializers: { err: (error) => fault(error) } });

interface Fault {
  type: string;
  code?: string;
  constraint?: string;
  at: string[];
  cause?: Fault;
}

const DEEPEST_CAUSE = 4;

function fault(error: unknown, depth = 0): Fault {
  const { name, code, constraint, stack, cause } = (error ?? {}) as Error & { code?: unknown; constraint?: unknown };
  return {
    type: name ?? typeof error,
    ...(typeof code === 'string' ? { code } : {}),
    ...(typeof constraint === 'string' ? { constraint } : {}),
    at: framesOf(stack ?? ''),
    ...(cause && depth < DEEPEST_CAUSE ? { cause: fault(cause, depth + 1) } : {}),
  };
}

/** Where an error was thrown, without its message. */
const framesOf = (stack: string): string[] =>
  stack
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .slice(0, 8)
    .map((line) => line.trim());
