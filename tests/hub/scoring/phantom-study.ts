import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { systems } from '../../../fhir-profiles/codes.js';
import { writeChestCt } from '../../../models/phantoms/chest-ct.js';
import type { RetrieveSeries } from '../../../hub/scoring/fetch-study.js';
import type { Queryable } from '../../../hub/store/database.js';
import { createResources, type ResourceRow } from '../../../hub/store/resources.js';

export const STUDY_UID = '1.2.826.0.1.3680043.10.1451.77.1';

/** A small chest CT with two solid nodules. */
export const writeStudy = (folder: string, uid = STUDY_UID) =>
  writeChestCt({
    folder,
    patient: { id: 'P1', name: 'Wang^XiaoDong=王^小东' },
    study: { uid, started: '2025-03-04T10:00' },
    slices: 40,
    sliceSpacingMm: 5,
    rows: 160,
    nodules: 2,
    localizer: true,
  });

/** The phantom as its hospital's index has it. */
export async function indexStudy(tx: Queryable, uid = STUDY_UID): Promise<ResourceRow> {
  const [patient] = await createResources(tx, [
    { resource: { resourceType: 'Patient', name: [{ text: '王小东' }] }, custodianId: 'hospital-a' },
  ]);
  const series = (number: number, title: string) => ({
    uid: `${uid}.${number}`,
    modality: { system: systems.dicomTerminology, code: 'CT' },
    description: title,
    bodySite: { system: systems.snomed, code: '51185008' },
  });
  const [study] = await createResources(tx, [
    {
      resource: {
        resourceType: 'ImagingStudy',
        status: 'available',
        identifier: [{ system: systems.dicomUid, value: `urn:oid:${uid}` }],
        modality: [{ system: systems.dicomTerminology, code: 'CT' }],
        subject: { reference: `Patient/${patient!.id}` },
        started: '2025-03-04T10:00:00+08:00',
        series: [series(1, 'Chest axial lung'), series(2, 'Localizer')],
      },
      custodianId: 'hospital-a',
    },
  ]);
  return study!;
}

const BOUNDARY = 'part-of-a-study';

/** Streams the files of a series as a PACS does. */
export function retrieveFrom(folder: string): RetrieveSeries {
  return async ({ seriesInstanceUid }) => {
    const place = join(folder, `series-${seriesInstanceUid.split('.').at(-1)}`);
    const files = (await readdir(place)).sort().map((name) => join(place, name));
    const contentType = `multipart/related; type="application/dicom"; boundary=${BOUNDARY}`;
    return { contentType, body: Readable.from(partsOf(files)) };
  };
}

async function* partsOf(files: readonly string[]): AsyncGenerator<Buffer> {
  for (const file of files) {
    yield Buffer.from(`\r\n--${BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n`);
    yield* createReadStream(file, { highWaterMark: 10_000 });
  }
  yield Buffer.from(`\r\n--${BOUNDARY}--\r\n`);
}
