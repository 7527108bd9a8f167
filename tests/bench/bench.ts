import { arrival } from './arrival.js';
import { audit } from './audit.js';
import { decisions } from './decisions.js';
import { limits } from './limits.js';
import { queue } from './queue.js';
import { retrieval } from './retrieval.js';
import { scale } from './scale.js';
import { scoring } from './scoring.js';

/** `npm run bench`, `npm run bench -- NAME`: each prints its figures beside a limit measured in the same run. */
const benches: Readonly<Record<string, () => Promise<void>>> = {
  limits,
  scale,
  audit,
  decisions,
  arrival,
  retrieval,
  scoring,
  queue,
};

const name = process.argv[2] ?? 'limits';
const bench = Object.hasOwn(benches, name) ? benches[name] : undefined;
if (bench) await bench();
else {
  console.error(`There is no bench '${name}': ${Object.keys(benches).join(', ')}`);
  process.exitCode = 2;
}
