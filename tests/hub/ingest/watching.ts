import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createOutbound } from '../../../connectors/outbound.js';
import { addSource } from '../../../hub/ingest/hospital.js';
import { type SourceDeps, type Sources, startSources } from '../../../hub/ingest/watch-sources.js';
import { sql } from '../../../hub/store/sql.js';
import { dataSet, part10 } from '../../connectors/support/data-sets.js';
import { region, type Region } from './studies.js';

export const SECRET = 'secret-of-the-tests-only';

/** Hospitals A and B with archives of their own, and hubs that read them. */
export interface Watching extends Region {
  /** Starts one more process' sources. */
  start(more?: Partial<SourceDeps>): Sources;
  /** Adds a folder as a source. */
  folder(id: string, root: string, hospital?: string): Promise<void>;
  /** Adds a PACS as a source, which is read by its listings. */
  pacs(id: string, baseUrl: string, hospital?: string): Promise<void>;
  /** An archive; `put` writes an instance into it. */
  archive(): Promise<{ root: string; put(file: string, ...numbers: [study: number, instance: number]): Promise<void> }>;
  figures(): Promise<{ studies: number; series: number; instances: number; held: number }>;
  source(id: string): Promise<{ cursor: string | null; last_success: Date | null; last_error: string | null }>;
}

export async function watching(): Promise<Watching> {
  const at = await region();
  const outbound = createOutbound({ allowedNetworks: ['127.0.0.0/8'] });
  const started: Sources[] = [];
  const folders: string[] = [];
  const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
  const config = { secret: SECRET, utcOffset: '+08:00', pollSeconds: 30, quickPollSeconds: 30 };
  return {
    ...at,
    start: (more = {}) => {
      const sources = startSources({ db: at.db, audit: at.audit, config, outbound, log, ...more });
      started.push(sources);
      return sources;
    },
    folder: (id, root, hospital = 'A') => addSource(at.db, { id, organizationId: hospital, kind: 'folder', settings: { root } }),
    pacs: (id, baseUrl, hospital = 'A') =>
      addSource(at.db, {
        id,
        organizationId: hospital,
        kind: 'dicomweb',
        settings: { baseUrl, timeouts: { headersMs: 400, idleMs: 400 } },
      }),
    archive: async () => {
      const root = await mkdtemp(join(tmpdir(), 'archive-'));
      folders.push(root);
      return {
        root,
        put: async (file, study, instance) => {
          await mkdir(dirname(join(root, file)), { recursive: true });
          await writeFile(join(root, file), part10(dataSet(uidsOf(study, instance))));
        },
      };
    },
    figures: async () => {
      const [row] = await at.db.query<{ studies: number; series: number; instances: number; held: number }>(sql`
        select (select count(*) from resource where type = 'ImagingStudy' and not deleted) as studies,
          (select sum((content->>'numberOfSeries')::int) from resource where type = 'ImagingStudy' and not deleted) as series,
          (select sum((content->>'numberOfInstances')::int) from resource where type = 'ImagingStudy' and not deleted) as instances,
          (select count(*) from quarantine where state = 'held') as held`);
      return row as NonNullable<typeof row>;
    },
    source: async (id) => {
      const [row] = await at.db.query<{ cursor: string | null; last_success: Date | null; last_error: string | null }>(
        sql`select cursor, last_success, last_error from connector where id = ${id}`,
      );
      return row as NonNullable<typeof row>;
    },
    close: async () => {
      await Promise.all(started.map((sources) => sources.stop()));
      await outbound.close();
      await at.close();
      await Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true })));
    },
  };
}

const uidsOf = (study: number, instance: number): Record<string, [string, string]> => ({
  '00080018': ['UI', `2.25.7.${study}.1.${instance}`],
  '0020000D': ['UI', `2.25.7.${study}`],
  '0020000E': ['UI', `2.25.7.${study}.1`],
});
