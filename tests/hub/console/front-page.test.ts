import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Browser } from 'playwright-core';
import { startBrowser } from '../../support/browser.js';
import { type RunningHub, startHub } from '../../support/running-hub.js';

let hub: RunningHub;
let browser: Browser;

beforeAll(async () => {
  hub = await startHub();
  await hub.join([
    { id: 'hospital-a', assigner: 'urn:oid:1.2.826.0.1.3680043.10.1451.51' },
    { id: 'hospital-b', assigner: 'urn:oid:1.2.826.0.1.3680043.10.1451.52' },
  ]);
  browser = await startBrowser();
});
afterAll(async () => {
  await browser?.close();
  await hub?.stop();
});

async function open(locale: string, width: number) {
  const page = await (await browser.newContext({ locale, viewport: { width, height: 800 } })).newPage();
  const errors: string[] = [];
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  const answer = await page.goto(hub.url);
  return { page, errors, status: answer?.status() };
}

describe('the front page in a browser', () => {
  it.each([
    ['zh-CN', '区域影像数据共享联邦中心', '家医院'],
    ['en-US', 'Regional imaging federation hub', 'hospitals'],
  ])('speaks %s and says what the region holds', async (locale, title, hospitals) => {
    const { page, errors, status } = await open(locale, 900);
    expect({ status, errors, title: await page.title() }).toEqual({ status: 200, errors: [], title });
    const holds = await page.locator('ul.holds li').allInnerTexts();
    expect(holds[0]?.split(/\s+/)).toEqual(['2', hospitals]);
  });

  it('fits a phone without scrolling sideways', async () => {
    const { page } = await open('zh-CN', 360);
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(360);
  });

  it('leads to what it names', async () => {
    const { page } = await open('en-US', 900);
    for (const link of await page.locator('main a').all()) {
      const answer = await page.request.get(new URL((await link.getAttribute('href')) ?? '', hub.url).href);
      expect({ link: await link.innerText(), status: answer.status() }).toMatchObject({ status: 200 });
    }
  });
});
