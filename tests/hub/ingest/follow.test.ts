import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { addSource } from '../../../hub/ingest/hospital.js';
import { retryQuarantined } from '../../../hub/ingest/retry-quarantined.js';
import type { Sources } from '../../../hub/ingest/watch-sources.js';
import { createAutomaticScoring } from '../../../hub/scoring/automatic.js';
import { loadModels } from '../../../hub/scoring/models.js';
import { sql } from '../../../hub/store/sql.js';
import { dataSet, part10 } from '../../connectors/support/data-sets.js';
import { type Answer, hang, html, json, metadata, redirect, studyEntry } from '../../connectors/support/hostile-pacs.js';
import { type ArchivePacs, startArchivePacs, uidOf } from './archive-pacs.js';
import { type Watching, watching } from './watching.js';

const forbidden: Answer = (_, response) => response.writeHead(403).end();

let at: Watching;
let pacs: ArchivePacs;
let sources: Sources;
beforeEach(async () => {
  at = await watching();
  pacs = await startArchivePacs();
});
afterEach(async () => {
  await at.close();
  await pacs.stop().catch(() => undefined);
});

/** The PACS as a source, with so many studies of two instances each, read and listed. */
async function indexed(studies: number): Promise<void> {
  for (let study = 1; study <= studies; study += 1) for (const instance of [1, 2]) pacs.put(study, instance);
  await at.pacs('p', pacs.url);
  sources = at.start();
  await sources.idle();
  await sources.idle();
}
const read = async (): Promise<void> => {
  await sources.idle();
  await sources.idle();
};
const held = async (on: Watching = at) =>
  (await on.db.query<{ reason: string; study: string }>(
    sql`select reason, study_instance_uid as study from quarantine where state = 'held' order by 2, 1`,
  )) as { reason: string; study: string }[];
const index = async (on: Watching = at): Promise<Record<string, string[]>> => {
  const rows = await on.db.query<{ study: string; uids: string[] }>(sql`
    select study_instance_uid as study, array_agg(sop_instance_uid order by sop_instance_uid) as uids
    from imaging_instance where custodian_id = 'A' group by 1`);
  return Object.fromEntries(rows.map(({ study, uids }) => [study, uids]));
};
/** Patients as studies name them, and what images say of each study. */
const shown = async (custodian: string, on: Watching = at) =>
  on.db.query(sql`
    select c.study_instance_uid as study, r.deleted, p.content->'name' as patient, r.content->'series' as series,
      r.content->>'numberOfInstances' as instances, r.content->>'description' as description, r.modality
    from study_claim c join resource r on r.id = c.study_id and r.type = 'ImagingStudy' left join resource p on p.type = 'Patient' and p.id = r.patient_id
    where c.custodian_id = ${custodian} and not r.deleted order by 1`);

