import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import sharp from 'sharp';
import supertest from 'supertest';
import { createConnector } from '../../../connectors/index.js';
import { createOutbound } from '../../../connectors/outbound.js';
import type { StudyDescription } from '../../../connectors/connector.js';
import { partsOf } from '../../connectors/support/multipart.js';
import { type Orthanc, startOrthanc } from '../../support/orthanc.js';
import { as } from '../api/stand-in.js';
import { caller } from '../identity/hospitals.js';
import { type Archives, openArchives, STUDY } from './archives.js';

const rle = '1.2.840.10008.1.2.5';
const outbound = createOutbound({ allowedNetworks: ['127.0.0.1/32'] });
let world: Archives;
let orthanc: Orthanc;
let study: StudyDescription;

/** The study lies in run lengths in a real PACS, from which the hub retrieves it. */
beforeAll(async () => {
  world = await openArchives();
  ({ study } = await world.archive('a', STUDY, 'P-1', { slices: 3, rows: 32, transferSyntax: rle }));
  orthanc = await startOrthanc({ folder: join(world.folder, 'a', STUDY) });
  world.connectors.set(STUDY, createConnector('dicomweb', { baseUrl: orthanc.dicomwebUrl }, { outbound }));
});
afterAll(async () => {
  await world.close();
  await orthanc.stop();
  await outbound.close();
});

const slices = () => study.series.find((one) => one.instances.length === 3)!;
const instancePath = () => `${STUDY}/series/${slices().seriesInstanceUid}/instances/${slices().instances[0]!.sopInstanceUid}`;
const get = (path: string, accept = '*/*') =>
  supertest(world.server.listener)
    .get(`/dicomweb/studies/${path}`)
    .set({ authorization: as(caller('a', 'physician')), accept })
    .buffer(true)
    .parse((res, done) => {
      const chunks: Buffer[] = [];
      res.on('data', (chunk: Buffer) => chunks.push(chunk));
      res.on('end', () => done(null, Buffer.concat(chunks)));
    });
const parts = async (path: string, accept?: string) => {
  const { headers, body } = await get(path, accept).expect(200);
  return partsOf({ contentType: headers['content-type']!, body: [body] as never });
};

describe('a study in a PACS', () => {
  it('is retrieved whole as it is stored, and decoded by default', async () => {
    const stored = await parts(STUDY, 'multipart/related; type="application/dicom"; transfer-syntax=*');
    const file = await readFile(join(world.folder, 'a', STUDY, slices().instances[0]!.locator));
    expect(stored.filter(({ body }) => body.includes(file.subarray(-500)))).toHaveLength(1);
    const decoded = await parts(STUDY);
    expect(decoded.map(({ contentType }) => contentType)).toEqual(
      Array(4).fill('application/dicom; transfer-syntax=1.2.840.10008.1.2.1'),
    );
  });

  it('has frames, pictures and thumbnails', async () => {
    const [frame] = await parts(`${instancePath()}/frames/1`);
    expect(frame!.body).toHaveLength(32 * 32 * 2);
    const [coded] = await parts(`${instancePath()}/frames/1`, 'multipart/related; type="image/dicom-rle"');
    expect(coded!.body.length).toBeGreaterThan(64);
    for (const path of [`${instancePath()}/rendered`, `${STUDY}/thumbnail`])
      expect((await sharp((await get(path, 'image/png').expect(200)).body).metadata()).format).toBe('png');
  });

  it('has metadata whose addresses are the hub’s, and lead to the values', async () => {
    const { body } = await get(`${instancePath()}/metadata`).expect(200);
    const text = (body as Buffer).toString();
    expect(text).not.toContain(new URL(orthanc.dicomwebUrl).host);
    const [{ '7FE00010': pixels }] = JSON.parse(text);
    expect(pixels.BulkDataURI).toBe(`http://hub.test/dicomweb/studies/${instancePath()}/bulkdata/7FE00010`);
    const [part] = await parts(`${instancePath()}/bulkdata/7FE00010`);
    expect(part!.body).toHaveLength(32 * 32 * 2);
  });
});
