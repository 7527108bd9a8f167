import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Browser } from 'playwright-core';
import { systems } from '../../../fhir-profiles/codes.js';
import type { FhirResource } from '../../../hub/store/search-keys.js';
import { courseChart } from '../../../hub/api/score-course-chart.js';
import { startBrowser } from '../../support/browser.js';
import { samplePatient, sampleStudy } from '../../support/fhir-samples.js';
import { type RunningHub, startHub } from '../../support/running-hub.js';

const A = { id: 'hospital-a', assigner: 'urn:oid:1.2.826.0.1.3680043.10.1451.61' };
const B = { id: 'hospital-b', assigner: 'urn:oid:1.2.826.0.1.3680043.10.1451.62' };
const PASSWORD = 'test-password';
const MODEL = 'proteomic-severity';
const DAYS = ['2026-03-02', '2026-03-05', '2026-03-09', '2026-03-16'];

let hub: RunningHub;
let system: string;
let physician: string;
let patient: string;

beforeAll(async () => {
  hub = await startHub({ password: PASSWORD, config: { workers: 1 } });
  await hub.join([A, B]);
  await hub.enrol(
    { username: 'li.wei', role: 'physician', organizationId: A.id },
    { username: 'sun.yue', role: 'physician', organizationId: B.id },
  );
  system = await hub.system(A.id);
  physician = await hub.person('li.wei');
  patient = (await send('/fhir/Patient', samplePatient(A.assigner, 'P-77'))).id!;
  await send('/fhir/ImagingStudy', sampleStudy(patient, { description: '胸部CT平扫' }));
  // samples arrive in another order than they were taken
  for (const [i, npx] of [4.5, 8.5, 7.5, 5.5].entries()) await score(await report(DAYS[[2, 0, 1, 3][i]!]!, npx));
});
afterAll(() => hub?.stop());

async function send(path: string, body: object, token = system): Promise<FhirResource> {
  const answer = await hub
    .http()
    .post(path)
    .set('authorization', `Bearer ${token}`)
    .set('content-type', 'application/fhir+json')
    .send(JSON.stringify(body));
  expect([path, answer.status, answer.body.issue]).toEqual([path, 201, undefined]);
  return answer.body;
}

async function report(day: string, npx: number): Promise<FhirResource> {
  const subject = { reference: `Patient/${patient}` };
  const effectiveDateTime = `${day}T08:00:00+08:00`;
  const result: object[] = [];
  for (const coding of hub.hub.models.get(MODEL)!.accepts.observations!.codes) {
    const { id } = await send('/fhir/Observation', {
      resourceType: 'Observation',
      status: 'final',
      code: { coding: [coding] },
      subject,
      effectiveDateTime,
      valueQuantity: { value: npx, unit: 'NPX', system: systems.ucum, code: '{NPX}' },
    });
    result.push({ reference: `Observation/${id}` });
  }
  return send('/fhir/DiagnosticReport', {
    resourceType: 'DiagnosticReport',
    status: 'final',
    code: { coding: [{ system: systems.loinc, code: '11502-2' }] },
    subject,
    effectiveDateTime,
    result,
  });
}

