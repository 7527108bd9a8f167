import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { freePort } from '../../support/free-port.js';
import { emptyDatabase } from '../../support/test-database.js';
import { hub, refused, workFolder } from './command-line.js';

const MAIN = fileURLToPath(new URL('../../../hub/main.js', import.meta.url));
/** Nobody listens there: what is to be refused is refused before the database is asked. */
const NOWHERE = 'postgres://hub@127.0.0.1:1/hub';
const production = { HUB_PRODUCTION: 'true', HUB_SECRET: 'c29tZSByYW5kb20gYnl0ZXMgb2YgYW4gb3BlcmF0b3I=', DATABASE_URL: NOWHERE };

describe('hub serve', () => {
  let work: Awaited<ReturnType<typeof workFolder>>;
  beforeAll(async () => {
    work = await workFolder();
  });
  afterAll(() => work.remove());

  it.each<[string, Record<string, string>, string[], RegExp]>([
    ['the default secret', { HUB_SECRET: 'demonstration-secret-change-me' }, [], /not fit for production: secret/],
    ['the demonstration', {}, ['--demo'], /not fit for production: demo/],
    [
      'plain HTTP beyond loopback',
      { HUB_HOST: '0.0.0.0', HUB_PUBLIC_URL: 'https://hub.example' },
      [],
      /not fit for production: tlsCert/,
    ],
    ['an address without TLS', { HUB_PUBLIC_URL: 'http://hub.example' }, [], /not fit for production: publicUrl/],
    ['a sign-in without TLS', { HUB_OIDC_ISSUER: 'http://idp.example' }, [], /not fit for production: oidcIssuer/],
  ])('refuses in production %s', async (_, environment, options, line) => {
    const ran = await hub(['serve', ...options], { ...production, ...environment });
    expect(ran).toEqual(refused(expect.stringMatching(/^hub: configuration: [^\n]+\n$/)));
    expect(ran.stderr).toMatch(line);
  });

  it.each<[string, Record<string, string>, string]>([
    ['a variable that does not exist', { HUB_SECERT: 'x' }, 'hub: configuration: unknown variable HUB_SECERT\n'],
    ['a port that is none', { PORT: 'eighty' }, 'hub: configuration: port: Invalid input: expected number, received NaN\n'],
    [
      'a file of settings that is not there',
      { HUB_CONFIG: '/nowhere.yaml' },
      "hub: ENOENT: no such file or directory, open '/nowhere.yaml'\n",
    ],
  ])('refuses %s', async (_, environment, line) => {
    expect(await hub(['serve'], { DATABASE_URL: NOWHERE, ...environment })).toEqual(refused(line));
  });

  it.each([
    ['a setting that does not exist', 'publikUrl: https://hub.example\n', /^hub: configuration: .*publikUrl.*\n$/],
    ['no YAML', 'host: [127.0.0.1\n', /^hub: \/[^\n]*config\.yaml:2:1: [^\n]*\n$/],
    ['no settings', '- host\n', /^hub: configuration: [^\n]* does not hold settings by name\n$/],
  ])('refuses a file of settings with %s', async (_, text, line) => {
    const file = await work.write('config.yaml', text);
    expect(await hub(['serve'], { DATABASE_URL: NOWHERE, HUB_CONFIG: file })).toEqual(refused(expect.stringMatching(line)));
  });

  it('runs by a file of settings, over which the environment wins, and drains', async () => {
    const database = await emptyDatabase();
    const port = await freePort();
    const settings = {
      databaseUrl: database.url,
      port: 1,
      workers: 0,
      logLevel: 'silent',
      secret: 'secret-of-the-tests-only',
      publicUrl: 'https://hub.example/',
    };
    const file = await work.write(
      'hub.yaml',
      Object.entries(settings)
        .map(([name, value]) => `${name}: ${value}\n`)
        .join(''),
    );
    const child = spawn(process.execPath, [MAIN, 'serve'], { env: { HUB_CONFIG: file, PORT: String(port) }, stdio: 'ignore' });
    const exited = once(child, 'exit');
    try {
      const metadata = await untilAnswered(`http://127.0.0.1:${port}/.well-known/oauth-authorization-server`);
      expect(metadata).toMatchObject({ issuer: 'https://hub.example' });
    } finally {
      child.kill('SIGTERM');
      expect((await exited)[0]).toBe(0);
      await database.drop();
    }
  });
});

async function untilAnswered(url: string): Promise<unknown> {
  for (let i = 0; i < 600; i += 1) {
    const answer = await fetch(url).catch(() => undefined);
    if (answer?.ok) return answer.json();
    await sleep(100);
  }
  throw new Error(`${url} does not answer`);
}
