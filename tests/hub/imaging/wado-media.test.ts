import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import sharp from 'sharp';
import supertest, { type Response } from 'supertest';
import type { StudyDescription } from '../../../connectors/connector.js';
import { bufferSource } from '../../../connectors/dicom/byte-source.js';
import { frameIndex } from '../../../connectors/dicom/frames.js';
import { openDicom } from '../../../connectors/dicom/part10.js';
import { toDicomJson } from '../../../connectors/dicom/to-json.js';
import { sql } from '../../../hub/store/sql.js';
import type { PhantomTransferSyntax } from '../../../models/phantoms/encode-frame.js';
import { as } from '../api/stand-in.js';
import { partsOf } from '../../connectors/support/multipart.js';
import { caller } from '../identity/hospitals.js';
import { type Archives, openArchives, STUDY } from './archives.js';

const syntax = { explicit: '1.2.840.10008.1.2.1', implicit: '1.2.840.10008.1.2', deflated: '1.2.840.10008.1.2.1.99' } as const;
const jpegLs = '1.2.840.10008.1.2.4.80';
const rle = '1.2.840.10008.1.2.5';
const ROWS = 32;
const physician = caller('a', 'physician');

/** One study in each coding: the same voxels. */
const codings: Readonly<Record<string, PhantomTransferSyntax>> = { ...syntax, jpegLs, rle };
const uidOf = (coding: string): string => `${STUDY}.${Object.keys(codings).indexOf(coding) + 1}`;

let world: Archives;
const studies: Record<string, StudyDescription> = {};

beforeAll(async () => {
  world = await openArchives(8);
  for (const [coding, transferSyntax] of Object.entries(codings)) {
    const shape = { slices: 3, rows: ROWS, transferSyntax };
    ({ study: studies[coding] } = await world.archive('a', uidOf(coding), `P-${coding}`, shape));
  }
});
afterAll(() => world.close());

const get = (path: string, accept?: string) => {
  const asking = supertest(world.server.listener).get(`/dicomweb/studies/${path}`).set('authorization', as(physician));
  if (accept) asking.set('accept', accept);
  return asking.buffer(true).parse((res, done) => {
    const chunks: Buffer[] = [];
    res.on('data', (chunk: Buffer) => chunks.push(chunk));
    res.on('end', () => done(null, Buffer.concat(chunks)));
  });
};
const parts = (answer: Response) =>
  partsOf({ contentType: answer.headers['content-type']!, body: answer.body && ([answer.body] as never) });

const slices = (coding: string) => studies[coding]!.series.find((one) => one.instances.length === 3)!;
const seriesPath = (coding: string) => `${uidOf(coding)}/series/${slices(coding).seriesInstanceUid}`;
const instancePath = (coding: string, i = 0) => `${seriesPath(coding)}/instances/${slices(coding).instances[i]!.sopInstanceUid}`;
const fileOf = (coding: string, i = 0) => readFile(join(world.folder, 'a', uidOf(coding), slices(coding).instances[i]!.locator));

async function pixelsOf(file: Buffer): Promise<{ transferSyntaxUid: string; pixels: Buffer; patientId: unknown }> {
  const object = await openDicom(bufferSource(file));
  const json = toDicomJson(object);
  const index = await frameIndex(object, json);
  const chunks: Uint8Array[] = [];
  for await (const chunk of index.read(1)) chunks.push(chunk);
  return { transferSyntaxUid: object.transferSyntaxUid, pixels: Buffer.concat(chunks), patientId: json['00100020']?.Value?.[0] };
}
const lastEntry = async () =>
  (await world.db.query(sql`select subtype, outcome, detail from audit_event order by id desc limit 1`))[0];

