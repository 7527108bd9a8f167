import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../../hub/main.js', import.meta.url));

export interface Ran {
  status: number;
  stdout: string;
  stderr: string;
}

/** Runs `hub ARGUMENTS` in a process of its own, with nothing in its environment but what is given. */
export function hub(args: readonly string[], environment: Record<string, string> = {}): Promise<Ran> {
  const options = { env: { PATH: process.env.PATH, ...environment }, timeout: 110_000 };
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, ...args], options, (error, stdout, stderr) => {
      const status = error ? (typeof error.code === 'number' ? error.code : -1) : 0;
      resolve({ status, stdout, stderr });
    });
  });
}

/** A folder for the files of one test file. */
export async function workFolder(): Promise<{
  path: string;
  write(name: string, text: string): Promise<string>;
  remove(): Promise<void>;
}> {
  const path = await mkdtemp(join(tmpdir(), 'hub-commands-'));
  return {
    path,
    write: async (name, text) => {
      await writeFile(join(path, name), text);
      return join(path, name);
    },
    remove: () => rm(path, { recursive: true, force: true }),
  };
}

/** What a refused command says: one line on stderr, nothing on stdout, status 1. */
export const refused = (line: unknown) => ({ status: 1, stdout: '', stderr: line });
