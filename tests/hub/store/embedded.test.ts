import { execFile } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { removeEmbeddedPostgres, startEmbeddedPostgres } from '../../../hub/store/embedded.js';
import { embeddedPlace } from '../../../hub/store/embedded-place.js';

describe('the embedded PostgreSQL', () => {
  let dataDir: string;
  beforeEach(() => {
    dataDir = mkdtempSync(join(tmpdir(), 'hub-embedded-'));
    chmodSync(dataDir, 0o755);
  });
  afterEach(() => removeEmbeddedPostgres(dataDir));

  const start = () => startEmbeddedPostgres({ dataDir, durable: false });
  const ask = async (url: string, statement: string): Promise<Record<string, unknown>[]> => {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    try {
      return (await client.query(statement)).rows;
    } finally {
      await client.end();
    }
  };
  /** A killed process runs on for a moment. */
  const isRunning = (pid: number): boolean => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8') !== '';
    } catch {
      return false;
    }
  };
  const pidFile = async () => join((await embeddedPlace(dataDir)).folder, 'data', 'postmaster.pid');
  /** Starts the server in a process of its own, which is killed as soon as it has the server. */
  const startAndKill = (): Promise<void> => {
    const module = new URL('../../../hub/store/embedded.js', import.meta.url).href;
    const options = JSON.stringify({ dataDir, durable: false });
    const program = `const { startEmbeddedPostgres } = await import('${module}'); await startEmbeddedPostgres(${options}); process.kill(process.pid, 'SIGKILL');`;
    return new Promise((resolve) => execFile(process.execPath, ['--input-type=module', '-e', program], () => resolve()));
  };

  it('keeps its data over a stop, on loopback alone, behind a password that only its owner reads', async () => {
    const first = await start();
    await ask(first.url, 'create table kept as select 42 as answer');
    expect(await ask(first.url, 'show listen_addresses')).toEqual([{ listen_addresses: '127.0.0.1' }]);
    await first.stop();
    const again = await start();
    expect(await ask(again.url, 'select answer from kept')).toEqual([{ answer: 42 }]);
    const { folder } = await embeddedPlace(dataDir);
    expect(statSync(join(folder, 'password')).mode & 0o777).toBe(0o600);
    const stranger = new URL(again.url);
    stranger.password = 'guess';
    await expect(ask(stranger.href, 'select 1')).rejects.toThrow(/password/);
    await again.stop();
  });

  it('is shared by processes on the same data until the last one leaves', async () => {
    const first = await start();
    const second = await start();
    expect(second.url).toBe(first.url);
    await first.stop();
    expect(await ask(second.url, 'select 1 as one')).toEqual([{ one: 1 }]);
    await second.stop();
    await expect(ask(second.url, 'select 1')).rejects.toThrow();
  });

  it('is taken over when the process that started it was killed', async () => {
    await startAndKill();
    const pid = readFileSync(await pidFile(), 'utf8').split('\n')[0];
    const next = await start();
    expect(readFileSync(await pidFile(), 'utf8').split('\n')[0]).toBe(pid);
    await next.stop();
    await expect(ask(next.url, 'select 1')).rejects.toThrow();
  });

  it('starts again when the server was killed too', async () => {
    await startAndKill();
    const pid = Number(readFileSync(await pidFile(), 'utf8').split('\n')[0]);
    process.kill(pid, 'SIGKILL');
    while (isRunning(pid)) await sleep(10);
    const next = await start();
    expect(await ask(next.url, 'select 1 as one')).toEqual([{ one: 1 }]);
    await next.stop();
  });

  it('starts although a leftover file names a process that is something else by now', async () => {
    await (await start()).stop();
    const { folder } = await embeddedPlace(dataDir);
    writeFileSync(await pidFile(), `${process.pid}\n${folder}/data\n1700000000\n5432\n\n127.0.0.1\n0\nready   \n`);
    const next = await start();
    expect(await ask(next.url, 'select 1 as one')).toEqual([{ one: 1 }]);
    await next.stop();
  });

  it('starts below a folder that no other user may enter', async () => {
    chmodSync(dataDir, 0o700);
    const server = await start();
    expect(await ask(server.url, 'select 1 as one')).toEqual([{ one: 1 }]);
    await server.stop();
  });
});
