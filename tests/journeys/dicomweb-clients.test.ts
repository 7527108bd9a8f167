import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Browser, Page } from 'playwright-core';
import { addSource } from '../../hub/ingest/hospital.js';
import { writeChestCt } from '../../models/phantoms/chest-ct.js';
import { startBrowser } from '../support/browser.js';
import { ohifConfig, ohifFolder } from '../support/ohif.js';
import { filesBelow } from '../support/orthanc.js';
import { freePort } from '../support/free-port.js';
import { type RunningHub, startHub } from '../support/running-hub.js';
import { BLANK, serveWebPages, type WebPages } from '../support/web-pages.js';

const run = promisify(execFile);

/** Programs of others, in a real browser and from another origin: what they need of the hub they get, with a token of somebody who is signed in. */
const UID = '1.2.826.0.1.3680043.10.1451.25';
const PUSHED = '1.2.826.0.1.3680043.10.1451.26';
const viewer = await ohifFolder();

let hub: RunningHub;
let pages: WebPages;
let browser: Browser;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dicomweb-clients-'));
  const port = await freePort();
  [hub, browser] = await Promise.all([startHub({ config: { webOrigins: `http://127.0.0.1:${port}` } }), startBrowser()]);
  pages = await serveWebPages(port, { folder: viewer, scripts: { 'app-config.js': ohifConfig(hub.url) } });
  await hub.join(['a', 'b'].map((id) => ({ id, assigner: `urn:oid:1.2.3.${id.charCodeAt(0)}` })));
  await hub.enrol(
    { username: 'physician-a', role: 'physician', organizationId: 'a' },
    { username: 'physician-b', role: 'physician', organizationId: 'b' },
  );
  const common = {
    patient: { id: '100231', name: 'Wang^XiaoDong=王^小东', sex: 'M' },
    slices: 12,
    rows: 128,
    nodules: 0,
  } as const;
  const study = { started: '2026-01-02T10:00:00', accessionNumber: 'ACC-1', description: 'Chest CT' };
  // compressed, so that the viewer has to decode what passes through the hub
  await writeChestCt({
    ...common,
    folder: join(folder, 'a'),
    study: { ...study, uid: UID },
    transferSyntax: '1.2.840.10008.1.2.4.80',
  });
  await writeChestCt({
    ...common,
    folder: join(folder, 'sent'),
    study: { ...study, uid: PUSHED, accessionNumber: 'ACC-2' },
    slices: 2,
  });
  await addSource(hub.db, {
    id: 'a.folder',
    organizationId: 'a',
    kind: 'folder',
    store: true,
    settings: { root: join(folder, 'a') },
  });
  await hub.hub.sources.idle();
});
afterAll(async () => {
  await browser?.close();
  await Promise.all([pages?.stop(), hub?.stop()]);
  await rm(folder, { recursive: true, force: true });
});

