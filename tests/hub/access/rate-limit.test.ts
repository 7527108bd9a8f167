import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { createRateLimit } from '../../../hub/access/authentication/rate-limit.js';
import { costOfBundle, costOfRequest } from '../../../hub/access/authentication/request-cost.js';
import type { AuditEntry } from '../../../hub/audit/vocabulary.js';
import { Refusal } from '../../../hub/outcomes.js';
import { bundleOf } from '../../support/fhir-samples.js';
import { type RunningHub, startHub } from '../../support/running-hub.js';
import { type Client, clientOf } from '../security/world.js';

const context = { requestId: 'r', address: '192.0.2.1' };
const bearer = (subject: string) => ({ issuer: 'https://hub.example', subject, signedBy: 'hub' as const, clientId: 'c' });

describe('a bucket', () => {
  it('never lets through more than a burst and what has flowed in, whatever comes when; and a full one lets a burst through', async () => {
    const steps = fc.array(fc.record({ wait: fc.integer({ min: 0, max: 5000 }), cost: fc.integer({ min: 1, max: 40 }) }), {
      minLength: 1,
      maxLength: 60,
    });
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 100 }), steps, async (rate, burst, given) => {
        let now = 0;
        const recorded: number[] = [];
        const commit = async (_: readonly AuditEntry[]) => void recorded.push(now);
        const limit = createRateLimit({ rateLimit: rate, rateBurst: burst }, { commit }, () => now);
        const passes = (subject: string, cost: number) =>
          limit.charge(bearer(subject), cost, context).then(
            () => true,
            () => false,
          );
        let used = 0;
        let model = burst;
        for (const { wait, cost } of given) {
          now += wait;
          model = Math.min(burst, model + (wait / 1000) * rate);
          const price = Math.min(cost, burst);
          const passed = await passes('Client/a', cost);
          // the same but for rounding
          if (Math.abs(model - price) > 1e-6) expect(passed).toBe(model >= price);
          if (passed) {
            model -= price;
            used += price;
          }
          expect(used).toBeLessThanOrEqual(burst + (now / 1000) * rate + 1e-6);
        }
        for (const [i, at] of recorded.slice(1).entries()) expect(at - recorded[i]!).toBeGreaterThanOrEqual(60_000);
        expect(await passes('Client/b', burst)).toBe(true);
      }),
      { numRuns: 200 },
    );
  });
});

describe('a refusal', () => {
  it("is none that can't be recorded", async () => {
    const limit = createRateLimit(
      { rateLimit: 1, rateBurst: 1 },
      { commit: () => Promise.reject(new Refusal(503, [])) },
      () => 0,
    );
    await limit.charge(bearer('Client/a'), 1, context);
    await expect(limit.charge(bearer('Client/a'), 1, context)).rejects.toMatchObject({ status: 503 });
  });
});

describe('a request', () => {
  const cost = (method: string, target: string) => {
    const url = new URL(target, 'https://hub.example');
    return costOfRequest({ method, path: url.pathname, query: url.searchParams });
  };
  it.each<[string, string, number]>([
    ['GET', '/fhir/ImagingStudy/1', 1],
    ['GET', '/fhir/ImagingStudy/1/_history', 1],
    ['GET', '/fhir/ImagingStudy?patient=1', 2],
    ['GET', '/fhir/ImagingStudy?patient=1&_include=ImagingStudy:patient&_revinclude:iterate=Provenance:target', 4],
    ['GET', '/fhir/Patient?_has:ImagingStudy:patient:modality=CT', 3],
    ['GET', '/fhir/ImagingStudy?patient.identifier=1&_total=accurate', 8],
    ['POST', '/fhir/ImagingStudy/_search', 2],
    ['POST', '/fhir/ImagingStudy', 2],
    ['PUT', '/fhir/ImagingStudy/1', 2],
    ['GET', '/dicomweb/studies/1', 5],
    ['GET', '/reports/exchange-volume', 50],
    ['POST', '/access/explain', 2],
  ])('%s %s weighs %i', (method, target, expected) => {
    expect(cost(method, target)).toBe(expected);
  });
  it('of many entries weighs what they do', () => {
    const entry = (method: string, url: string) => ({ request: { method, url } });
    const bundle = bundleOf('batch', [
      entry('GET', 'Patient/1'),
      entry('GET', 'Patient?_id=1'),
      entry('POST', 'Patient'),
      null as never,
    ]);
    expect(costOfBundle(bundle)).toBeGreaterThanOrEqual(5);
    for (const broken of [{}, { entry: 'x' }, { entry: [{ request: { url: 7 } }, 3] }])
      expect(costOfBundle(broken)).toBeGreaterThanOrEqual(0);
  });
});

