/** A region whose hospital A has an archive of phantoms beside what the others pushed: names in letters, in characters, in both. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { addSource } from '../../../hub/ingest/hospital.js';
import { writeChestCt } from '../../../models/phantoms/chest-ct.js';
import { type Answer, type Client, openWorld } from '../security/world.js';

const run = promisify(execFile);

export const STUDIES = [
  {
    uid: '1.2.826.0.1.3680043.10.1451.22.1',
    id: '100231',
    name: 'Wang^XiaoDong=王^小东',
    accession: 'ACC-1',
    started: '2025-03-04T09:20:30',
  },
  {
    uid: '1.2.826.0.1.3680043.10.1451.22.2',
    id: '100232',
    name: '王^小东',
    accession: 'ACC-2',
    started: '2025-03-05T23:30:00',
    gb: true,
  },
  {
    uid: '1.2.826.0.1.3680043.10.1451.22.3',
    id: '100233',
    name: 'Wang^XiaoDan',
    accession: 'ACC-3',
    started: '2025-03-06T00:10:00',
  },
  {
    uid: '1.2.826.0.1.3680043.10.1451.22.4',
    id: '100234',
    name: 'Lv^Bu=吕^布',
    accession: 'XYZ_4',
    started: '2024-12-31T12:00:00',
  },
  {
    uid: '1.2.826.0.1.3680043.10.1451.22.5',
    id: '100235',
    name: '单^雄信',
    accession: 'XYZ%5',
    started: '2025-03-05T08:00:00',
    gb: true,
  },
] as const;

export async function openArchive() {
  const world = await openWorld();
  const folder = await mkdtemp(join(tmpdir(), 'qido-'));
  const root = join(folder, 'a');
  await mkdir(root);
  for (const [i, { uid, id, name, accession, started, ...more }] of STUDIES.entries()) {
    const { files } = await writeChestCt({
      folder: join(root, String(i)),
      patient: { id, name, birthDate: `19${50 + i}-01-02`, sex: i % 2 ? 'F' : 'M' },
      study: {
        uid,
        started,
        accessionNumber: accession,
        description: `Chest CT ${i + 1}`,
        referringPhysicianName: i === 0 ? 'Zhang^San=张^三' : 'Li^Si',
      },
      characterSet: 'gb' in more ? 'GB18030' : undefined,
      slices: 3,
      rows: 16,
      nodules: 0,
      localizer: true,
    });
    const requested = [
      '(0040,0244)=20250304',
      '(0040,0245)=0915',
      `(0040,0275)[0].(0040,1001)=RP-${i}`,
      '(0040,0275)[0].(0040,0009)=SPS-7',
    ];
    if (i < 2)
      await run('dcmodify', ['-nb', ...requested.flatMap((change) => ['-i', change]), ...files.slice(0, 3).map((f) => f.path)]);
  }
  await addSource(world.hub.db, {
    id: 'a.folder',
    organizationId: 'a',
    kind: 'folder',
    settings: { root, defaultUtcOffset: '+08:00' },
  });
  await world.hub.hub.sources.idle();
  return {
    ...world,
    root,
    close: async () => {
      await world.hub.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export type Archive = Awaited<ReturnType<typeof openArchive>>;

/** A data set of DICOM JSON, its first values by tag. */
export const first = (dataSet: Record<string, { Value?: unknown[] }>, tag: string): unknown => dataSet[tag]?.Value?.[0];

/** Searches; an answer without content has no results. */
export async function results(
  client: Client,
  path: string,
): Promise<{ answer: Answer; found: Record<string, { Value?: unknown[] }>[] }> {
  const answer = await client.get(`/dicomweb/${path}`);
  if (answer.status === 204) return { answer, found: [] };
  if (answer.status !== 200) throw new Error(`${answer.status} ${answer.text}`);
  return { answer, found: JSON.parse(answer.text) };
}
