import { DataSource } from 'typeorm';
import { entities } from './entities.js';
import { Initial1763856000001 } from './migrations/0001-initial.js';
import { AuditTree1763856002000 } from './migrations/0002-audit-tree.js';
import { ConsentProvisions1763856003000 } from './migrations/0003-consent-provisions.js';
import { ExceptionalAccess1763856004000 } from './migrations/0004-exceptional-access.js';
import { PolicyEpochs1763856005000 } from './migrations/0005-policy-epochs.js';
import { Agreements1763856007000 } from './migrations/0007-agreements.js';
import { Guardians1763856007001 } from './migrations/0007b-guardians.js';
import { PartsOfStudies1763856007002 } from './migrations/0007c-parts-of-studies.js';
import { StudiesByCustodian1763856008000 } from './migrations/0008-studies-by-custodian.js';
import { LabelsLifted1763856011000 } from './migrations/0011-labels-lifted.js';
import { QueriedAttributes1763856022000 } from './migrations/0022-queried-attributes.js';
import { JoinedNames1763856023000 } from './migrations/0023-joined-names.js';
import { Statements1763856026000 } from './migrations/0026-statements.js';
import { AwaitedSince1763856027000 } from './migrations/0027-awaited-since.js';
import { Deliveries1763856028000 } from './migrations/0028-deliveries.js';
import { Prefetch1763856029000 } from './migrations/0029-prefetch.js';
import { Launches1763856029001 } from './migrations/0029b-launches.js';
import { LooksAtSources1763856030000 } from './migrations/0030-looks-at-sources.js';
import { RemovedInstances1763856031000 } from './migrations/0031-removed-instances.js';
import { ScoreRecords1763856033000 } from './migrations/0033-score-records.js';
import { StoredResults1763856034000 } from './migrations/0034-stored-results.js';
import { ScoringResults1763856035000 } from './migrations/0035-scoring-results.js';
import { ScoringAgreements1763856036000 } from './migrations/0036-scoring-agreements.js';
import { ScoringQueue1763856037000 } from './migrations/0037-scoring-queue.js';
import { ScoringFocus1763856039000 } from './migrations/0039-scoring-focus.js';
import { ScoringCaller1763856040000 } from './migrations/0040-scoring-caller.js';
import { RecordsGone1763856042000 } from './migrations/0042-records-gone.js';
import { Verdicts1763856044000 } from './migrations/0044-verdicts.js';
import { LabelsTakenOver1763856045000 } from './migrations/0045-labels-taken-over.js';
import { ScoringFocusId1763856046000 } from './migrations/0046-scoring-focus-id.js';
import { FoundCopies1763856047000 } from './migrations/0047-found-copies.js';
import { CarriedModels1763856048000 } from './migrations/0048-carried-models.js';
import { UnansweredDeliveries1763856050000 } from './migrations/0050-unanswered-deliveries.js';

/** Every migration that this version of the program knows. TypeORM runs them by the time in their name. */
const migrations = [
  Initial1763856000001,
  AuditTree1763856002000,
  ConsentProvisions1763856003000,
  ExceptionalAccess1763856004000,
  PolicyEpochs1763856005000,
  Agreements1763856007000,
  Guardians1763856007001,
  PartsOfStudies1763856007002,
  StudiesByCustodian1763856008000,
  LabelsLifted1763856011000,
  QueriedAttributes1763856022000,
  JoinedNames1763856023000,
  Statements1763856026000,
  AwaitedSince1763856027000,
  Deliveries1763856028000,
  Prefetch1763856029000,
  Launches1763856029001,
  LooksAtSources1763856030000,
  RemovedInstances1763856031000,
  ScoreRecords1763856033000,
  StoredResults1763856034000,
  ScoringResults1763856035000,
  ScoringAgreements1763856036000,
  ScoringQueue1763856037000,
  ScoringFocus1763856039000,
  ScoringCaller1763856040000,
  RecordsGone1763856042000,
  Verdicts1763856044000,
  LabelsTakenOver1763856045000,
  ScoringFocusId1763856046000,
  FoundCopies1763856047000,
  CarriedModels1763856048000,
  UnansweredDeliveries1763856050000,
];

/** Their names, as the database remembers those that it had. */
export const knownMigrations: readonly string[] = migrations.map(({ name }) => name);

/** TypeORM serves what it is good at: migrations under a lock, and the small administrative tables as repositories. */
export function createDataSource(url: string): DataSource {
  return new DataSource({
    type: 'postgres',
    url,
    entities,
    migrations,
    migrationsTransactionMode: 'all',
    synchronize: false,
    logging: false,
    poolSize: 4,
    applicationName: 'hub-admin',
  });
}
