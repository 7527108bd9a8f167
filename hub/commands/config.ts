import { describeConfig } from '../config.js';
import { table } from './operate.js';

/** `hub config`: every setting with its environment variable, default and meaning; no value that is set. */
export function listSettings(): void {
  console.log(
    table(
      describeConfig().map(({ name, variable, default: fallback, meaning }) => ({
        name,
        variable,
        default: shown(name, fallback),
        meaning,
      })),
    ),
  );
}

const shown = (name: string, value: unknown): string => (name === 'secret' || value === undefined ? '' : String(value));
