/** What is wrong with a policy, and on which line of its table. */
export interface PolicyFault {
  line?: number;
  message: string;
}

/** A policy with a fault is no policy. */
export class PolicyError extends Error {
  constructor(readonly faults: readonly PolicyFault[]) {
    super(`policy: ${faults.map(({ line, message }) => (line ? `line ${line}: ${message}` : message)).join('; ')}`);
    this.name = 'PolicyError';
  }
}