describe('objects', () => {
  it.each(Object.keys(codings))(
    'stored as %s are answered in explicit little endian unless another coding is asked for',
    async (coding) => {
      const answer = await get(seriesPath(coding)).expect(200);
      const got = await parts(answer);
      expect(got).toHaveLength(3);
      for (const [i, part] of got.entries()) {
        expect(part.contentType).toBe(`application/dicom; transfer-syntax=${syntax.explicit}`);
        const object = await pixelsOf(part.body);
        expect(object).toEqual({ ...(await pixelsOf(await fileOf('explicit', i))), patientId: `P-${coding}` });
      }
    },
  );

  it.each([
    ['explicit', syntax.explicit],
    ['deflated', syntax.deflated],
    ['jpegLs', jpegLs],
    ['rle', rle],
  ])('stored as %s are answered byte for byte to who takes any coding, or this one', async (coding, uid) => {
    for (const transferSyntax of ['*', uid, `"${uid}"`]) {
      const accept = `multipart/related; type="application/dicom"; transfer-syntax=${transferSyntax}`;
      const [part] = await parts(await get(instancePath(coding), accept).expect(200));
      expect(part!.body.equals(await fileOf(coding))).toBe(true);
    }
  });

  it('in implicit little endian, which is not for web services, are written anew for who takes any coding', async () => {
    const accept = 'multipart/related; type="application/dicom"; transfer-syntax=*';
    const [part] = await parts(await get(instancePath('implicit'), accept).expect(200));
    expect(part!.contentType).toBe(`application/dicom; transfer-syntax=${syntax.explicit}`);
    expect((await pixelsOf(part!.body)).transferSyntaxUid).toBe(syntax.explicit);
  });

  it('come alone in a single part, and of several in many', async () => {
    const answer = await get(instancePath('rle'), `application/dicom; transfer-syntax=${rle}`).expect(200);
    expect(answer.headers['content-type']).toBe(`application/dicom; transfer-syntax=${rle}`);
    expect(answer.body.equals(await fileOf('rle'))).toBe(true);
    const written = await get(instancePath('rle'), 'application/dicom').expect(200);
    expect((await pixelsOf(written.body)).pixels.equals((await pixelsOf(await fileOf('explicit'))).pixels)).toBe(true);
    await get(seriesPath('rle'), 'application/dicom').expect(406);
    await get(seriesPath('rle'), 'application/dicom, multipart/related; type="application/dicom"; q=0.1').expect(200);
  });

  it('are refused in codings that nothing here writes, which is on record', async () => {
    const accept = 'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.90';
    await get(seriesPath('rle'), accept).expect(406);
    expect(await lastEntry()).toEqual({ subtype: 'retrieve', outcome: 8, detail: 'status: 406' });
  });

  it('are not sent along with HEAD, whose type is that of GET', async () => {
    const head = (path: string) =>
      supertest(world.server.listener).head(`/dicomweb/studies/${path}`).set('authorization', as(physician));
    await head(instancePath('rle')).expect(200).expect('content-type', 'multipart/related; type="application/dicom"');
    await head(`${instancePath('rle')}/rendered`)
      .expect(200)
      .expect('content-type', 'image/jpeg');
    await head('1.2.3').expect(404);
    const options = supertest(world.server.listener).options(`/dicomweb/studies/${instancePath('rle')}/rendered`);
    await options.set('authorization', as(physician)).expect(204).expect('allow', 'GET, HEAD, OPTIONS');
  });
});