describe('a study that a PACS no longer has', () => {
  it('leaves the index when the PACS denies it; what was known of it is kept', async () => {
    await indexed(3);
    pacs.discard(2);
    await read();
    expect(await index()).toEqual(pacs.holds());
    expect(await held()).toEqual([]);
    const kept = await at.db.query(sql`select sop_instance_uid as uid, cause from removed_instance order by 1`);
    expect(kept).toEqual([1, 2].map((instance) => ({ uid: uidOf(2, instance), cause: 'gone' })));
    const [study] = await at.db.query<{ version: number; content: string; modality: string[] }>(sql`
      select r.version, r.content, r.modality from resource r where r.type = 'ImagingStudy' and r.deleted`);
    expect([study?.version, study?.modality, JSON.parse(study?.content ?? '').series]).toEqual([2, ['CT'], undefined]);
    const [provenance] = await at.db.query<{ content: string }>(sql`
      select r.content from resource r where r.type = 'Provenance' order by r.id desc limit 1`);
    expect(JSON.parse(provenance?.content ?? '').activity.coding[0].code).toBe('DELETE');
  });

  it('loses single objects too, whether the hub runs at the time or not', async () => {
    await indexed(3);
    pacs.discard(1, 1);
    await read();
    expect(await index()).toEqual(pacs.holds());
    await sources.stop();
    pacs.discard(2, 2);
    sources = at.start();
    await sources.reindex('p');
    await read();
    expect(await index()).toEqual(pacs.holds());
    expect(await held()).toEqual([]);
  });

  it('stays while the PACS lists nothing of it and delivers it, does not answer, refuses to tell, or answers something else', async () => {
    const wrong: Answer[] = [json([metadata(uidOf(1), `${uidOf(1)}.1`, uidOf(1, 1))]), hang, html, redirect, forbidden];
    await indexed(wrong.length + 1);
    const path = (study: number) => `studies/${uidOf(study)}/series/${uidOf(study)}.1/metadata`;
    for (const [i, answer] of wrong.entries()) {
      pacs.discard(i + 1);
      pacs.lie(path(i + 1), answer);
    }
    await read();
    expect(Object.keys(await index())).toHaveLength(wrong.length + 1);
    expect(await held()).toEqual([]);
    for (const i of wrong.keys()) pacs.lie(path(i + 1));
    await at.db.query(sql`update source_look set due = now()`);
    await read();
    expect(await index()).toEqual(pacs.holds());
  });

  it('is not taken for gone because a listing is cut, is of other studies, is empty, or is none', async () => {
    await indexed(3);
    for (const answer of [json([studyEntry(uidOf(3), 2)]), json([studyEntry('1.2.3', 1)]), json([]), html]) {
      pacs.lie('studies', answer);
      await read();
      await sources.reindex('p');
      await sources.idle();
      expect(Object.keys(await index())).toEqual([uidOf(1), uidOf(2), uidOf(3)]);
    }
    pacs.lie('studies');
    await at.db.query(sql`update source_look set due = now()`);
    await read();
    expect(await index()).toEqual(pacs.holds());
    expect((await held()).filter(({ study }) => study !== '1.2.3')).toEqual([]);
  });

  it('waits for a person when the PACS has nothing at all any more; his word removes it, and its return resolves it', async () => {
    await indexed(2);
    pacs.discard(1);
    pacs.discard(2);
    await read();
    expect(await held()).toEqual([1, 2].map((study) => ({ reason: 'removal-unconfirmed', study: uidOf(study) })));
    expect(Object.keys(await index())).toHaveLength(2);
    const [item] = await at.db.query<{ id: string }>(sql`select id from quarantine where study_instance_uid = ${uidOf(1)}`);
    const retrying = { db: at.db, audit: at.audit, connectorFor: sources.connectorFor };
    const retried = await retryQuarantined(retrying, { custodianId: 'A', id: item?.id ?? '', requestId: 'test' });
    expect(retried.state).toBe('resolved');
    expect(Object.keys(await index())).toEqual([uidOf(2)]);
    for (const instance of [1, 2]) pacs.put(2, instance);
    await sources.reindex('p');
    await at.db.query(
      sql`insert into source_look (connector_id, study_instance_uid) values ('p', ${uidOf(2)}) on conflict do nothing`,
    );
    await read();
    expect(await held()).toEqual([]);
    expect(await index()).toEqual(pacs.holds());
  });

  it('goes with few others in a day; more wait for a person', async () => {
    await indexed(25);
    for (let study = 1; study <= 20; study += 1) pacs.discard(study);
    await read();
    expect([Object.keys(await index()).length, (await held()).length]).toEqual([15, 10]);
  });

  it('is found in another archive of the hospital that has it, too', async () => {
    await indexed(2);
    const second = await startArchivePacs();
    try {
      for (const instance of [1, 2]) second.put(1, instance);
      await at.pacs('q', second.url);
      await read();
      pacs.discard(1);
      await read();
      await read();
      const [from] = await at.db.query<{ id: string }>(sql`
        select distinct connector_id as id from imaging_instance where study_instance_uid = ${uidOf(1)}`);
      expect(from?.id).toBe('q');
      expect(await shown('A')).toHaveLength(2);
    } finally {
      await second.stop();
    }
  });
});

describe('what a retrieval does not find', () => {
  it('has its study looked at', async () => {
    await indexed(2);
    pacs.discard(1, 2);
    const request = { studyInstanceUid: uidOf(1), representation: 'instances' as const, instances: [] };
    await expect(sources.connectorFor('p')?.retrieve(request, new AbortController().signal)).rejects.toMatchObject({
      code: 'not-found',
    });
    await until(async () => (await index())[uidOf(1)]?.length === 1);
  });
});

