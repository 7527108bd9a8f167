import { existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeChestCt } from '../../models/phantoms/chest-ct.js';
import { writeHeadCt } from '../../models/phantoms/head-ct.js';
import { type DemoStudy, patients, studies } from './region.js';

/** Root below which the demonstration's UIDs lie (PS3.5 Annex B.2 would give random ones; these stay the same from run to run). */
const UID_ROOT = '1.2.826.0.1.3680043.10.1451.900';

/** Folder of a demonstration hospital's archive. */
export const archiveFolder = (dataDir: string, hospital: string): string => join(dataDir, 'archives', hospital);

/** Writes the DICOM archives of the demonstration hospitals, once: a study is either whole or not there. */
export async function writeArchives(dataDir: string, progress: (line: string) => void): Promise<void> {
  for (const [i, study] of studies.entries()) {
    const folder = join(archiveFolder(dataDir, study.hospital), `study-${study.seed}`);
    if (existsSync(folder)) continue;
    progress(`archive ${i + 1}/${studies.length}: ${study.description} (${study.hospital})`);
    await writeStudy(`${folder}.part`, study);
    await rename(`${folder}.part`, folder);
  }
}

async function writeStudy(folder: string, study: DemoStudy): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const patient = patients.find((p) => p.key === study.patient);
  if (!patient) throw new Error(`no demonstration patient ${study.patient}`);
  const common = {
    folder,
    patient: {
      id: patient.numbers[study.hospital] ?? '',
      name: patient.dicomName,
      birthDate: patient.birthDate,
      sex: patient.sex,
    },
    study: {
      uid: `${UID_ROOT}.${study.seed}`,
      started: study.started,
      accessionNumber: `A${20_000 + study.seed}`,
      description: study.description,
    },
    characterSet: study.characterSet,
    transferSyntax: study.transferSyntax,
    seed: study.seed,
  };
  if (study.kind === 'chest') await writeChestCt({ ...common, slices: 60, sliceSpacingMm: 3, rows: 256 });
  else await writeHeadCt({ ...common, slices: 28, haemorrhages: [{ centreMm: [25, 10, 20], halfAxesMm: [18, 14, 12] }] });
}
