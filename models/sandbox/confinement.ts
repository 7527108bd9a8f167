import { execFile } from 'node:child_process';

/** One of the walls around the scoring process beyond those that Node itself has, and whether this machine lets the hub build it. */
export interface Wall {
  name: 'network' | 'privileges' | 'resources';
  holds: boolean;
  detail: string;
}

/** What the scoring process may take of the machine; the kernel holds it to that. */
export interface Resources {
  /** Private writable memory, native memory included. */
  memoryBytes: number;
  /** Processor time of all threads together. */
  cpuSeconds: number;
}

export interface Confinement {
  walls: Wall[];
  /** The command that starts another one within the walls: to be followed by the other one. Empty where there are none. */
  command(resources: Resources): string[];
}

interface Way {
  command: string[];
  detail: string;
}

/** Ways to build each wall with util-linux, the stronger first; each runs the rest of its command line in its place, under the same process id. */
const ways: Record<Wall['name'], Way[]> = {
  network: [
    { command: ['unshare', '--net', '--'], detail: 'a network namespace of its own, without an interface' },
    { command: ['unshare', '--map-root-user', '--net', '--'], detail: 'a network namespace of its own, as an ordinary user' },
  ],
  privileges: [
    {
      command: ['setpriv', '--no-new-privs', '--bounding-set', '-all', '--inh-caps', '-all', '--pdeathsig', 'KILL', '--'],
      detail: 'no capabilities, no new privileges, ends with its parent',
    },
    {
      command: ['setpriv', '--no-new-privs', '--inh-caps', '-all', '--pdeathsig', 'KILL', '--'],
      detail: 'no new privileges, ends with its parent',
    },
  ],
  resources: [{ command: ['prlimit', '--core=0', '--'], detail: 'limits on memory, processor time and open files' }],
};

const openFiles = 512;

let found: Promise<Confinement> | undefined;

/** The walls that this machine allows; tried once. A wall that is missing is told in its detail and does not stop scoring. */
export const confinement = (): Promise<Confinement> => (found ??= tryWays());

async function tryWays(): Promise<Confinement> {
  const walls: Wall[] = [];
  const chosen: string[] = [];
  for (const name of Object.keys(ways) as Wall['name'][]) {
    const { way, error } = await firstThatWorks(chosen, ways[name]);
    walls.push({ name, holds: way !== undefined, detail: way?.detail ?? `missing: ${error}` });
    if (way && name !== 'resources') chosen.push(...way.command);
  }
  const isLimited = walls.some(({ name, holds }) => name === 'resources' && holds);
  return { walls, command: (resources) => [...chosen, ...(isLimited ? limitsOf(resources) : [])] };
}

async function firstThatWorks(within: string[], candidates: Way[]): Promise<{ way?: Way; error: string }> {
  let error = '';
  for (const way of candidates) {
    const answer = await attempt([...within, ...way.command, 'true']);
    if (answer === undefined) return { way, error };
    error = answer;
  }
  return { error };
}

/** Resolves with the reason where the command does not end well. */
function attempt([program, ...rest]: string[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile(program!, rest, { env: {}, timeout: 5000 }, (error, _, stderr) => {
      resolve(error ? stderr.trim().split('\n')[0] || error.message : undefined);
    });
  });
}

const limitsOf = ({ memoryBytes, cpuSeconds }: Resources): string[] => [
  'prlimit',
  '--core=0',
  `--data=${memoryBytes}`,
  // At the first it gets SIGXCPU, at the second SIGKILL.
  `--cpu=${cpuSeconds}:${cpuSeconds + 5}`,
  `--nofile=${openFiles}`,
  '--',
];