describe('a patient whom a PACS describes otherwise', () => {
  const as = (name: string) => ({ '00100010': { vr: 'PN', Value: [{ Alphabetic: name }] } });
  const names = async () => (await shown('A')).map((row) => JSON.stringify(row['patient']));

  it('is corrected once all his studies there say the same; till then the first description stands', async () => {
    await indexed(2);
    for (const instance of [1, 2]) pacs.put(1, instance, as('Wang^Xiaodong^Corrected'));
    await sources.reindex('p');
    await read();
    expect(new Set((await held()).map(({ reason }) => reason))).toEqual(new Set(['patient-conflict']));
    expect((await names()).join()).not.toMatch(/Corrected/);
    for (const instance of [1, 2]) pacs.put(2, instance, as('Wang^Xiaodong^Corrected'));
    await sources.reindex('p');
    await read();
    await read();
    expect(await held()).toEqual([]);
    expect((await names()).every((name) => /Corrected/.test(name))).toBe(true);
  });

  it('is not corrected by objects that were only added', async () => {
    await indexed(1);
    pacs.put(1, 3, as('Li^Na'));
    await read();
    expect((await held()).map(({ reason }) => reason)).toEqual(['patient-conflict']);
    expect((await names()).join()).not.toMatch(/Li/);
    expect((await index())[uidOf(1)]).toHaveLength(2);
  });
});

describe('files that are taken out of a folder, moved or replaced', () => {
  let root: string;
  let put: Awaited<ReturnType<Watching['archive']>>['put'];
  const figures = async () => [await index(), (await held()).map(({ reason }) => reason)];
  beforeEach(async () => {
    ({ root, put } = await at.archive());
    await put('a/one', 1, 1);
    await put('a/two', 1, 2);
    await put('b/three', 2, 1);
    await at.folder('f', root);
    sources = at.start();
    await sources.idle();
  });

  it('are gone, in their new place, or another study’s', async () => {
    await rm(join(root, 'a/two'));
    await rename(join(root, 'b'), join(root, 'c'));
    await sources.idle();
    expect(await figures()).toEqual([{ '2.25.7.1': ['2.25.7.1.1.1'], '2.25.7.2': ['2.25.7.2.1.1'] }, []]);
    await rm(join(root, 'a'), { recursive: true });
    await sources.idle();
    expect(await figures()).toEqual([{ '2.25.7.2': ['2.25.7.2.1.1'] }, []]);
  });

  it('are corrected in their place; a second file with the same object is a conflict until the first one is gone', async () => {
    const other = (study: number, instance: number) =>
      part10(dataSet({ ...uids(study, instance), '00081030': ['LO', 'corrected'] }));
    await writeFile(join(root, 'b/three'), other(2, 1));
    await writeFile(join(root, 'a/other'), other(1, 1));
    await sources.idle();
    expect((await figures())[1]).toEqual(['sop-instance-conflict']);
    expect((await shown('A')).map((row) => row['description'])).toEqual([null, 'corrected']);
    await rm(join(root, 'a/one'));
    await sources.idle();
    expect(await held()).toEqual([]);
    expect((await shown('A')).map((row) => row['instances'])).toEqual(['2', '1']);
    expect(await index()).toMatchObject({ '2.25.7.1': ['2.25.7.1.1.1', '2.25.7.1.1.2'] });
  });

  it('stay in the index when the folder is away, or empty', async () => {
    await rename(root, `${root}.away`);
    await sources.idle();
    expect(Object.keys(await index())).toHaveLength(2);
    await mkdir(root);
    await sources.idle();
    expect(Object.keys(await index())).toHaveLength(2);
    expect((await figures())[1]).toEqual(['removal-unconfirmed', 'removal-unconfirmed']);
    await rm(root, { recursive: true });
    await rename(`${root}.away`, root);
    await sources.reindex('f');
    await at.db.query(
      sql`insert into source_look (connector_id, study_instance_uid) select 'f', study_instance_uid from quarantine on conflict do nothing`,
    );
    await sources.idle();
    expect((await figures())[1]).toEqual([]);
  });
});

/** A look that a busy PACS did not answer in time is taken again later: here, at once, until none waits. */
async function looked(world: Watching, reading: Sources): Promise<void> {
  for (let n = 0; n < 20; n += 1) {
    const waiting = await world.db.query(sql`update source_look set due = clock_timestamp() returning 1`);
    if (waiting.length === 0) return;
    await reading.idle();
  }
}

