import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from './free-port.js';

/** A real PACS of the test's own, on loopback. */
export interface Orthanc {
  /** Root of QIDO-RS and WADO-RS. */
  dicomwebUrl: string;
  /** Root of Orthanc's own REST interface. */
  orthancUrl: string;
  /** Port of its DICOM server; its AE title is ORTHANC. */
  dicomPort: number;
  /** Its process; another one after `restart`. */
  pid(): number;
  /** Stores DICOM files, several at once. Returns how many were accepted. */
  store(files: string[]): Promise<number>;
  /** SIGKILL, as a crash of the machine; its database stays. */
  kill(): Promise<void>;
  /** Starts it again after a kill, on the same ports and database. */
  restart(): Promise<void>;
  /** Ends the process and waits for it; its database is removed. */
  stop(): Promise<void>;
}

/** The script by which an Orthanc announces what changed; its settings `NotifyHub` say where. */
export const NOTIFY_HUB = fileURLToPath(new URL('../../connectors/dicomweb/notify-hub.lua', import.meta.url));

const executables = ['/usr/sbin/Orthanc', '/usr/bin/Orthanc', '/usr/local/bin/Orthanc'];
const plugins = ['/usr/share/orthanc/plugins', '/usr/local/share/orthanc/plugins'];

/**
 * Starts Orthanc with its DICOMweb plug-in in a directory of its own and stores every file below `folder`.
 * @param settings further Orthanc settings, over the ones here.
 */
export async function startOrthanc({ folder, settings = {} }: { folder?: string; settings?: object } = {}): Promise<Orthanc> {
  const executable = executables.find((path) => existsSync(path));
  if (!executable) throw new Error('Orthanc is missing: apt-get install --no-install-recommends orthanc orthanc-dicomweb dcmtk');
  const directory = await mkdtemp(join(tmpdir(), 'orthanc-'));
  const [httpPort, dicomPort] = [await freePort(), await freePort()];
  const orthancUrl = `http://127.0.0.1:${httpPort}`;
  await writeFile(
    join(directory, 'orthanc.json'),
    JSON.stringify({ ...configuration(directory, httpPort, dicomPort), ...settings }),
  );
  const start = async (): Promise<ChildProcess> => {
    const started = spawn(executable, [join(directory, 'orthanc.json')], {
      stdio: ['ignore', 'ignore', 'pipe'],
      // Without it each DIMSE message waits for the acknowledgement of its own first bytes, 40 ms (Nagle's algorithm).
      env: { ...process.env, TCP_NODELAY: '1' },
    });
    await untilReady(started, orthancUrl);
    return started;
  };
  let child = await start();
  const orthanc: Orthanc = {
    orthancUrl,
    dicomPort,
    dicomwebUrl: `${orthancUrl}/dicom-web`,
    pid: () => child.pid ?? 0,
    store: (files) => store(orthancUrl, files),
    kill: () => kill(child),
    restart: async () => {
      child = await start();
    },
    stop: async () => {
      await kill(child);
      await rm(directory, { recursive: true, force: true });
    },
  };
  if (folder) await orthanc.store(await filesBelow(folder));
  return orthanc;
}

/** All ordinary files below a folder. */
export async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true });
  const paths = entries.map((entry) => join(folder, entry)).sort();
  const stats = await Promise.all(paths.map((path) => stat(path)));
  return paths.filter((_, i) => stats[i]?.isFile());
}

function configuration(directory: string, httpPort: number, dicomPort: number): object {
  return {
    Name: 'TEST',
    StorageDirectory: join(directory, 'storage'),
    IndexDirectory: join(directory, 'storage'),
    HttpBindAddresses: ['127.0.0.1'],
    HttpPort: httpPort,
    DicomPort: dicomPort,
    RemoteAccessAllowed: true,
    AuthenticationEnabled: false,
    // Its default drops Chinese names silently.
    DefaultEncoding: 'Utf8',
    DicomAlwaysAllowFind: true,
    DicomAlwaysAllowGet: true,
    DicomAlwaysAllowMove: true,
    Plugins: plugins.filter((path) => existsSync(path)),
    DicomWeb: { Enable: true, Root: '/dicom-web/', Host: `127.0.0.1:${httpPort}` },
  };
}

async function store(orthancUrl: string, files: string[]): Promise<number> {
  const queue = files.values();
  let accepted = 0;
  const work = async () => {
    for (const file of queue) {
      const reply = await fetch(`${orthancUrl}/instances`, { method: 'POST', body: await readFile(file) });
      await reply.arrayBuffer();
      if (reply.ok) accepted += 1;
    }
  };
  await Promise.all([work(), work(), work(), work()]);
  return accepted;
}

async function untilReady(child: ChildProcess, orthancUrl: string): Promise<void> {
  let log = '';
  child.stderr?.on('data', (text) => {
    log = (log + text).slice(-4000);
  });
  for (let attempt = 0; attempt < 1200; attempt += 1) {
    if (child.exitCode !== null) throw new Error(`Orthanc ended:\n${log}`);
    const reply = await fetch(`${orthancUrl}/system`).catch(() => undefined);
    await reply?.arrayBuffer();
    if (reply?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  child.kill('SIGKILL');
  throw new Error(`Orthanc does not answer:\n${log}`);
}

/** Nothing of it is kept, so that it need not take the seconds that it wants to close its database. */
async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}
