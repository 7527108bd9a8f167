import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type AuditWriter, openAudit } from '../../../hub/audit/record.js';
import { openQuery } from '../../../hub/audit/sealed-query.js';
import type { AuditEntry } from '../../../hub/audit/vocabulary.js';
import { Refusal } from '../../../hub/outcomes.js';
import { raw, sql } from '../../../hub/store/sql.js';
import { administer } from '../../support/global-setup.js';
import { type TestDatabase, testDatabase } from '../../support/test-database.js';

const entry = (over: Partial<AuditEntry> = {}): AuditEntry => ({
  type: 'rest',
  subtype: 'read',
  action: 'R',
  outcome: 0,
  agent: 'Practitioner/wang',
  requestId: 'r-1',
  ...over,
});

describe('the audit', () => {
  let database: TestDatabase;
  let audit: AuditWriter;
  const failures: unknown[] = [];
  beforeEach(async () => {
    database = await testDatabase();
    audit = await openAudit(database.db, database.url, { queueLimit: 3000, onFailure: (error) => failures.push(error) });
    failures.length = 0;
  });
  afterEach(async () => {
    await audit.close();
    await database.close();
  });

  const requestIds = async (): Promise<string[]> =>
    (await database.db.query<{ request_id: string }>(sql`select request_id from audit_event order by id`)).map(
      (r) => r.request_id,
    );
  const breakConnections = () =>
    database.db.query(
      sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'hub-audit' and datname = current_database()`,
    );

  it('commits the entries of 500 concurrent readers, each exactly once, in fewer transactions than readers', async () => {
    const ids = Array.from({ length: 500 }, (_, i) => `r-${i}`);
    await Promise.all(ids.map((requestId) => audit.commit([entry({ requestId })])));
    expect((await requestIds()).sort()).toEqual([...ids].sort());
    const [{ transactions }] = (await database.db.query<{ transactions: number }>(
      sql`select count(distinct xmin::text)::integer as transactions from audit_event`,
    )) as [{ transactions: number }];
    expect(transactions).toBeLessThan(50);
  });

  it('keeps every field, dated by the database', async () => {
    const full = entry({
      agentName: '王医生',
      organizationId: 'hospital-a',
      role: 'physician',
      purpose: 'TREAT',
      clientId: 'console',
      patientId: 'p-1',
      entity: ['ImagingStudy/s-1', 'ImagingStudy/s-2'],
      custodianId: 'hospital-b',
      query: 'ImagingStudy?patient=p-1',
      basis: 'agreement',
      rule: 'physician-agreement',
      evidence: [{ kind: 'agreement', id: 'a-1' }],
      detail: 'note',
      address: '192.0.2.1',
    });
    await audit.commit([full]);
    const [row] = await database.db.query(
      sql`select *, recorded between now() - interval '1 minute' and now() as fresh from audit_event`,
    );
    const opened = { ...row, query: openQuery(database.db.protection, row as never) };
    expect(JSON.stringify(row)).not.toContain('ImagingStudy?patient');
    expect(opened).toMatchObject({
      type: 'rest',
      agent_name: '王医生',
      patient_id: 'p-1',
      entity: ['ImagingStudy/s-1', 'ImagingStudy/s-2'],
      custodian_id: 'hospital-b',
      query: 'ImagingStudy?patient=p-1',
      evidence: [{ kind: 'agreement', id: 'a-1' }],
      address: '192.0.2.1',
      fresh: true,
    });
  });

  it('appended inside a transaction, lands with it or not at all', async () => {
    await database.db.transaction((tx) => audit.append(tx, [entry({ requestId: 'kept' })]));
    await expect(
      database.db.transaction(async (tx) => {
        await audit.append(tx, [entry({ requestId: 'lost' })]);
        throw new Error('changed my mind');
      }),
    ).rejects.toThrow('changed my mind');
    expect(await requestIds()).toEqual(['kept']);
  });

  it('stores any text that a caller can send', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 600 }), fc.string({ unit: 'binary' }), async (query, id) => {
        await audit.commit([entry({ query: `${query}\0\ud800`, entity: [id], evidence: [{ kind: 'grant', id }] })]);
      }),
      { numRuns: 60 },
    );
    await audit.commit([
      entry({ query: '\u{1F600}'.repeat(9000), detail: 'x'.repeat(100_000), entity: Array(1000).fill('Task/1') }),
    ]);
  });

  it('refuses the one entry that the database refuses, not those beside it', async () => {
    const bad = entry({ requestId: 'bad', outcome: 70000 as never });
    const results = await Promise.allSettled([
      audit.commit([entry({ requestId: 'first' })]),
      audit.commit([entry({ requestId: 'second' })]),
      audit.commit([bad]),
      audit.commit([entry({ requestId: 'third' })]),
    ]);
    expect(results.map((r) => r.status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled']);
    expect((await requestIds()).sort()).toEqual(['first', 'second', 'third']);
  });

  describe('that can’t be written', () => {
    const refused = { status: 503 };
    const breakages: Record<string, () => Promise<unknown>> = {
      'because the table refuses inserts': () =>
        database.db.query(
          raw(`create function refuse() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
          create trigger refuse before insert on audit_event for each statement execute function refuse()`),
        ),
      'because the table is gone': () => database.db.query(raw('alter table audit_event rename to elsewhere')),
      'because the database takes no writes': async () => {
        await database.db.query(
          raw(`alter database "${new URL(database.url).pathname.slice(1)}" set default_transaction_read_only = on`),
        );
        await breakConnections();
      },
      'because new connections are refused': async () => {
        await administer(
          process.env.TEST_DATABASE_SERVER!,
          `alter database "${new URL(database.url).pathname.slice(1)}" allow_connections false`,
        );
        await breakConnections();
      },
    };
    for (const [name, breakIt] of Object.entries(breakages)) {
      it(`${name} refuses the request`, async () => {
        await audit.commit([entry({ requestId: 'before' })]);
        await breakIt();
        await expect(audit.commit([entry()])).rejects.toMatchObject(refused);
        expect(failures.length).toBeGreaterThan(0);
      });
    }

    it('refuses a change in the same transaction too', async () => {
      await breakages['because the table is gone']!();
      await expect(database.db.transaction((tx) => audit.append(tx, [entry()]))).rejects.toMatchObject(refused);
      await expect(audit.check()).rejects.toThrow();
    });

    it('works again once the database does', async () => {
      await breakages['because the table is gone']!();
      await expect(audit.commit([entry()])).rejects.toBeInstanceOf(Refusal);
      await database.db.query(raw('alter table elsewhere rename to audit_event'));
      await audit.commit([entry({ requestId: 'after' })]);
      expect(await requestIds()).toEqual(['after']);
    });

    it('survives a connection that is cut', async () => {
      await audit.commit([entry({ requestId: 'before' })]);
      await breakConnections();
      await audit.commit([entry({ requestId: 'again' })]).catch(() => audit.commit([entry({ requestId: 'again' })]));
      expect(await requestIds()).toEqual(['before', 'again']);
    });

    it('refuses more than its queue holds', async () => {
      const many = Array.from({ length: 2000 }, () => entry());
      const first = audit.commit(many);
      await expect(audit.commit(many)).rejects.toMatchObject(refused);
      await first;
      expect(audit.pending).toBe(0);
    });

    it('refuses after it was closed, and closes only when what it took is written', async () => {
      const last = audit.commit([entry({ requestId: 'last' })]);
      await audit.close();
      await last;
      expect(await requestIds()).toEqual(['last']);
      await expect(audit.commit([entry()])).rejects.toMatchObject(refused);
    });
  });

  it('is writable, and the check of that leaves no trace', async () => {
    await audit.check();
    expect(await requestIds()).toEqual([]);
  });

  it.each(['update audit_event set outcome = 8', 'delete from audit_event', 'truncate audit_event'])(
    'takes no change afterwards: %s',
    async (statement) => {
      await audit.commit([entry()]);
      await expect(database.db.query(raw(statement))).rejects.toThrow('append-only');
      const partitions = await database.db.query<{ name: string }>(
        sql`select inhrelid::regclass::text as name from pg_inherits where inhparent = 'audit_event'::regclass`,
      );
      expect(partitions.length).toBeGreaterThanOrEqual(3);
      for (const { name } of partitions) await expect(database.db.query(raw(`truncate ${name}`))).rejects.toThrow('append-only');
      expect(await requestIds()).toHaveLength(1);
    },
  );

  it('puts entries into the partition of their month', async () => {
    await audit.commit([entry()]);
    const [row] = await database.db.query(
      sql`select tableoid::regclass::text = 'audit_event_' || to_char(recorded at time zone 'UTC', 'YYYYMM') as right from audit_event`,
    );
    expect(row).toEqual({ right: true });
  });

  it('opens although entries of this month lie in the default partition, and by several processes at once', async () => {
    const other = await testDatabase();
    try {
      await other.db.transaction((tx) => audit.append(tx, [entry()]));
      const opened = await Promise.all([openAudit(other.db, other.url), openAudit(other.db, other.url)]);
      await opened[0].commit([entry()]);
      for (const one of opened) await one.close();
      const [{ count }] = (await other.db.query<{ count: number }>(sql`select count(*) as count from audit_event`)) as [
        { count: number },
      ];
      expect(count).toBe(2);
    } finally {
      await other.close();
    }
  });
});