describe('a client that asks too much', () => {
  let hub: RunningHub;
  let flooding: Client;
  let quiet: Client;
  beforeAll(async () => {
    hub = await startHub({ config: { rateLimit: 1, rateBurst: 60 } });
    await hub.db.pool.query("insert into organization (id, kind, name) values ('a', 'hospital', 'a'), ('b', 'hospital', 'b')");
    flooding = clientOf(hub, await hub.system('a'));
    quiet = clientOf(hub, await hub.system('b'));
  });
  afterAll(() => hub.stop());

  it('is told to wait, at no cost of the database; others are served; one refusal is on record', async () => {
    const began = Date.now();
    let passed = 0;
    let refused: Awaited<ReturnType<Client['get']>> | undefined;
    for (let i = 0; i < 400 && !refused; i += 1) {
      const answer = await flooding.get('/fhir/Organization/a');
      if (answer.status === 429) refused = answer;
      else passed += 1;
    }
    expect(refused?.body).toMatchObject({ resourceType: 'OperationOutcome', issue: [{ severity: 'error', code: 'throttled' }] });
    expect(Number(refused?.headers['retry-after'])).toBeGreaterThanOrEqual(1);
    expect(passed).toBeLessThanOrEqual(60 + Math.ceil((Date.now() - began) / 1000));

    // a count of entries weighs more than what has flowed in meanwhile
    const entries = Array.from({ length: 40 }, () => ({ request: { method: 'GET', url: 'Organization?_id=a' } }));
    let taken = 0;
    const onTake = () => {
      taken += 1;
    };
    hub.db.pool.on('acquire', onTake);
    const flood = await Promise.all(Array.from({ length: 20 }, () => flooding.post(bundleOf('batch', entries), '/fhir')));
    hub.db.pool.off('acquire', onTake);
    expect(flood.map((a) => a.status)).toEqual(flood.map(() => 429));
    expect(taken).toBe(0);

    // what has flowed in meanwhile is used up, till a token is asked for before more has
    let tokens = '';
    for (let tries = 0; tries < 50 && !/429|slow_down/.test(tokens); tries += 1) {
      while ((await flooding.get('/fhir/Organization/a')).status !== 429);
      taken = 0;
      hub.db.pool.on('acquire', onTake);
      tokens = await hub.system('a').catch(String);
      hub.db.pool.off('acquire', onTake);
    }
    expect(tokens).toMatch(/429|slow_down/);
    // the registry's word on the client may be looked up again by the token endpoint: its own, once
    expect(taken).toBeLessThanOrEqual(1);

    expect((await quiet.get('/fhir/Organization/a')).status).toBe(404);
    const { rows } = await hub.db.pool.query("select agent, client_id, outcome from audit_event where subtype = 'throttled'");
    expect(rows).toEqual([{ agent: 'Client/a.hospital-system', client_id: 'a.hospital-system', outcome: 4 }]);
    const metrics = (await hub.http().get('/metrics')).text;
    expect(Number(/hub_requests_throttled_total\{route="\/fhir"\} (\d+)/.exec(metrics)?.[1])).toBeGreaterThanOrEqual(20);
  });
});

describe('no limit', () => {
  it('is what 0 stands for', async () => {
    const limit = createRateLimit({ rateLimit: 0, rateBurst: 1 }, { commit: () => Promise.reject(new Error('recorded')) });
    for (let i = 0; i < 100; i += 1) await limit.charge(bearer('Client/a'), 100, context);
  });
});
