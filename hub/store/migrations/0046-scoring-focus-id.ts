import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What a score is of is a study or a laboratory's report, as `focus_type` says: its id is no study's id alone. */
export class ScoringFocusId1763856046000 implements MigrationInterface {
  name = 'ScoringFocusId1763856046000';

  up = (runner: QueryRunner): Promise<void> => rename(runner, 'study', 'focus');
  down = (runner: QueryRunner): Promise<void> => rename(runner, 'focus', 'study');
}

async function rename(runner: QueryRunner, from: string, to: string): Promise<void> {
  for (const table of ['scoring_job', 'scoring_result'])
    for (const column of ['id', 'version'])
      await runner.query(`alter table ${table} rename column ${from}_${column} to ${to}_${column}`);
}
