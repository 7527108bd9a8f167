import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { StudyDescription } from '../../../connectors/connector.js';
import { extensions, validateResource } from '../../../fhir-profiles/index.js';
import { findResource, toResource } from '../../../hub/store/resources.js';
import { submitStudy } from '../../../hub/ingest/submit-study.js';
import { sql } from '../../../hub/store/sql.js';
import { assigner, count, instance, type Region, region, series, storedStudy, study, WANG } from './studies.js';

let at: Region;
beforeAll(async () => {
  at = await region();
});
afterAll(() => at?.close());

const TABLES = ['study_claim', 'imaging_series', 'imaging_instance', 'patients', 'provenances'] as const;

let next = 0;
const uid = (): string => `2.25.7${++next}`;

describe('a study that a source states', () => {
  it('becomes an ImagingStudy that the profile admits', async () => {
    const chest = series(
      '2.25.11',
      [instance('2.25.112', { number: 2 }), instance('2.25.111', { number: 1, title: 'Localizer' })],
      {
        number: 3,
        description: 'Thorax 1.0',
        bodyPartExamined: 'CHEST',
        laterality: 'R',
      },
    );
    const report = series('2.25.12', [instance('2.25.121')], { modality: 'SR', number: 1, bodyPartExamined: 'SOMEWHERE' });
    const unknown = series('2.25.13', [instance('2.25.131')], { modality: undefined });
    const submitted = await at.submit(
      study('2.25.1', [chest, report, unknown], { accessionNumber: 'ACC-1', description: '胸部CT平扫', claimedInstances: 5 }),
    );
    const stored = await storedStudy(at, submitted);
    expect(validateResource(stored)).toEqual([]);
    expect(stored).toMatchObject({
      identifier: [
        { system: 'urn:dicom:uid', value: 'urn:oid:2.25.1' },
        { type: { coding: [{ code: 'ACSN' }] }, value: 'ACC-1', assigner: { reference: 'Organization/A' } },
      ],
      status: 'available',
      subject: { reference: `Patient/${submitted.patientId}` },
      started: '2024-02-29T09:30:00+08:00',
      description: '胸部CT平扫',
      modality: [{ code: 'CT' }, { code: 'SR' }],
      numberOfSeries: 3,
      numberOfInstances: 4,
      extension: [
        { url: extensions.custodian, valueReference: { reference: 'Organization/A' } },
        { url: extensions.completeness, valueCode: 'partial' },
      ],
      series: [
        { uid: '2.25.12', modality: { code: 'SR' }, bodySite: { display: 'SOMEWHERE' } },
        {
          uid: '2.25.11',
          number: 3,
          description: 'Thorax 1.0',
          numberOfInstances: 2,
          bodySite: { code: '816094009' },
          laterality: { code: '24028007' },
          instance: [
            {
              uid: '2.25.111',
              number: 1,
              title: 'Localizer',
              sopClass: { system: 'urn:ietf:rfc:3986', code: 'urn:oid:1.2.840.10008.5.1.4.1.1.2' },
            },
            { uid: '2.25.112', number: 2 },
          ],
        },
        { uid: '2.25.13', modality: { extension: [{ valueCode: 'unknown' }] } },
      ],
    });
    const patient = await findResource(at.db, 'Patient', submitted.patientId ?? '');
    expect(toResource(patient!)).toMatchObject({
      identifier: [{ system: assigner('A'), value: '1001' }],
      birthDate: '1968-03-12',
      gender: 'male',
    });
  });

  it('leaves one Provenance and one audit entry for each submission that changed something, none for a repetition', async () => {
    const [a, b, s] = [uid(), uid(), uid()];
    const before = await count(at, 'provenances');
    const first = await at.submit(study(s, [series(`${s}.1`, [instance(a)])]));
    const again = await at.submit(study(s, [series(`${s}.1`, [instance(a)])]));
    const more = await at.submit(study(s, [series(`${s}.1`, [instance(b)])]));
    expect([first, again, more].map(({ created, changed }) => ({ created, changed }))).toEqual([
      { created: true, changed: true },
      { created: false, changed: false },
      { created: false, changed: true },
    ]);
    expect((await count(at, 'provenances')) - before).toBe(2);
    const entries = await at.db.query<{ action: string }>(
      sql`select action from audit_event where type = 'ingest' and entity @> ${[`ImagingStudy/${first.studyId}`]}::text[] order by id`,
    );
    expect(entries.map((e) => e.action)).toEqual(['C', 'U']);
    expect((await storedStudy(at, first)).meta?.versionId).toBe('2');
  });

  it('is another record when another hospital holds it too', async () => {
    const s = uid();
    const ofA = await at.submit(study(s, [series(`${s}.1`, [instance(uid())])]));
    const ofB = await at.submit(study(s, [series(`${s}.1`, [instance(uid()), instance(uid())])]), { custodianId: 'B' });
    expect(ofB.studyId).not.toBe(ofA.studyId);
    expect(ofB.patientId).not.toBe(ofA.patientId);
    expect((await storedStudy(at, ofA)).numberOfInstances).toBe(1);
    expect((await storedStudy(at, ofB)).numberOfInstances).toBe(2);
  });

  it('without a patient number has a Patient of its own, and joins nobody', async () => {
    const [one, other] = [uid(), uid()];
    const patient = { name: 'Wang^XiaoDong' };
    const first = await at.submit(study(one, [series(`${one}.1`, [instance(uid())])], { patient }));
    const second = await at.submit(study(other, [series(`${other}.1`, [instance(uid())])], { patient }));
    const part = await at.submit(study(one, [series(`${one}.1`, [instance(uid())])], { patient: {} }));
    expect(first.patientId).not.toBe(second.patientId);
    expect(part.patientId).toBe(first.patientId);
    expect((await storedStudy(at, first)).numberOfInstances).toBe(2);
  });

  it('says that it is complete once all claimed instances are indexed', async () => {
    const [s, a, b] = [uid(), uid(), uid()];
    const part = (...uids: string[]) =>
      study(
        s,
        [
          series(
            `${s}.1`,
            uids.map((u) => instance(u)),
          ),
        ],
        { claimedInstances: 2 },
      );
    const state = async (of: StudyDescription) =>
      (await storedStudy(at, await at.submit(of))).extension.find((e: { url: string }) => e.url === extensions.completeness)
        .valueCode;
    expect(await state(part(a))).toBe('partial');
    expect(await state(part(b))).toBe('complete');
  });

  it('is measured by the largest count that its source claimed, in whatever order the counts come', async () => {
    const s = uid();
    for (const claimedInstances of [3, 1]) {
      const stored = await storedStudy(
        at,
        await at.submit(study(s, [series(`${s}.1`, [instance(uid())])], { claimedInstances })),
      );
      expect(stored.extension).toContainEqual({ url: extensions.completeness, valueCode: 'partial' });
    }
  });

  it('lands whole or not at all: without its audit entry nothing is stored', async () => {
    const s = uid();
    const before = await Promise.all(TABLES.map((table) => count(at, table)));
    const failing = { ...at.audit, append: () => Promise.reject(new Error('no audit')) };
    const part = study(s, [series(`${s}.1`, [instance(uid())])], { patient: { patientId: `p-${s}` } });
    const submitted = at.db.transaction((tx) =>
      submitStudy(tx, { audit: failing }, { custodianId: 'A', study: part, requestId: 'test' }),
    );
    await expect(submitted).rejects.toThrow('no audit');
    expect(await Promise.all(TABLES.map((table) => count(at, table)))).toEqual(before);
  });

  it('is handed on for scoring in the same transaction, only when it changed', async () => {
    const s = uid();
    const handed: string[] = [];
    const deps = {
      audit: at.audit,
      scheduleAutomatic: async (_: unknown, { studyRow }: { studyRow: { id: string } }) => handed.push(studyRow.id),
    };
    const part = study(s, [series(`${s}.1`, [instance(uid())])]);
    const submit = () => at.db.transaction((tx) => submitStudy(tx, deps, { custodianId: 'A', study: part, requestId: 'test' }));
    const { studyId } = await submit();
    await submit();
    expect(handed).toEqual([studyId]);
  });

  it('is taken in statements of bounded size when it is big', async () => {
    const s = uid();
    const many = Array.from({ length: 2500 }, (_, i) => instance(`${s}.1.${i + 1}`, { number: i + 1 }));
    const stored = await storedStudy(at, await at.submit(study(s, [series(`${s}.1`, many)])));
    expect(stored.numberOfInstances).toBe(2500);
    expect(stored.series[0].instance[2499]).toMatchObject({ uid: `${s}.1.2500`, number: 2500 });
  });
});