describe('frames', () => {
  it.each(Object.keys(codings))('stored as %s are answered uncompressed', async (coding) => {
    const { pixels } = await pixelsOf(await fileOf('explicit'));
    for (const accept of [undefined, 'multipart/related; type="application/octet-stream"']) {
      const [part] = await parts(await get(`${instancePath(coding)}/frames/1`, accept).expect(200));
      expect(part!.contentType).toBe(`application/octet-stream; transfer-syntax=${syntax.explicit}`);
      expect(part!.body.equals(pixels)).toBe(true);
    }
    const single = await get(`${instancePath(coding)}/frames/1`, 'application/octet-stream').expect(200);
    expect(single.body.equals(pixels)).toBe(true);
  });

  it('are answered as they are stored, in the media type of their coding or as octets of any coding', async () => {
    const { pixels } = await pixelsOf(await fileOf('rle'));
    const path = `${instancePath('rle')}/frames/1`;
    for (const type of [
      'multipart/related; type="application/octet-stream"; transfer-syntax=*',
      'multipart/related; type="image/dicom-rle"',
    ]) {
      const [part] = await parts(await get(path, type).expect(200));
      expect(part!.contentType).toContain(`transfer-syntax=${rle}`);
      expect(part!.body.equals(pixels)).toBe(true);
    }
    const single = await get(path, 'image/dicom-rle')
      .expect(200)
      .expect('content-type', `image/dicom-rle; transfer-syntax=${rle}`);
    expect(single.body.equals(pixels)).toBe(true);
    await get(path, 'image/jpeg').expect(406);
    await get(path, 'image/jpeg, */*;q=0.1').expect(200);
    await get(`${path},1`, 'application/octet-stream').expect(406);
  });
});

describe('pictures', () => {
  const meta = async (answer: Response) => {
    const { format, width, height, channels } = await sharp(answer.body).metadata();
    return { format, width, height, channels };
  };

  it.each(['image/jpeg', 'image/png', 'image/gif'])('are rendered as %s', async (type) => {
    const answer = await get(`${instancePath('rle')}/rendered`, type)
      .expect(200)
      .expect('content-type', type);
    expect(await meta(answer)).toMatchObject({ format: type.slice(6), width: ROWS, height: ROWS });
    const frame = await get(`${instancePath('rle')}/frames/1/rendered?accept=${type}`)
      .expect(200)
      .expect('content-type', type);
    expect(frame.body.equals(answer.body)).toBe(true);
  });

  it('are the same from every coding', async () => {
    const [first, ...others] = await Promise.all(
      Object.keys(codings).map((coding) => get(`${instancePath(coding)}/rendered`, 'image/png').expect(200)),
    );
    for (const other of others) expect(other.body.equals(first!.body)).toBe(true);
  });

  it('come one a slice from a series and a study, in many parts', async () => {
    for (const [path, count] of [
      [seriesPath('jpegLs'), 3],
      [uidOf('jpegLs'), 4],
    ] as const) {
      const answer = await get(`${path}/rendered`, 'multipart/related; type="image/png"').expect(200);
      const got = await parts(answer);
      expect(got.map(({ contentType }) => contentType)).toEqual(Array(count).fill('image/png'));
      await get(`${path}/rendered`, 'image/png').expect(406);
    }
  });

  it('show the window that is asked for', async () => {
    const grey = async (window: string) => {
      const { body } = await get(`${instancePath('explicit')}/rendered?window=${window}`, 'image/png').expect(200);
      return sharp(body).greyscale().raw().toBuffer();
    };
    const { pixels } = await pixelsOf(await fileOf('explicit'));
    const hounsfield = Array.from({ length: ROWS * ROWS }, (_, i) => pixels.readUInt16LE(i * 2) - 1024);
    const exact = await grey('40,400,linear-exact');
    const linear = await grey('40,400,linear');
    const sigmoid = await grey('40,400,sigmoid');
    for (const [i, hu] of hounsfield.entries()) {
      const clamp = (share: number) => Math.min(255, Math.max(0, share * 255));
      expect(Math.abs(exact[i]! - clamp((hu - 40) / 400 + 0.5))).toBeLessThanOrEqual(1);
      expect(Math.abs(linear[i]! - clamp((hu - 39.5) / 399 + 0.5))).toBeLessThanOrEqual(1);
      expect(Math.abs(sigmoid[i]! - 255 / (1 + Math.exp((-4 * (hu - 40)) / 400)))).toBeLessThanOrEqual(1);
    }
  });

  it('fit their viewport, show its region, and mirror it', async () => {
    const at = async (viewport: string) =>
      get(`${instancePath('explicit')}/rendered?viewport=${viewport}`, 'image/png').expect(200);
    expect(await meta(await at('20,10'))).toMatchObject({ width: 10, height: 10 });
    expect(await meta(await at('64,64,0,0,16,8'))).toMatchObject({ width: 64, height: 32 });
    const whole = await sharp((await at(`${ROWS},${ROWS}`)).body)
      .raw()
      .toBuffer();
    const mirrored = await sharp((await at(`${ROWS},${ROWS},,,-${ROWS},${ROWS}`)).body)
      .raw()
      .toBuffer();
    expect(mirrored[0]).toBe(whole[(ROWS - 1) * (whole.length / ROWS / ROWS)]);
  });

  it.each([
    'window=40',
    'window=40,0,linear',
    'window=40,400,cubic',
    'window=a,b,linear',
    'window=1,2,linear,3',
    'viewport=0,10',
    'viewport=10',
    'viewport=99999,10',
    'viewport=1,1,1',
    'quality=0',
    'quality=101',
    'quality=x',
    'annotation=patient',
    'iccprofile=srgb',
    'quality=1&quality=2',
    'unknown=1',
  ])('are refused with %s, which names the parameter', async (query) => {
    const { body } = await get(`${instancePath('explicit')}/rendered?${query}`).expect(400);
    expect(JSON.parse(body).issue[0].expression).toEqual([query.split('=')[0]]);
  });

  it('are smaller with less quality', async () => {
    const size = async (quality: number) =>
      (await get(`${instancePath('explicit')}/rendered?quality=${quality}`, 'image/jpeg').expect(200)).body.length;
    expect(await size(10)).toBeLessThan(await size(95));
  });

  it('stand as thumbnails for a study, a series, an instance and a frame', async () => {
    for (const path of [uidOf('rle'), seriesPath('rle'), instancePath('rle'), `${instancePath('rle')}/frames/1`]) {
      const answer = await get(`${path}/thumbnail`).expect(200).expect('content-type', 'image/jpeg');
      expect(await meta(answer)).toMatchObject({ width: 128, height: 128 });
      expect(await lastEntry()).toMatchObject({ subtype: 'retrieve', outcome: 0 });
    }
    expect(await meta(await get(`${uidOf('rle')}/thumbnail?viewport=16,16`))).toMatchObject({ width: 16 });
    await get(`${uidOf('rle')}/thumbnail?window=1,2,linear`).expect(400);
    await get(`${uidOf('rle')}/thumbnail`, 'multipart/related; type="image/jpeg"').expect(406);
  });
});

