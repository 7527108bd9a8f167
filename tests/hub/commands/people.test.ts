import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TEST_SECRET, type TestDatabase, testDatabase } from '../../support/test-database.js';
import { hub, refused } from './command-line.js';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase();
});
afterAll(() => database.close());

const run = (...args: string[]) =>
  hub(args, { DATABASE_URL: database.url, HUB_SECRET: TEST_SECRET, HUB_OIDC_ISSUER: 'https://id.example' });
const bind = (...args: string[]) => run('account', 'bind', '--name', '林静', '--role', 'auditor', ...args);

describe('an empty hub gets its commission and its people', () => {
  it('nobody is bound to an organization that is not there', async () => {
    expect(await bind('--subject', 'lin', '--organization', 'commission')).toEqual(
      refused('hub: there is no Organization/commission\n'),
    );
  });

  it('the commission is entered, an auditor bound, listed and disabled, each on record', async () => {
    expect(await run('commission', 'add', 'commission', '云河省卫生健康委员会')).toMatchObject({ status: 0, stderr: '' });
    const bound = await bind('--subject', 'lin', '--organization', 'commission');
    const id = /^Account\/(\S+): auditor\n$/.exec(bound.stdout)?.[1] ?? '';
    expect(bound).toMatchObject({ status: 0, stderr: '' });
    expect((await run('account', 'list')).stdout).toMatch(new RegExp(`^${id} +lin +林静 +auditor +commission +true$`, 'm'));
    expect(await run('account', 'disable', id)).toMatchObject({ status: 0, stdout: `Account/${id} is disabled\n` });
    expect((await run('account', 'list')).stdout).toMatch(/ false$/m);
    const { rows } = await database.db.pool.query('select subtype from audit_event order by id');
    expect(rows.map((r) => r.subtype)).toEqual(['commission-add', 'bind-account', 'disable-account']);
  });

  it('a role that the hub does not know is refused', async () => {
    const ran = await run('account', 'bind', '--subject', 'x', '--name', 'x', '--role', 'owner', '--organization', 'commission');
    expect(ran).toMatchObject({ status: 1, stdout: '' });
    expect(ran.stderr).toMatch(/^hub: roles[^\n]*\n$/);
  });
});
