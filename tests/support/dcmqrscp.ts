import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from './free-port.js';

/** Another real PACS: dcmtk's, which lists neither SOP classes, nor body parts, nor counts. Its AE title is QRSCP. */
export interface Dcmqrscp {
  port: number;
  stop(): Promise<void>;
}

/**
 * Starts it with files in its archive.
 * @param destinations AE titles and ports on loopback that it may send to.
 * @param options of its command line.
 */
export async function startDcmqrscp({
  files,
  destinations = {},
  options = [],
}: {
  files: readonly string[];
  destinations?: Record<string, number>;
  options?: readonly string[];
}): Promise<Dcmqrscp> {
  const directory = await mkdtemp(join(tmpdir(), 'dcmqrscp-'));
  const archive = join(directory, 'archive');
  await mkdir(archive);
  const copies = files.map((_, i) => join(archive, `${i}.dcm`));
  await Promise.all(files.map((file, i) => copyFile(file, copies[i]!)));
  for (let i = 0; i < copies.length; i += 100)
    execFileSync('dcmqridx', [archive, ...copies.slice(i, i + 100)], { stdio: 'ignore' });
  const port = await freePort();
  const hosts = Object.entries(destinations).map(([title, at], i) => `host${i} = (${title}, 127.0.0.1, ${at})`);
  const config = join(directory, 'dcmqrscp.cfg');
  await writeFile(
    config,
    [
      `NetworkTCPPort = ${port}`,
      'MaxPDUSize = 131072',
      'MaxAssociations = 16',
      ...['HostTable BEGIN', ...hosts, 'HostTable END', 'VendorTable BEGIN', 'VendorTable END', 'AETable BEGIN'],
      `QRSCP ${archive} RW (1000, 1024mb) ANY`,
      'AETable END\n',
    ].join('\n'),
  );
  // It makes a process for each association: all of them are ended together. Without Nagle's algorithm, which makes it wait 40 ms with each message.
  const child = spawn('dcmqrscp', [...options, '-c', config], {
    stdio: 'ignore',
    detached: true,
    env: { ...process.env, TCP_NODELAY: '1' },
  });
  await untilListening(child, port);
  return {
    port,
    stop: async () => {
      if (child.exitCode === null && child.signalCode === null) {
        const exit = once(child, 'exit');
        process.kill(-(child.pid ?? 0), 'SIGKILL');
        await exit;
      }
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function untilListening(child: ChildProcess, port: number): Promise<void> {
  for (let i = 0; i < 1_200; i += 1) {
    if (child.exitCode !== null) throw new Error(`dcmqrscp ended with status ${child.exitCode}`);
    const socket = connect(port, '127.0.0.1');
    const isOpen = await Promise.race([once(socket, 'connect').then(() => true), once(socket, 'close').then(() => false)]).catch(
      () => false,
    );
    socket.destroy();
    if (isOpen) return;
    await sleep(50);
  }
  throw new Error('dcmqrscp does not listen');
}
