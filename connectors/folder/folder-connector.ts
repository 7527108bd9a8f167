import { access, constants, readdir, realpath } from 'node:fs/promises';
import { type Connector, SourceError } from '../connector.js';
import { type Folder, folderChanges, hasNewFiles, readFile } from './changes.js';
import { createKnownFiles } from './known-files.js';
import { lookAtFiles } from './look.js';
import { retrieveFromFolder } from './retrieve.js';
import { storedLocator, storeInFolder } from './store.js';

export interface FolderSettings {
  /** Directory of DICOM files; all ordinary files below it are read. */
  root: string;
  /** `+08:00`: for objects without Timezone Offset From UTC (0008,0201). Without it their times are left out, never invented. */
  defaultUtcOffset?: string;
  /** By how much the file server's clock may be behind this computer's, in milliseconds. */
  clockSkewMs?: number;
}

/** A hospital whose archive is a directory of DICOM files, with or without preamble, File Meta Information or DICOMDIR. */
export function createFolderConnector(settings: FolderSettings): Connector {
  const folder = async (): Promise<Folder> => ({
    root: await realRoot(settings.root),
    defaultUtcOffset: settings.defaultUtcOffset,
    clockSkewMs: settings.clockSkewMs ?? 2_000,
  });
  const known = createKnownFiles();
  return {
    async *changes(cursor, signal, index) {
      yield* folderChanges(await folder(), known, cursor, signal, index);
    },
    hasNews: async (cursor, signal) => hasNewFiles(await folder(), known, cursor, signal),
    look: async (study, signal) => lookAtFiles(await folder(), study, signal),
    retry: async ({ locator }) => readFile(await folder(), locator),
    retrieve: async (request, signal) => retrieveFromFolder((await folder()).root, request, signal),
    async *store(objects, signal) {
      yield* storeInFolder((await folder()).root, objects, signal);
    },
    storedLocator,
    async health() {
      const begin = performance.now();
      try {
        const entries = await readdir((await folder()).root);
        return { reachable: true, detail: `${entries.length} entries`, latencyMs: performance.now() - begin };
      } catch {
        return { reachable: false, detail: 'The folder cannot be read.' };
      }
    },
    close: async () => {},
  };
}

async function realRoot(root: string): Promise<string> {
  try {
    const real = await realpath(root);
    await access(real, constants.R_OK | constants.X_OK);
    return real;
  } catch (error) {
    throw new SourceError('unreachable', 'The folder cannot be read.', { cause: error });
  }
}