describe('a scored study with results of its own in the archive', () => {
  it('is scored again when it is found to be another patient’s, or an object is exchanged under its UID, and not for a result', async () => {
    const { root } = await at.archive();
    const write = (file: string, more: Record<string, [string, string]>) =>
      writeFile(
        join(root, file),
        part10(dataSet({ ...uids(1, 1), '00180015': ['CS', 'CHEST'], '7FE00010': ['OB', '1234'], ...more })),
      );
    const autoScore = ['pulmonary-nodule'];
    await addSource(at.db, { id: 'f', organizationId: 'A', kind: 'folder', autoScore, settings: { root } });
    await write('one', {});
    sources = at.start({ scheduleAutomatic: createAutomaticScoring(await loadModels(), at.audit) });
    const jobs = async (): Promise<number> => {
      await sources.idle();
      const placed = await at.db.query<{ patient: string; now: string }>(sql`
        select j.patient_id as patient, r.patient_id as now from scoring_job j join resource r on r.type = 'ImagingStudy' and r.id = j.focus_id order by j.created desc`);
      expect(placed[0]!.patient).toBe(placed[0]!.now);
      await at.db.query(sql`update scoring_job set state = 'done' where state = 'queued'`);
      return placed.length;
    };
    expect(await jobs()).toBe(1);
    await at.db.query(sql`
      insert into result_store_job (job_id, task_id, report_id, report_version, study_id, patient_id, custodian_id, sop_instance_uid, state)
      select task_id, task_id, 'r', 1, focus_id, patient_id, custodian_id, '2.25.1', 'done' from scoring_job`);
    await write('result', { ...uids(1, 2), '00080060': ['CS', 'SR'], '0020000E': ['UI', '2.25.7.1.9'] });
    expect(await jobs()).toBe(1);
    await write('one', { '7FE00010': ['OB', '4321'] });
    expect(await jobs()).toBe(2);
    await write('one', { '00100010': ['PN', 'Li^Na'], '00100020': ['LO', 'P2'] });
    await write('result', {
      ...uids(1, 2),
      '00080060': ['CS', 'SR'],
      '0020000E': ['UI', '2.25.7.1.9'],
      '00100010': ['PN', 'Li^Na'],
      '00100020': ['LO', 'P2'],
    });
    expect(await jobs()).toBe(3);
    expect(await held()).toEqual([]);
  });
});

describe('whatever happens in a PACS', () => {
  type Event = { study: number; instance: number; is: 'put' | 'discarded' | 'deleted' | 'down'; as: number };
  const event: fc.Arbitrary<Event> = fc.record({
    study: fc.integer({ min: 1, max: 3 }),
    instance: fc.integer({ min: 1, max: 3 }),
    is: fc.constantFrom('put', 'put', 'put', 'discarded', 'deleted', 'down'),
    as: fc.integer({ min: 0, max: 2 }),
  });

  it('the index ends as that of a hub which sees the PACS for the first time', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(event, { minLength: 1, maxLength: 12 }), async (events) => {
        const world = await watching();
        const archive = await startArchivePacs();
        try {
          archive.put(9, 1);
          await world.pacs('p', archive.url);
          const reading = world.start();
          await reading.idle();
          for (const { study, instance, is, as } of events) {
            if (is === 'put')
              archive.put(study, instance, {
                '0008103E': { vr: 'LO', Value: [`as ${as}`] },
                '00081030': { vr: 'LO', Value: [`study as ${as}`] },
              });
            if (is === 'discarded') archive.discard(study, instance);
            if (is === 'deleted') archive.discard(study);
            if (is === 'down') archive.lie('studies', html);
            await reading.idle();
            archive.lie('studies');
          }
          await reading.reindex('p');
          await reading.idle();
          await looked(world, reading);
          await world.pacs('q', archive.url, 'B');
          await reading.idle();
          expect(await index(world)).toEqual(archive.holds());
          expect(await shown('A', world)).toEqual(await shown('B', world));
          expect(await held(world)).toEqual([]);
        } finally {
          await world.close();
          await archive.stop();
        }
      }),
      { numRuns: 5 },
    );
  });
});

const uids = (study: number, instance: number): Record<string, [string, string]> => ({
  '00080018': ['UI', uidOf(study, instance)],
  '0020000D': ['UI', uidOf(study)],
  '0020000E': ['UI', `${uidOf(study)}.1`],
});

async function until(happened: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 1_200; i += 1) {
    if (await happened()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('it did not happen in time');
}