describe('bulk data', () => {
  it('is where metadata says', async () => {
    const metadata = JSON.parse((await get(`${instancePath('rle')}/metadata`).expect(200)).body);
    const uri: string = metadata[0]['7FE00010'].BulkDataURI;
    expect(uri).toBe(`http://hub.test/dicomweb/studies/${instancePath('rle')}/bulkdata/7FE00010`);
    const { pixels } = await pixelsOf(await fileOf('explicit'));
    const [part] = await parts(await get(uri.slice('http://hub.test/dicomweb/studies/'.length)).expect(200));
    expect(part!.body.equals(pixels)).toBe(true);
  });

  it('of any attribute is its value', async () => {
    const { body } = await get(`${instancePath('implicit')}/bulkdata/00100020`, 'application/octet-stream').expect(200);
    expect(body.toString('latin1').trim()).toBe('P-implicit');
    await get(`${instancePath('implicit')}/bulkdata/00109999`).expect(404);
    await get(`${instancePath('implicit')}/bulkdata/00101002/0/00100020`).expect(404);
  });

  it.each(['', 'x', '00100020/0', '00100020/0/', '00100020/-1/00100020', `${'00100020/0/'.repeat(40)}00100020`])(
    'is refused at %j',
    async (path) => {
      expect([400, 404]).toContain((await get(`${instancePath('implicit')}/bulkdata/${path}`)).status);
    },
  );
});
