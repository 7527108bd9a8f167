import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { bundleOf, post, samplePatient } from '../../support/fhir-samples.js';
import { type RunningHub, startHub } from '../../support/running-hub.js';
import { type Client, clientOf, made } from '../security/world.js';

/** Two hospitals that may not know of each other's records, with records under the same codes and dates. */
let hub: RunningHub;
const writers: { client: Client; patientId: string }[] = [];
beforeAll(async () => {
  hub = await startHub();
  const hospitals = ['one', 'other'].map((id, i) => ({ id, assigner: `urn:oid:1.2.826.0.1.3680043.10.1451.6${i}` }));
  await hub.join(hospitals);
  for (const { id, assigner } of hospitals) {
    const client = clientOf(hub, await hub.system(id));
    const birthDate = `19${id.length}0-01-01`;
    writers.push({ client, patientId: made(await client.post(samplePatient(assigner, '1', { birthDate }))).id });
  }
});
afterAll(() => hub.stop());

/** The hospital (0 or 1) of a record, and its date. */
type Dated = [hospital: number, date: string | undefined];
const dated: fc.Arbitrary<Dated> = fc.tuple(
  fc.constantFrom(0, 0, 1),
  fc.option(fc.constantFrom('2023', '2024-05', '2024-05-06', '2024-05-06T08:00:00Z'), { nil: undefined }),
);

/** Stores Observations of one code. @returns ids of those of the first hospital. */
async function add(code: string, records: readonly Dated[]): Promise<string[]> {
  const ids: string[] = [];
  for (const [hospital, { client, patientId }] of writers.entries()) {
    const entries = records
      .filter(([of]) => of === hospital)
      .map(([, effectiveDateTime]) => ({
        resourceType: 'Observation',
        status: 'final',
        code: { coding: [{ system: 'urn:oid:1.2.3', code }] },
        subject: { reference: `Patient/${patientId}` },
        ...(effectiveDateTime ? { effectiveDateTime } : {}),
      }));
    if (entries.length === 0) continue;
    const { body } = await client.post(
      bundleOf(
        'transaction',
        entries.map((e) => post(e)),
      ),
      '/fhir',
    );
    if (hospital === 0) ids.push(...body.entry.map((e: { resource: { id: string } }) => e.resource.id));
  }
  return ids;
}

const idsOf = (body: { entry?: { resource: { id: string } }[] }): string[] => (body.entry ?? []).map((e) => e.resource.id);
const nextOf = (body: { link: { relation: string; url: string }[] }): string | undefined =>
  body.link.find((l) => l.relation === 'next')?.url.slice(hub.url.length);

describe('following next to the end', () => {
  let run = 0;
  it('gives each record that may be read once and in order, and what is added meanwhile at most once (property)', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(dated, { maxLength: 9 }),
        fc.array(fc.array(dated, { maxLength: 3 }), { maxLength: 4 }),
        fc.integer({ min: 1, max: 4 }),
        fc.constantFrom('date', '-date', '_lastUpdated', '-_lastUpdated', '_id', '-_id'),
        async (stored, meanwhile, size, sort) => {
          run += 1;
          const code = `run-${run}`;
          const { client } = writers[0]!;
          const search = `/fhir/Observation?code=${code}&_sort=${sort}`;
          const before = new Set(await add(code, stored));
          const inOrder = idsOf((await client.get(`${search}&_count=100`)).body);
          const added: string[] = [];
          const paged: string[] = [];
          const additions = [...meanwhile];
          for (let next: string | undefined = `${search}&_count=${size}`; next; ) {
            const { body } = await client.get(next);
            paged.push(...idsOf(body));
            next = nextOf(body);
            added.push(...(await add(code, additions.shift() ?? [])));
          }
          // what stood from the first page on: all of it, once, in the order that it had
          expect(paged.filter((id) => before.has(id))).toEqual(inOrder);
          expect(new Set(inOrder)).toEqual(before);
          expect(new Set(paged).size).toBe(paged.length);
          expect(paged.filter((id) => !before.has(id) && !added.includes(id))).toEqual([]);
          // and in the order that all of it has now
          const now = idsOf((await client.get(`${search}&_count=100`)).body);
          expect(paged).toEqual(now.filter((id) => paged.includes(id)));
        },
      ),
      { numRuns: 25 },
    );
  });
});