async function score(of: FhirResource): Promise<void> {
  const { id } = await send(
    '/fhir/Task',
    {
      resourceType: 'Task',
      status: 'requested',
      intent: 'order',
      code: { coding: [{ system: systems.taskKind, code: 'scoring-request' }] },
      focus: { reference: `DiagnosticReport/${of.id}` },
      for: { reference: `Patient/${patient}` },
      requester: { reference: `Organization/${A.id}` },
      input: [{ type: { text: 'model' }, valueString: MODEL }],
    },
    physician,
  );
  for (;;) {
    const { body } = await hub.http().get(`/fhir/Task/${id}`).set('authorization', `Bearer ${physician}`);
    if (['completed', 'failed'].includes(body.status)) return expect(body.status).toBe('completed');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const course = (query: Record<string, string> = {}, token = physician) =>
  hub
    .http()
    .get('/scoring/course')
    .query({ patient, model: MODEL, ...query })
    .set('authorization', `Bearer ${token}`);

describe('the course of a score', () => {
  it('has a point for each sample, in the order in which they were taken', async () => {
    const { status, body } = await course();
    expect([status, body.title]).toEqual([200, 'Probability of severe COVID-19 from plasma proteins']);
    expect(body.points.map((p: { effective: string }) => p.effective.slice(0, 10))).toEqual(DAYS);
    for (const point of body.points)
      expect(point).toMatchObject({ status: 'preliminary', threshold: 0.5, device: expect.stringMatching(/^Device\//) });
    const [first, second, third] = body.points.map((p: { value: number }) => p.value);
    expect(first).toBeGreaterThan(second);
    expect(second).toBeGreaterThan(third);
  });

  it('shows the latest score of a sample that was scored again, and none that was withdrawn', async () => {
    const before = (await course()).body.points;
    const laboratory = await report(DAYS[3]!, 6);
    await score(laboratory);
    const after = (await course()).body.points;
    expect(after.map((p: { effective: string }) => p.effective)).toEqual(before.map((p: { effective: string }) => p.effective));
    expect(after[3].observation).not.toBe(before[3].observation);
    expect(after.slice(0, 3)).toEqual(before.slice(0, 3));
  });

  it('is empty for whoever may not read the scores, and on record as the search that it is', async () => {
    const foreign = await course({}, await hub.person('sun.yue'));
    expect([foreign.status, foreign.body.points]).toEqual([200, []]);
    const { rows } = await hub.db.pool.query(
      "select agent from audit_event where subtype = 'search-type' and agent like '%sun.yue' order by id desc limit 1",
    );
    expect(rows).toHaveLength(1);
  });

  it.each([
    [{ model: 'astrology' }, 400],
    [{ model: 'pulmonary-nodule/../x' }, 400],
    [{ patient: "' or 1=1 --" }, 400],
    [{ format: 'exe' }, 400],
    [{ more: 'x' }, 400],
  ])('refuses %j', async (query, status) => {
    expect((await course(query as Record<string, string>)).status).toBe(status);
  });

  it('is a picture without script for the console, in Chinese or English', async () => {
    const chinese = await course({ format: 'svg' });
    expect(chinese.headers['content-type']).toBe('image/svg+xml; charset=utf-8');
    const picture = chinese.body.toString('utf8');
    expect(picture.match(/<circle /g)).toHaveLength(4);
    for (const words of ['由血浆蛋白得出的重症COVID-19概率 · 评分随时间的变化', '阈值 0.5']) expect(picture).toContain(words);
    expect(picture).not.toContain('<script');
    const english = (await course({ format: 'svg' }).set('accept-language', 'en')).body.toString('utf8');
    for (const words of ['Probability of severe COVID-19 from plasma proteins · Score over time', 'threshold 0.5'])
      expect(english).toContain(words);
  });
});

describe('values that are no shares', () => {
  const point = (value: number, threshold?: number) => ({
    observation: 'Observation/o',
    effective: '2026-03-02T08:00:00+08:00',
    value,
    status: 'final',
    method: '',
    device: '',
    ...(threshold === undefined ? {} : { threshold }),
  });
  const drawn = (of: Omit<Parameters<typeof courseChart>[0], 'title'>, ...points: ReturnType<typeof point>[]) => {
    const picture = courseChart({ title: 'Blood', ...of }, points, 'en');
    return {
      picture,
      labels: [...picture.matchAll(/text-anchor="end" fill="#546e7a">(-?[\d.]+)</g)].map(([, label]) => Number(label)),
      heights: [...picture.matchAll(/cy="(-?[\d.]+)"/g)].map(([, y]) => Number(y)),
    };
  };

  it.each([
    [{ unit: 'mL', minimum: 0, maximum: 2500 }, [point(11.9)], [0, 5, 10, 15], 76.5],
    [{ unit: 'mm' }, [point(0)], [0, 1], 232],
    [{ unit: '1', minimum: 0, maximum: 1 }, [point(0.25, 0.5)], [0, 0.25, 0.5, 0.75, 1], 183],
    [{ unit: '1', minimum: 0, maximum: 1000, integer: true }, [point(1)], [0, 1, 2, 3, 4], 183],
    [{ unit: '%', minimum: 0, maximum: 100 }, [point(50)], [0, 25, 50, 75, 100], 134],
    [{ unit: 'K', minimum: -5 }, [point(-5), point(3)], [-6, -4, -2, 0, 2, 4], 212.4],
  ])('are drawn over their own range, with their unit: %j', (of, points, labels, height) => {
    const { picture, ...there } = drawn(of, ...points);
    expect(there.labels).toEqual(labels);
    expect(there.heights[0]).toBeCloseTo(height, 0);
    expect(picture.includes(`Blood (${of.unit})`)).toBe(of.unit !== '1');
    expect(picture.includes('threshold')).toBe('threshold' in points[0]!);
  });
});

describe('the page that a launch opens', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await startBrowser();
  });
  afterAll(() => browser?.close());

  it('draws the course beside the studies', async () => {
    const launch = await hub
      .http()
      .post('/launch')
      .set('authorization', `Bearer ${system}`)
      .send({ patient: { identifier: { system: A.assigner, value: 'P-77' } }, user: { subject: 'li.wei' } });
    const page = await (await browser.newContext({ locale: 'zh-CN' })).newPage();
    const errors: string[] = [];
    page.on('pageerror', (error) => errors.push(error.message));
    page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
    await page.goto(launch.body.url);
    await page.fill('#username', 'li.wei');
    await page.fill('#password', PASSWORD);
    await page.click('button');
    await page.waitForSelector('#courses svg');
    expect(await page.locator('#courses circle').count()).toBe(DAYS.length);
    expect(await page.locator('#courses svg').getAttribute('aria-label')).toContain(DAYS[0]!);
    if (process.env.SCREENSHOTS) await page.screenshot({ path: `${process.env.SCREENSHOTS}/score-course.png`, fullPage: true });
    expect(errors).toEqual([]);
  });
});
