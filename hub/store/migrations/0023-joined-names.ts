import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Names that are written in several parts are found with the parts joined, too: `wang xiaodong` by `wangxiaodong`. */
export class JoinedNames1763856023000 implements MigrationInterface {
  name = 'JoinedNames1763856023000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      insert into name_word (type, word, id)
      select distinct type, regexp_replace(word, '[[:space:]^=,;·]+', '', 'g'), id from name_word where word ~ '[[:space:]^=,;·]'
      on conflict do nothing`);
  }

  async down(): Promise<void> {
    // the joined words do no harm
  }
}