describe('dicomweb-client', () => {
  let page: Page;
  beforeAll(async () => {
    page = await browser.newPage();
    await page.goto(`${pages.url}/${BLANK}`);
    await page.addScriptTag({ path: resolve('node_modules/dicomweb-client/build/dicomweb-client.js') });
  });
  afterAll(() => page?.close());

  /** Calls a method of the client in the page. Bytes come back, and go there, in base64. */
  async function call(token: string, method: string, options: object, datasets: Buffer[] = []): Promise<unknown> {
    const given = { url: `${hub.url}/dicomweb`, token, method, options, datasets: datasets.map((d) => d.toString('base64')) };
    return page.evaluate(`(async ({ url, token, method, options, datasets }) => {
      const client = new DICOMwebClient.api.DICOMwebClient({ url, headers: { Authorization: 'Bearer ' + token } });
      const bytesOf = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
      const textOf = (value) => value instanceof ArrayBuffer
        ? new Promise((done) => { const r = new FileReader(); r.onload = () => done(r.result.split(',')[1]); r.readAsDataURL(new Blob([value])); })
        : Array.isArray(value) ? Promise.all(value.map(textOf)) : value;
      return textOf(await client[method](datasets.length > 0 ? { ...options, datasets: datasets.map(bytesOf) } : options));
    })(${JSON.stringify(given)})`);
  }

  type DataSet = Record<string, { Value: unknown[] }>;
  const values = (dataSets: unknown, tag: string): unknown[] => (dataSets as DataSet[]).map((one) => one[tag]?.Value[0]);
  const of = { studyInstanceUID: UID, seriesInstanceUID: `${UID}.1`, sopInstanceUID: `${UID}.1.1` };

  it('searches, retrieves and stores through the hub; dcmtk takes what came back', async () => {
    const token = await hub.person('physician-a');
    const queryParams = { PatientName: 'wangxiaodong', fuzzymatching: 'true', limit: '5' };
    expect(values(await call(token, 'searchForStudies', { queryParams }), '0020000D')).toEqual([UID]);
    expect(await call(token, 'searchForStudies', { queryParams: { PatientID: 'nobody' } })).toEqual([]);
    expect(values(await call(token, 'searchForSeries', { studyInstanceUID: UID }), '00200011')).toEqual([1]);
    expect(values(await call(token, 'searchForInstances', { studyInstanceUID: UID }), '00200013')).toEqual(
      Array.from({ length: 12 }, (_, i) => i + 1),
    );
    const metadata = (await call(token, 'retrieveStudyMetadata', { studyInstanceUID: UID })) as DataSet[];
    expect(new Set(values(metadata, '00280010'))).toEqual(new Set([128]));

    const instance = Buffer.from((await call(token, 'retrieveInstance', of)) as string, 'base64');
    expect(instance.length).toBeGreaterThan(1000);
    const file = join(folder, 'retrieved.dcm');
    await writeFile(file, instance);
    expect((await run('dcmftest', [file])).stdout).toMatch(/^yes:/);
    const { stdout } = await run('dcmdump', ['-q', '+P', 'SOPInstanceUID', '+P', 'PatientName', file]);
    expect(stdout).toContain(`[${UID}.1.1]`);
    await run('dcmdjpls', [file, join(folder, 'decoded.dcm')]);
    const [picture] = [await call(token, 'retrieveInstanceRendered', of)].flat() as string[];
    expect(
      Buffer.from(picture ?? '', 'base64')
        .subarray(0, 3)
        .toString('hex'),
    ).toBe('ffd8ff');
    const [frame] = (await call(token, 'retrieveInstanceFrames', { ...of, frameNumbers: [1] })) as string[];
    expect(instance.includes(Buffer.from(frame ?? '', 'base64'))).toBe(true);
  });

  it('stores what a hospital pushes, and is told what it may not do', async () => {
    const files = await filesBelow(join(folder, 'sent'));
    const datasets = await Promise.all(files.map((file) => readFile(file)));
    const answer = JSON.parse(String(await call(await hub.system('a'), 'storeInstances', {}, datasets)));
    expect(answer['00081199'].Value).toHaveLength(2);
    const token = await hub.person('physician-a');
    expect(await call(token, 'searchForInstances', { studyInstanceUID: PUSHED })).toHaveLength(2);
    const stranger = await hub.person('physician-b');
    expect(await call(stranger, 'searchForStudies', {})).toEqual([]);
    await expect(call(stranger, 'retrieveInstance', of)).rejects.toThrow('request failed');
    await expect(call(stranger, 'storeInstances', {}, datasets)).rejects.toThrow('request failed');
  });
});

