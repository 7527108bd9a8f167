import { describe, expect, it } from '@jest/globals';
import { hub, refused } from './command-line.js';

describe('the command line', () => {
  it.each([
    ['', 'Usage: hub'],
    ['serve', '--demo'],
    ['hospital', 'join hospitals'],
    ['hospital add', 'YAML'],
    ['hospital list', 'Usage: hub hospital list'],
    ['hospital check', 'whether it answers'],
    ['client keygen', 'private key'],
    ['token', '--purpose'],
    ['reindex', 'from the beginning'],
    ['policy check', 'examples'],
    ['config', 'default'],
    ['account bind', '--patient'],
    ['commission add', 'auditors'],
    ['model list', 'licence'],
    ['delivery retry', 'in the right of'],
    ['model check', 'self-test'],
  ])('hub %s --help says what it does', async (command, word) => {
    const { status, stdout, stderr } = await hub([...command.split(' ').filter(Boolean), '--help']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/^Usage: hub/);
    expect(stdout).toContain(word);
  });

  it.each([
    ['nonsense', /^error: unknown command 'nonsense'\n$/],
    ['serve --domo', /^error: unknown option '--domo'.*\n(\(Did you mean --demo\?\)\n)?$/],
    ['hospital add', /^error: missing required argument 'file'\n$/],
    ['hospital list x', /^error: too many arguments.*\n$/],
    ['hospital add /nowhere/x.yaml', /^hub: ENOENT.*'\/nowhere\/x.yaml'\n$/],
    ['token', /^hub: say --as USERNAME, or --client ID with --key FILE\n$/],
    ['token --client x', /^hub: say --as USERNAME, or --client ID with --key FILE\n$/],
    ['token --as x --url http://127.0.0.1:1', /^hub: [^\n]*http:\/\/127\.0\.0\.1:1[^\n]*\n$/],
    ['client keygen /nowhere/key', /^hub: ENOENT[^\n]*\n$/],
    ['model check ../../etc', undefined],
  ])('hub %s: one line that says what is wrong, and status 1', async (command, line) => {
    const ran = await hub(command.split(' '));
    if (line) expect(ran).toEqual(refused(expect.stringMatching(line)));
    else expect([ran.status, ran.stdout.split('\n')[0]]).toEqual([1, 'FAIL ../../etc manifest: There is no such model.']);
  });

  it('says in one line that the database does not answer, without its password', async () => {
    const ran = await hub(['hospital', 'list'], { DATABASE_URL: 'postgres://hub:pass-word@127.0.0.1:1/hub' });
    expect(ran).toEqual(refused(expect.stringMatching(/^hub: connect ECONNREFUSED 127\.0\.0\.1:1\n$/)));
  });
});
