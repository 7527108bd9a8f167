import { createRequire } from 'node:module';

const { default: Sequencer } = createRequire(import.meta.url)('@jest/test-sequencer') as typeof import('@jest/test-sequencer');

/** What takes longest, most of it first: the workers end together. A name that is wrong here costs time and nothing else. */
const LONGEST = [
  'journeys/outages',
  'journeys/killed-with-a-pacs',
  'delivery/deliver',
  'models/scoring',
  'access/equality',
  'security/non-interference',
  'journeys/killed-with-dimse',
  'backup/backup',
  'journeys/single-files',
  'policy/under-fire',
  'journeys/dicomweb-clients',
  'models/cerebral-haemorrhage',
  'models/covid-ct',
  'scoring/worker',
  'scoring/results',
  'ingest/follow',
  'commands/hospital',
  'audit/record',
  'policy/policy-api',
  'at-rest/rekey',
  'models/diabetic-retinopathy',
  'models/breast-mammography',
  'access/mutants',
  'models/decode',
  'journeys/hl7v2-killed',
  'journeys/killed-while-delivering',
  'journeys/killed-while-indexing',
];

export default class LongestFirst extends Sequencer {
  override async sort(tests: Parameters<InstanceType<typeof Sequencer>['sort']>[0]) {
    const place = ({ path }: { path: string }): number => {
      const found = LONGEST.findIndex((name) => path.includes(`/tests/${name}`) || path.includes(`/${name}.test.`));
      return found < 0 ? LONGEST.length : found;
    };
    const others = await super.sort(tests);
    return [...others].sort((a, b) => place(a) - place(b));
  }
}