(viewer ? describe : describe.skip)('OHIF, a viewer that nobody here wrote', () => {
  /** In the page: the first viewport shows more than 50 shades. */
  const SHADES_ARE_DRAWN = `(() => {
    const canvas = document.querySelector('canvas.cornerstone-canvas');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return new Set(data.filter((_, i) => i % 4 === 0)).size > 50;
  })()`;

  async function open(username: string): Promise<{ page: Page; answers: string[] }> {
    const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
    const answers: string[] = [];
    page.on('response', (r) => {
      if (r.url().startsWith(hub.url) && r.request().method() !== 'OPTIONS')
        answers.push(`${r.status()} ${new URL(r.url()).pathname}`);
    });
    await page.goto(`${pages.url}/viewer?StudyInstanceUIDs=${UID}&token=${await hub.person(username)}`);
    return { page, answers };
  }

  it('shows a study to somebody to whom it is open: its pixels are drawn', async () => {
    const { page, answers } = await open('physician-a');
    await page.locator('canvas.cornerstone-canvas').first().waitFor({ timeout: 60_000 });
    await page.waitForFunction(SHADES_ARE_DRAWN, undefined, { timeout: 30_000 });
    const text = await page.locator('body').innerText();
    for (const shown of ['02-Jan-2026', 'Chest CT', 'Chest axial lung', '(1/12)']) expect(text).toContain(shown);
    expect(answers.filter((answer) => !answer.startsWith('200 '))).toEqual([]);
    expect(answers.some((answer) => answer.endsWith('/frames/1'))).toBe(true);
    if (process.env.SCREENSHOTS) await page.screenshot({ path: join(process.env.SCREENSHOTS, 'ohif-open.png') });
    await page.close();
  });

  it('shows a refusal to somebody to whom it is not', async () => {
    const { page, answers } = await open('physician-b');
    const refusal = page.getByText('not available at this time');
    await refusal.waitFor({ timeout: 60_000 });
    expect(await page.locator('canvas.cornerstone-canvas').count()).toBe(0);
    expect(answers.filter((answer) => answer.startsWith('200 '))).toEqual([]);
    if (process.env.SCREENSHOTS) await page.screenshot({ path: join(process.env.SCREENSHOTS, 'ohif-refused.png') });
    await page.close();
  });
});

describe('pages of other origins', () => {
  const preflight = (origin: string, path: string, method = 'GET') =>
    hub
      .http()
      .options(path)
      .set({ origin, 'access-control-request-method': method, 'access-control-request-headers': 'authorization,content-type' });

  it.each([
    ['/dicomweb/studies', 'GET'],
    ['/dicomweb/studies', 'POST'],
    ['/dicomweb/studies/1.2/series/1.3/metadata', 'GET'],
    ['/fhir/ImagingStudy', 'GET'],
    ['/token', 'POST'],
  ])('that are listed may ask %s by %s, with a token and without cookies', async (path, method) => {
    const { status, headers } = await preflight(pages.url, path, method);
    expect([status, headers['access-control-allow-origin']]).toEqual([204, pages.url]);
    expect(headers['access-control-allow-methods']).toContain(method);
    expect(headers['access-control-allow-headers']?.toLowerCase()).toContain('authorization');
    expect(headers['access-control-allow-credentials']).toBeUndefined();
  });

  it('that are listed see refusals and warnings, too', async () => {
    const { status, headers } = await hub.http().get('/dicomweb/studies').set('origin', pages.url);
    expect([status, headers['access-control-allow-origin']]).toEqual([401, pages.url]);
    expect(headers['access-control-expose-headers']).toContain('Warning');
    expect(headers['access-control-allow-credentials']).toBeUndefined();
    expect(headers['vary']).toContain('origin');
  });

  it.each(['https://evil.example', 'null', 'http://127.0.0.1', 'http://127.0.0.1.evil.example', 'https://127.0.0.1:8443'])(
    'that are not listed may not: %s',
    async (origin) => {
      const answers = [
        await preflight(origin, '/dicomweb/studies'),
        await hub.http().get('/dicomweb/studies').set('origin', origin),
      ];
      for (const { headers } of answers) expect(headers['access-control-allow-origin']).toBeUndefined();
    },
  );
});
