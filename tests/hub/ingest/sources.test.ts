import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { takeChange } from '../../../hub/ingest/take-change.js';
import { sql } from '../../../hub/store/sql.js';
import { describeWithRealData } from '../../support/real-data.js';
import { count, instance, series, study } from './studies.js';
import { type Watching, watching } from './watching.js';

let at: Watching;
beforeEach(async () => {
  at = await watching();
});
afterEach(() => at.close());

describe('Sources', () => {
  it('are read to their end, and again for what is new', async () => {
    const { root, put } = await at.archive();
    await put('one', 1, 1);
    await at.folder('a', root);
    const sources = at.start();
    await sources.idle();
    expect(await at.figures()).toEqual({ studies: 1, series: 1, instances: 1, held: 0 });
    await put('two', 1, 2);
    await sources.idle();
    expect(await at.figures()).toEqual({ studies: 1, series: 1, instances: 2, held: 0 });
    expect(await at.source('a')).toMatchObject({ last_error: null, last_success: expect.any(Date) });
  });

  it('do not stop each other: one that fails has the reason in its record and is read when it is well again', async () => {
    const [well, ill] = [await at.archive(), await at.archive()];
    await well.put('one', 1, 1);
    await rm(ill.root, { recursive: true });
    await at.folder('ill', ill.root);
    await at.folder('well', well.root, 'B');
    await at.db.query(sql`insert into connector (id, organization_id, kind, settings) values ('odd', 'A', 'telegraph', '{}')`);
    const sources = at.start();
    await sources.idle();
    expect(await at.source('ill')).toMatchObject({ last_success: null, last_error: 'unreachable: The folder cannot be read.' });
    expect((await at.source('odd')).last_error).toMatch(/^refused: /);
    expect(sources.connectorFor('odd')).toBeUndefined();
    expect(await at.figures()).toMatchObject({ studies: 1 });
    await ill.put('two', 2, 1);
    await sources.idle();
    expect(await at.figures()).toMatchObject({ studies: 2 });
    expect((await at.source('ill')).last_error).toBeNull();
  });

  it('are found when they are added, and left when they are disabled', async () => {
    const sources = at.start();
    await sources.idle();
    const { root, put } = await at.archive();
    await put('one', 1, 1);
    await at.folder('late', root);
    await sources.idle();
    expect(await at.figures()).toMatchObject({ studies: 1 });
    expect(await sources.connectorFor('late')?.health(new AbortController().signal)).toMatchObject({ reachable: true });
    await at.db.query(sql`update connector set enabled = false where id = 'late'`);
    await put('two', 2, 1);
    await sources.idle();
    expect(sources.connectorFor('late')).toBeUndefined();
    expect(await at.figures()).toMatchObject({ studies: 1 });
  });

  it('are read by one process each; another one takes over when it stops', async () => {
    const { root, put } = await at.archive();
    await put('one', 1, 1);
    await at.folder('shared', root);
    const read: string[] = [];
    const first = at.start({ onProgress: () => read.push('first') });
    await first.idle();
    const second = at.start({ onProgress: () => read.push('second') });
    await put('two', 2, 1);
    await Promise.all([first.idle(), new Promise((resolve) => setTimeout(resolve, 200))]);
    expect(new Set(read)).toEqual(new Set(['first']));
    expect(second.connectorFor('shared')).toBeDefined();
    await first.stop();
    await put('three', 3, 1);
    await second.idle();
    expect(await at.figures()).toMatchObject({ studies: 3, instances: 3 });
    expect(read).toContain('second');
  });

  it('are taken again when the connection that holds their locks breaks', async () => {
    const { root, put } = await at.archive();
    await put('one', 1, 1);
    await at.folder('a', root);
    const sources = at.start();
    await sources.idle();
    const broken = await at.db.query(
      sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'hub-sources' and datname = current_database()`,
    );
    expect(broken).toHaveLength(1);
    await put('two', 2, 1);
    // the process hears of the loss a moment later
    for (let tries = 0; tries < 600 && (await at.figures()).studies < 2; tries += 1) {
      await sources.idle();
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(await at.figures()).toMatchObject({ studies: 2 });
  });

  it('that are reset are read from the beginning, even while they are read', async () => {
    const { root, put } = await at.archive();
    await put('one', 1, 1);
    await at.folder('a', root);
    const seen: string[] = [];
    let reset: Promise<void> | undefined;
    const sources = at.start({
      onProgress: ({ kind }) => {
        seen.push(kind);
        reset ??= sources.reindex('a');
      },
    });
    await sources.idle();
    await reset;
    await sources.idle();
    expect(seen.filter((kind) => kind === 'study').length).toBeGreaterThanOrEqual(2);
    expect(await at.figures()).toEqual({ studies: 1, series: 1, instances: 1, held: 0 });
    await expect(sources.reindex('nobody')).rejects.toMatchObject({ status: 404 });
  });

  it('keep what can’t be read in quarantine and go on', async () => {
    const { root, put } = await at.archive();
    await writeFile(join(root, 'a-note.txt'), 'no DICOM');
    await put('b', 1, 1);
    await at.folder('a', root);
    const sources = at.start();
    await sources.idle();
    await sources.reindex('a');
    await sources.idle();
    expect(await at.figures()).toEqual({ studies: 1, series: 1, instances: 1, held: 1 });
    expect(await count(at, 'quarantine')).toBe(1);
  });

  it('lose nothing when the audit can’t be written: the study waits', async () => {
    const { root, put } = await at.archive();
    await put('one', 1, 1);
    await at.folder('a', root);
    let broken = true;
    const audit = {
      ...at.audit,
      append: async (...given: Parameters<typeof at.audit.append>) => {
        if (broken) throw new Error('disk full');
        await at.audit.append(...given);
      },
    };
    const sources = at.start({ audit });
    await sources.idle();
    expect(await at.figures()).toMatchObject({ studies: 0, held: 0 });
    expect((await at.source('a')).last_error).toMatch(/^internal: /);
    broken = false;
    await sources.idle();
    expect(await at.figures()).toMatchObject({ studies: 1 });
  });
});

describe('A study that the database refuses', () => {
  it('is quarantined object by object', async () => {
    const defects: string[] = [];
    const odd = study('2.25.9', [series('2.25.9.1', [instance('2.25.9.1.1', { sopClassUid: 'with\u0000NUL' })])]);
    const origin = { custodianId: 'A', connectorId: 'a', requestId: 'test' };
    const items = await takeChange({ db: at.db, audit: at.audit, onDefect: (code) => defects.push(code) }, origin, {
      kind: 'study',
      study: odd,
    });
    expect(items).toMatchObject([{ reason: 'malformed', sopInstanceUid: '2.25.9.1.1' }]);
    expect(defects).toEqual(['22P05']);
    expect(await at.figures()).toMatchObject({ studies: 0, held: 1 });
  });
});

describeWithRealData('The archive of a real hospital', (data) => {
  const whole = { studies: 3, series: 6, instances: 148, held: 1 };
  const root = join(data, 'hospital-a');

  it('is indexed with right counts and its duplicate in quarantine; a second reading changes nothing', async () => {
    await at.folder('a', root);
    const sources = at.start();
    await sources.idle();
    expect(await at.figures()).toEqual(whole);
    const versions = () =>
      at.db.query(sql`select id, version from resource where type in ('ImagingStudy', 'Patient') order by id`);
    const before = await versions();
    await sources.reindex('a');
    await sources.idle();
    expect(await at.figures()).toEqual(whole);
    expect(await versions()).toEqual(before);
  });

  it('is indexed the same when the hub stops after any step', async () => {
    await at.folder('a', root);
    for (let steps = 1; steps <= 3; steps += 1) {
      let stopped: Promise<void> | undefined;
      let left = steps;
      const sources = at.start({
        onProgress: () => {
          left -= 1;
          if (left === 0) stopped = sources.stop();
        },
      });
      await sources.idle();
      await (stopped ?? sources.stop());
    }
    await at.start().idle();
    expect(await at.figures()).toEqual(whole);
  });
});