describe('parts of a study', () => {
  it('end as the same resource in any order, partition, repetition and interleaving', async () => {
    await fc.assert(
      fc.asyncProperty(parts(), async ({ whole, pieces }) => {
        const [ordered, shuffled] = [uid(), uid()];
        const expected = await storedStudy(at, await at.submit(withPrefix(whole, ordered)));
        const results = await inBatches(
          pieces.map((piece) => withPrefix(piece, shuffled)),
          (piece) => at.submit(piece),
        );
        const stored = await storedStudy(at, results[0]!);
        expect(comparable(stored, shuffled)).toEqual(comparable(expected, ordered));
        expect(new Set(results.map((r) => r.studyId)).size).toBe(1);
        expect(results.flatMap((r) => r.quarantined)).toEqual([]);
      }),
      { numRuns: 25 },
    );
  });

  it('that two submit at the same moment end with the right counts', async () => {
    const s = uid();
    const uids = Array.from({ length: 40 }, () => uid());
    const submissions = uids.map((u, i) =>
      study(s, [series(`${s}.${1 + (i % 3)}`, [instance(u), instance(uids[(i + 1) % 40] ?? '', {})].slice(0, 1))], {
        patient: { ...WANG, patientId: `p-${s}` },
      }),
    );
    const results = await Promise.all([...submissions, ...submissions].map((one) => at.submit(one)));
    expect(new Set(results.map((r) => r.studyId)).size).toBe(1);
    expect(new Set(results.map((r) => r.patientId)).size).toBe(1);
    const stored = await storedStudy(at, results[0]!);
    expect(stored).toMatchObject({ numberOfSeries: 3, numberOfInstances: 40 });
    expect(results.filter((r) => r.created)).toHaveLength(1);
  });
});

