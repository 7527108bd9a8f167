import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ChestCt, type ChestCtRequest, writeChestCt } from '../../models/phantoms/chest-ct.js';

/** Runs with a folder of its own that is gone afterwards. */
export async function withFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'models-test-'));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A chest phantom that is small enough to be scored in about a second: 160 x 160, 40 slices of 4 mm. */
export function smallChest(folder: string, request: Partial<ChestCtRequest> = {}): Promise<ChestCt> {
  return writeChestCt({
    folder,
    patient: { id: 'P-1', name: 'Zhang^Wei=张^伟', birthDate: '1961-02-03', sex: 'F' },
    study: { uid: '2.25.4711', started: '2024-05-06T07:08:09', accessionNumber: 'ACC-1', description: '胸部平扫' },
    rows: 160,
    slices: 40,
    sliceSpacingMm: 4,
    ...request,
  });
}
