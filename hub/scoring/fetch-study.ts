import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { addAbortSignal } from 'node:stream';
import type { RetrieveReply } from '../../connectors/connector.js';
import type { Manifest } from '../../models/manifest.js';
import { failure, type Outcome, success } from '../../models/outcome.js';
import { studyInstanceUidOf } from '../imaging/study-uid.js';
import { type ResourceRow, toResource } from '../store/resources.js';
import { type PartLimits, TooLarge, writeParts } from './multipart.js';

/** Opens the instances of a series at its custodian, as `multipart/related; type="application/dicom"`. @throws SourceError */
export type RetrieveSeries = (
  of: { custodianId: string; studyInstanceUid: string; seriesInstanceUid: string },
  signal: AbortSignal,
) => Promise<RetrieveReply>;

/** More than this is not kept, not even for the minute that it takes to score it. */
export interface FetchLimits {
  ofSeries: PartLimits;
  /** All series together. */
  ofStudy: PartLimits;
}

const LIMITS: FetchLimits = {
  ofSeries: { bytes: 2 * 1024 ** 3, parts: 5_000 },
  ofStudy: { bytes: 4 * 1024 ** 3, parts: 10_000 },
};

/**
 * Writes the study's series of the modalities that the model takes to private files of `folder`. Resolves with the paths; `not-applicable` where there is none, or
 * more than the limits.
 */
export async function fetchStudy(
  study: ResourceRow,
  model: Manifest,
  folder: string,
  retrieve: RetrieveSeries,
  signal: AbortSignal,
  { ofSeries, ofStudy }: FetchLimits = LIMITS,
): Promise<Outcome<{ files: string[] }>> {
  const { uid, series } = seriesOf(study, model);
  if (!uid || series.length === 0)
    return failure('not-applicable', `The study holds no series of ${model.accepts.modality.join(', ')}.`);
  const files: string[] = [];
  let bytes = 0;
  for (const [index, seriesInstanceUid] of series.entries()) {
    const place = join(folder, String(index + 1));
    await mkdir(place, { mode: 0o700 });
    const of = { custodianId: study.custodian_id, studyInstanceUid: uid, seriesInstanceUid };
    const reply = await retrieve(of, signal);
    try {
      const limits = {
        bytes: Math.min(ofSeries.bytes, ofStudy.bytes - bytes),
        parts: Math.min(ofSeries.parts, ofStudy.parts - files.length),
      };
      const written = await writeParts(reply.contentType, addAbortSignal(signal, reply.body), place, limits);
      files.push(...written);
      for (const path of written) bytes += (await stat(path)).size;
    } catch (error) {
      if (error instanceof TooLarge) return failure('not-applicable', 'The study is larger than can be scored.');
      throw error;
    }
  }
  return success({ files });
}

function seriesOf(study: ResourceRow, model: Manifest): { uid: string | undefined; series: string[] } {
  const all: { uid?: string; modality?: { code?: string } }[] = toResource(study).series ?? [];
  const series = all.flatMap((s) => (s.uid && model.accepts.modality.includes(s.modality?.code ?? '') ? [s.uid] : []));
  return { uid: studyInstanceUidOf(study), series };
}

const PREFIX = 'hub-scoring-';

/** Runs work with a folder that only this user can enter; the folder is gone afterwards, however the work ends. */
export async function withPrivateFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), `${PREFIX}${process.pid}-`));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Deletes what processes left behind that were killed in the middle. */
export async function removeAbandonedFolders(): Promise<void> {
  const names = await readdir(tmpdir()).catch(() => []);
  const abandoned = names.filter((name) => {
    const pid = new RegExp(`^${PREFIX}(\\d+)-`).exec(name)?.[1];
    return pid !== undefined && !isAlive(Number(pid));
  });
  await Promise.all(abandoned.map((name) => rm(join(tmpdir(), name), { recursive: true, force: true }).catch(() => undefined)));
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as { code?: string }).code === 'EPERM';
  }
}
