import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Connector, Part10Object, StoreOutcome } from '../../connectors/connector.js';
import { createFolderConnector } from '../../connectors/folder/folder-connector.js';
import { writeChestCt } from '../../models/phantoms/chest-ct.js';
import { instancesOf, never, read } from './support/changes.js';

const UID = '1.2.826.0.1.3680043.10.1451.24';
let folder: string;
const objects: Part10Object[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'folder-store-'));
  const patient = { id: 'P-1', name: 'Wang^XiaoDong' };
  const { files } = await writeChestCt({
    folder: join(folder, 'sent'),
    patient,
    study: { uid: UID, started: '2026-01-02T10:00' },
    slices: 3,
    rows: 16,
    nodules: 0,
  });
  for (const { path, sopInstanceUid } of files)
    objects.push({
      sopInstanceUid,
      sopClassUid: '1.2.840.10008.5.1.4.1.1.2',
      transferSyntaxUid: '1.2.840.10008.1.2.1',
      bytes: await readFile(path),
    });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function archive(name: string): Promise<{ root: string; connector: Connector }> {
  const root = join(folder, name);
  await mkdir(root);
  return { root, connector: createFolderConnector({ root, clockSkewMs: 0 }) };
}

async function store(connector: Connector, given: readonly Part10Object[]): Promise<StoreOutcome[]> {
  const outcomes: StoreOutcome[] = [];
  async function* each() {
    yield* given;
  }
  for await (const outcome of connector.store!(each(), never())) outcomes.push(outcome);
  return outcomes;
}

const filesIn = async (root: string): Promise<string[]> => {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  return entries
    .filter((e) => e.isFile())
    .map((e) => e.name)
    .sort();
};

describe('a folder that keeps objects', () => {
  it('has each as a file of its own, whole, and tells of it by the locator that it was given', async () => {
    const { root, connector } = await archive('keeps');
    expect(await store(connector, objects)).toEqual(
      objects.map(({ sopInstanceUid }) => ({ sopInstanceUid, stored: true, status: 0 })),
    );
    expect(await filesIn(root)).toEqual(objects.map((o) => `${o.sopInstanceUid}.dcm`).sort());
    const { studies } = await read(connector);
    const told = instancesOf(studies);
    expect(told).toHaveLength(3);
    const seriesInstanceUid = studies[0]!.series[0]!.seriesInstanceUid;
    for (const { sopInstanceUid, locator, digest } of told) {
      expect(locator).toBe(connector.storedLocator!({ studyInstanceUid: UID, seriesInstanceUid, sopInstanceUid }));
      const again = await connector.retry({ locator }, never());
      expect(again.kind === 'study' && again.study.series[0]?.instances[0]?.digest).toBe(digest);
    }
  });

  it('takes the same object again, also from several at once, and never another one in its place', async () => {
    const { root, connector } = await archive('same');
    const twice = await Promise.all([store(connector, objects), store(connector, objects), store(connector, objects)]);
    expect(twice.flat().every((outcome) => outcome.stored)).toBe(true);
    const bytes = Buffer.from(objects[0]!.bytes);
    bytes[bytes.length - 1]! ^= 1;
    const [outcome, next] = await store(connector, [{ ...objects[0]!, bytes }, objects[1]!]);
    expect([outcome?.stored, outcome?.status, next?.stored]).toEqual([false, 0x0111, true]);
    expect(await filesIn(root)).toHaveLength(3);
    const path = join(
      root,
      connector.storedLocator!({
        studyInstanceUid: UID,
        seriesInstanceUid: `${UID}.1`,
        sopInstanceUid: objects[0]!.sopInstanceUid,
      }),
    );
    expect((await readFile(path)).equals(Buffer.from(objects[0]!.bytes))).toBe(true);
    // many at once with one identifier and different bytes: one of them stands, whole
    const { root: other, connector: racing } = await archive('racing');
    const variants = Array.from({ length: 8 }, (_, i) => {
      const variant = Buffer.from(objects[0]!.bytes);
      variant[variant.length - 1] = i;
      return { ...objects[0]!, bytes: variant };
    });
    const outcomes = (await Promise.all(variants.map((v) => store(racing, [v])))).flat();
    expect(outcomes.filter((o) => o.stored)).toHaveLength(1);
    expect(await filesIn(other)).toEqual([`${objects[0]!.sopInstanceUid}.dcm`]);
  });

  it('follows no link out of itself, and takes no object that is not what it says', async () => {
    const { root, connector } = await archive('linked');
    const outside = join(folder, 'outside');
    await mkdir(outside);
    await symlink(outside, join(root, 'received'));
    await expect(store(connector, objects)).rejects.toMatchObject({ name: 'SourceError', code: 'refused' });
    const { root: clean, connector: strict } = await archive('strict');
    const outcomes = await store(strict, [
      { ...objects[0]!, sopInstanceUid: '../../../escape' },
      { ...objects[0]!, bytes: Buffer.from('no DICOM') },
    ]);
    expect(outcomes.map(({ stored, status }) => [stored, status])).toEqual([
      [false, 0xc000],
      [false, 0xc000],
    ]);
    expect(await filesIn(clean)).toEqual([]);
    expect(await filesIn(outside)).toEqual([]);
  });

  it('says that it cannot be written', async () => {
    const { root, connector } = await archive('blocked');
    await writeFile(join(root, 'received'), 'a file where a folder should be');
    await expect(store(connector, objects)).rejects.toMatchObject({ name: 'SourceError', code: 'refused' });
    expect(await readFile(join(root, 'received'), 'utf8')).toContain('a file');
  });
});