/** A study whose parts agree or disagree in what they say of it, and the parts: every instance at least once, some twice. */
function parts() {
  const described = fc.record({
    description: fc.option(fc.constantFrom('胸部', 'chest'), { nil: undefined }),
    started: fc.option(fc.constantFrom('2024-01-02', '2024-01'), { nil: undefined }),
  });
  const ofSeries = fc.record({
    number: fc.option(fc.integer({ min: 0, max: 3 }), { nil: undefined }),
    modality: fc.constantFrom('CT', 'MR', undefined),
    bodyPartExamined: fc.constantFrom('CHEST', 'ODD', undefined),
  });
  const one = fc.record({
    series: fc.integer({ min: 1, max: 3 }),
    number: fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined }),
    study: described,
    of: ofSeries,
  });
  return fc
    .array(one, { minLength: 1, maxLength: 8 })
    .chain((instances) => {
      const pieces = instances.map((i, n) =>
        study('S', [series(`S.${i.series}`, [instance(`S.${i.series}.${n + 1}`, { number: i.number })], i.of)], {
          ...i.study,
          accessionNumber: n % 2 ? 'A1' : undefined,
        }),
      );
      const repeated = fc.shuffledSubarray(pieces.map((_, n) => n));
      return fc.tuple(fc.shuffledSubarray(pieces, { minLength: pieces.length }), repeated).map(([order, again]) => ({
        whole: { pieces },
        pieces: [...order, ...again.flatMap((n) => pieces[n] ?? [])],
      }));
    })
    .map(({ whole, pieces }) => ({ whole: joined(whole.pieces), pieces }));
}

/** All pieces as one submission; each keeps its own word on its series. */
function joined(pieces: StudyDescription[]): StudyDescription {
  const least = (values: (string | undefined)[]) => values.filter((v): v is string => v !== undefined).sort()[0];
  return {
    ...pieces[0]!,
    description: least(pieces.map((p) => p.description)),
    started: least(pieces.map((p) => p.started)),
    accessionNumber: least(pieces.map((p) => p.accessionNumber)),
    series: pieces.flatMap((p) => p.series),
  };
}

/** UIDs and locators of its own for each run. */
const withPrefix = (piece: StudyDescription, prefix: string): StudyDescription =>
  JSON.parse(JSON.stringify(piece).replaceAll('"S', `"${prefix}`).replaceAll('files/S', `files/${prefix}`));

/** Two at a time: neighbours race, the rest follow. */
async function inBatches<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let i = 0; i < items.length; i += 2) results.push(...(await Promise.all(items.slice(i, i + 2).map(work))));
  return results;
}

function comparable(stored: { id: string; meta?: object }, prefix: string): unknown {
  const { id: _id, meta: _meta, ...content } = JSON.parse(JSON.stringify(stored).replaceAll(prefix, 'S'));
  return content;
}
