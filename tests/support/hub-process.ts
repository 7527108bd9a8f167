import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { exportJWK, generateKeyPair } from 'jose';
import { registerClient } from '../../hub/access/authentication/accounts.js';
import { systemToken } from '../../hub/demo/sign-in.js';
import { type Database, openDatabase } from '../../hub/store/database.js';
import { freePort } from './free-port.js';
import { testProtection } from './test-database.js';

/** The hub as its operator runs it: a process of its own, that can be killed. */
export interface TestHub {
  url: string;
  databaseUrl: string;
  process: ChildProcess;
  /** SIGKILL, as a crash of the machine. */
  kill(): Promise<void>;
  /** SIGTERM: it drains. Resolves with the exit status. */
  stop(): Promise<number | null>;
}

const MAIN = fileURLToPath(new URL('../../hub/main.js', import.meta.url));

export async function startHubProcess(options: {
  databaseUrl: string;
  workers?: number;
  environment?: Record<string, string>;
  /** Arguments of Node itself, such as `--cpu-prof`. */
  nodeArguments?: string[];
  /** A free one by default. */
  port?: number;
}): Promise<TestHub> {
  const port = options.port ?? (await freePort());
  const url = `http://127.0.0.1:${port}`;
  const child = spawn(process.execPath, [...(options.nodeArguments ?? []), MAIN, 'serve'], {
    env: {
      PATH: process.env.PATH,
      DATABASE_URL: options.databaseUrl,
      PORT: String(port),
      HUB_WORKERS: String(options.workers ?? 0),
      HUB_SECRET: 'secret-of-the-tests-only',
      HUB_LOG_LEVEL: 'warn',
      HUB_OUTBOUND_NETWORKS: '127.0.0.0/8',
      HUB_POLL_SECONDS: '0.2',
      HUB_RATE_LIMIT: '0',
      ...options.environment,
    },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const exited = once(child, 'exit');
  await ready(url, child);
  return {
    url,
    databaseUrl: options.databaseUrl,
    process: child,
    kill: async () => {
      child.kill('SIGKILL');
      await exited;
    },
    stop: async () => {
      child.kill('SIGTERM');
      const [code] = await exited;
      return code as number | null;
    },
  };
}

async function ready(url: string, child: ChildProcess): Promise<void> {
  for (let i = 0; i < 900; i += 1) {
    if (child.exitCode !== null) throw new Error(`the hub ended with status ${child.exitCode}`);
    const answer = await fetch(`${url}/readyz`).catch(() => undefined);
    if (answer?.ok) return;
    await sleep(100);
  }
  child.kill('SIGKILL');
  throw new Error('the hub did not become ready');
}

/** A hospital with a registered system, and a token for it. */
export async function joinHospital(hub: TestHub, hospital: { id: string; assigner: string }): Promise<{ token: string }> {
  const db = await openDatabase(hub.databaseUrl, { protection: testProtection(), poolSize: 2 });
  try {
    return { token: await newSystem(db, hub.url, hospital) };
  } finally {
    await db.close();
  }
}

async function newSystem(db: Database, baseUrl: string, { id, assigner }: { id: string; assigner: string }): Promise<string> {
  await db.pool.query(
    "insert into organization (id, kind, name, assigner_system) values ($1, 'hospital', $1, $2) on conflict do nothing",
    [id, assigner],
  );
  const { publicKey, privateKey } = await generateKeyPair('ES384', { extractable: true });
  const clientId = `${id}.system`;
  await registerClient(db, {
    id: clientId,
    organizationId: id,
    name: clientId,
    jwks: { keys: [(await exportJWK(publicKey)) as never] },
    roles: ['hospital-system'],
    scope: 'system/*.cruds',
  });
  return systemToken({ baseUrl, clientId, privateJwk: await exportJWK(privateKey), scope: 'system/*.cruds' });
}
