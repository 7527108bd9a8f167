import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chownSync, closeSync, existsSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import { type EmbeddedPlace, embeddedPlace } from './embedded-place.js';

const execute = promisify(execFile);

export interface EmbeddedOptions {
  /** Folder for the cluster; it is made where there is none. */
  dataDir: string;
  /** Loopback port; a free one by default. */
  port?: number;
  /** False only for tests: a crash of the machine may then lose data. */
  durable?: boolean;
  /** Takes one line on what is going on. */
  log?: (line: string) => void;
}

export interface EmbeddedPostgres {
  url: string;
  /** Leaves the server; the last process to leave stops it. */
  stop(): Promise<void>;
}

/** Name of the connection that each process keeps open to show that it uses the server; a killed process loses it by itself. */
const PRESENCE = 'hub-presence';
const START_ATTEMPTS = 5;

/**
 * Runs PostgreSQL from the installed package, on loopback, with a random password that lies beside the data (mode 0600). A server that
 * still runs on the same data (another hub process, or one left behind by a SIGKILL) is joined instead of started twice.
 * @throws Error when it can't be started, with the last lines of its log.
 */
export async function startEmbeddedPostgres(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const log = options.log ?? (() => undefined);
  const at = await embeddedPlace(options.dataDir);
  await initialise(at, log);
  const running = await runningPort(at);
  const port = running ?? (await start(at, options, log));
  log(`PostgreSQL ${running ? 'joined' : 'ready'} on 127.0.0.1:${port} (${at.folder})`);
  const url = `postgresql://hub:${readFileSync(passwordFile(at), 'utf8').trim()}@127.0.0.1:${port}/postgres`;
  const presence = new pg.Client({ connectionString: url, application_name: PRESENCE });
  presence.on('error', () => undefined);
  await presence.connect();
  return { url, stop: () => leave(at, presence) };
}

/** Stops the server on this data, if one runs, and deletes the data. */
export async function removeEmbeddedPostgres(dataDir: string): Promise<void> {
  const at = await embeddedPlace(dataDir);
  if (await runningPort(at)) await pgCtl(at, ['stop', '-m', 'immediate', '-w']);
  rmSync(at.folder, { recursive: true, force: true });
  rmSync(dataDir, { recursive: true, force: true });
}

const dataFolder = (at: EmbeddedPlace): string => join(at.folder, 'data');
const passwordFile = (at: EmbeddedPlace): string => join(at.folder, 'password');
const logFile = (at: EmbeddedPlace): string => join(at.folder, 'log');

/** Makes the cluster in a draft folder that is renamed at the end: an interrupted start leaves nothing half-made. */
async function initialise(at: EmbeddedPlace, log: (line: string) => void): Promise<void> {
  if (existsSync(join(dataFolder(at), 'PG_VERSION'))) return;
  log('PostgreSQL: making a new database cluster (a few seconds, once)');
  const draft = `${dataFolder(at)}.draft`;
  rmSync(draft, { recursive: true, force: true });
  writeFileSync(passwordFile(at), `${randomBytes(24).toString('base64url')}\n`, { mode: 0o600 });
  if (at.user) {
    chownSync(passwordFile(at), at.user.uid, at.user.gid);
    chownSync(at.folder, at.user.uid, at.user.gid);
  }
  const flags = ['--username=hub', `--pwfile=${passwordFile(at)}`, '--auth=scram-sha-256', '--encoding=UTF8'];
  const locale = ['--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'];
  await execute(at.initdb, ['-D', draft, ...flags, ...locale, '--no-sync'], { ...at.user, cwd: at.folder });
  renameSync(draft, dataFolder(at));
}

/** Starts the server; tried again, because the free port may be taken meanwhile and a killed server's children need a moment to end. */
async function start(at: EmbeddedPlace, options: EmbeddedOptions, log: (line: string) => void): Promise<number> {
  for (let attempt = 1; ; attempt++) {
    const port = options.port ?? (await freePort());
    closeSync(openSync(logFile(at), 'w', 0o600));
    if (at.user) chownSync(logFile(at), at.user.uid, at.user.gid);
    try {
      await pgCtl(at, ['start', '-w', '-t', '60', '-l', logFile(at), '-o', serverFlags(port, options.durable ?? true)]);
      return port;
    } catch (cause) {
      if (attempt === START_ATTEMPTS) {
        const end = readFileSync(logFile(at), 'utf8').trim().split('\n').slice(-5).join('\n');
        throw new Error(`PostgreSQL did not start:\n${end}`, { cause });
      }
      log('PostgreSQL: not started yet, trying again');
      await sleep(500 * attempt);
    }
  }
}

/** The log names no statement and no value: either could hold patient data. */
function serverFlags(port: number, durable: boolean): string {
  const settings = {
    listen_addresses: '127.0.0.1',
    port,
    unix_socket_directories: '',
    max_connections: 200,
    shared_buffers: '128MB',
    log_min_error_statement: 'panic',
    log_error_verbosity: 'terse',
    ...(durable ? {} : { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }),
  };
  return Object.entries(settings)
    .map(([name, value]) => `-c ${name}='${value}'`)
    .join(' ');
}

/** Nothing is piped: the server inherits the handles, and an open pipe would keep this process waiting for it. */
async function pgCtl(at: EmbeddedPlace, args: string[]): Promise<void> {
  const child = spawn(at.pgCtl, ['-D', dataFolder(at), ...args], { ...at.user, cwd: at.folder, stdio: 'ignore' });
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`pg_ctl ${args[0]} ended with ${code}`);
}

/**
 * Port of a server that runs on this data and takes connections. Lines of postmaster.pid: process, data, start, port, ..., state.
 * A file whose process is gone, or is some other program by now, is a leftover of a crash and is removed.
 */
async function runningPort(at: EmbeddedPlace): Promise<number | undefined> {
  const file = join(dataFolder(at), 'postmaster.pid');
  for (let waited = 0; existsSync(file); waited++) {
    const lines = readFileSync(file, 'utf8').split('\n');
    if (!(await isPostgres(Number(lines[0])))) {
      rmSync(file, { force: true });
      return undefined;
    }
    if (lines[7]?.trim() === 'ready') return Number(lines[3]);
    if (waited > 600) throw new Error('PostgreSQL does not get ready on this data.');
    await sleep(100);
  }
  return undefined;
}

async function isPostgres(pid: number): Promise<boolean> {
  try {
    // empty for a killed process that nobody has waited for yet
    if (process.platform === 'linux') return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('postgres');
    const { stdout } = await execute('ps', ['-o', 'comm=', '-p', String(pid)]);
    return stdout.includes('postgres');
  } catch {
    return false;
  }
}

async function leave(at: EmbeddedPlace, presence: pg.Client): Promise<void> {
  const others = await presence
    .query('select 1 from pg_stat_activity where application_name = $1 and pid <> pg_backend_pid()', [PRESENCE])
    .catch(() => ({ rowCount: 0 }));
  await presence.end().catch(() => undefined);
  if (others.rowCount === 0 && (await runningPort(at))) await pgCtl(at, ['stop', '-m', 'fast', '-w']);
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as { port: number };
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
