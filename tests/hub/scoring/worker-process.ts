/**
 * A scoring worker in a process of its own, to be stopped or killed: `node worker-process.js DATABASE_URL FOLDER MODELS [WORD]`. Says on stdout how far
 * it is; when it first says that word it stops, till it is told to go on.
 */
import { openAudit } from '../../../hub/audit/record.js';
import { loadModels } from '../../../hub/scoring/models.js';
import { startScoringWorkers } from '../../../hub/scoring/worker.js';
import { openDatabase } from '../../../hub/store/database.js';
import { retrieveFrom } from './phantom-study.js';
import { testProtection } from '../../support/test-database.js';

const [url = '', folder = '', modelsRoot, stopsAt] = process.argv.slice(2);
let isToStop = true;
const say = (word: string) => {
  process.stdout.write(`${word}\n`);
  if (word !== stopsAt || !isToStop) return;
  isToStop = false;
  process.kill(process.pid, 'SIGSTOP');
};
const db = await openDatabase(url, { protection: testProtection(), poolSize: 4 });
const retrieve = retrieveFrom(folder);
startScoringWorkers({
  db,
  audit: await openAudit(db, url),
  config: { scoringTimeout: 100, scoringMemory: 16_384 },
  models: await loadModels(modelsRoot),
  modelsRoot,
  retrieve: async (of, signal) => {
    say('retrieving');
    const reply = await retrieve(of, signal);
    if (of.seriesInstanceUid.endsWith('.2')) reply.body.on('end', () => say('retrieved'));
    return reply;
  },
  log: { info: () => say('scored'), warn: () => say('failed'), error: () => say('error') },
  count: 1,
  leaseSeconds: 1.5,
  idleSeconds: 0.1,
});
