import type { Change } from '../../connectors/connector.js';

/** What became of one step of a source: taken, held in the quarantine, or failed and to be said again. */
export interface TakenStep {
  hospital: string;
  connector: string;
  kind: Exclude<Change['kind'], 'checkpoint'>;
  result: 'taken' | 'held' | 'failed';
}

/** How many steps this process took from each source, by what they were and what became of them. */
export interface StepCounts {
  count(step: TakenStep): void;
  all(): Iterable<TakenStep & { steps: number }>;
}

export function createStepCounts(): StepCounts {
  const counts = new Map<string, TakenStep & { steps: number }>();
  return {
    count: ({ hospital, connector, kind, result }) => {
      const key = [hospital, connector, kind, result].join('\n');
      const known = counts.get(key);
      if (known) known.steps += 1;
      else counts.set(key, { hospital, connector, kind, result, steps: 1 });
    },
    all: () => counts.values(),
  };
}
