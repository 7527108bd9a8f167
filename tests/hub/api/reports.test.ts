import type { Server } from '@hapi/hapi';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import supertest from 'supertest';
import { toCsv } from '../../../hub/api/csv.js';
import { registerReports } from '../../../hub/api/reports.js';
import { type AuditWriter, openAudit } from '../../../hub/audit/record.js';
import { raw, sql } from '../../../hub/store/sql.js';
import { type TestDatabase, testDatabase } from '../../support/test-database.js';
import { openQuery } from '../../../hub/audit/sealed-query.js';
import { as, officer, reportsForTheCommission, serverForCallers } from './stand-in.js';

describe('GET /reports', () => {
  let database: TestDatabase;
  let audit: AuditWriter;
  let server: Server;
  beforeAll(async () => {
    database = await testDatabase();
    audit = await openAudit(database.db, database.url);
    server = serverForCallers();
    registerReports(server, {
      db: database.db,
      access: reportsForTheCommission,
      audit,
      config: { utcOffset: '+08:00', smallestGroup: 5, trustedProxy: true },
    });
    await server.initialize();
    await database.db.query(
      sql`insert into organization (id, kind, name) values ('a', 'hospital', '=cmd|"/C calc",A'), ('b', 'hospital', '二院')`,
    );
    await database.db.query(sql`
      insert into audit_event (recorded, type, subtype, action, outcome, agent, organization_id, purpose, custodian_id, request_id)
      values ('2025-10-31T16:30:00Z', 'rest', 'read', 'R', 4, 'Practitioner/x', 'b', 'TREAT', 'a', 'r')`);
  });
  afterAll(async () => {
    await server.stop();
    await audit.close();
    await database.close();
  });

  const get = (path: string, caller = officer) => supertest(server.listener).get(path).set('authorization', as(caller));
  const lastEntry = async () => {
    type Entry = { agent: string; outcome: number; subtype: string; query: string; rule: string; request_id: string };
    const [row] = await database.db.query<Entry>(
      sql`select agent, outcome, subtype, query, rule, request_id from audit_event where subtype = 'report' order by id desc limit 1`,
    );
    if (!row) return undefined;
    const { request_id: _, ...entry } = { ...row, query: openQuery(database.db.protection, row) };
    return entry;
  };
  const november = '/reports/cross-hospital-access?from=2025-11&until=2025-12';

  it('lists the reports with titles in both languages', async () => {
    const answer = await get('/reports').expect(200);
    expect(answer.body.reports.map((r: { name: string }) => r.name)).toEqual([
      'exchange-volume',
      'cross-hospital-access',
      'exceptional-access',
      'deidentified-studies',
      'model-performance',
    ]);
    expect(answer.body.reports[0].title.zh).toBe('影像交换量');
  });

  it('records the address that the trusted proxy saw', async () => {
    await get(november).set('x-forwarded-for', '192.0.2.7').expect(200);
    const [row] = await database.db.query(sql`select address from audit_event where subtype = 'report' order by id desc limit 1`);
    expect(row).toEqual({ address: '192.0.2.7' });
  });

  it('answers JSON, by months of the region, with the run on record', async () => {
    const answer = await get(november).expect(200).expect('cache-control', 'no-store');
    expect(answer.body).toMatchObject({ name: 'cross-hospital-access', from: '2025-11', until: '2025-12' });
    expect(answer.body.rows).toEqual([
      expect.objectContaining({
        custodian: 'a',
        recipient: 'b',
        purpose: 'TREAT',
        outcome: 'refused',
        month: '2025-11',
        accesses: 1,
      }),
    ]);
    expect(await lastEntry()).toEqual({
      agent: 'Account/officer',
      outcome: 0,
      subtype: 'report',
      query: november,
      rule: 'commission-report',
    });
    expect((await get('/reports/cross-hospital-access?from=2025-10&until=2025-11').expect(200)).body.rows).toEqual([]);
  });

  it('answers CSV by format or by Accept, quoted, with a byte order mark, and with no formula in it', async () => {
    const byFormat = await get(`${november}&format=csv`)
      .expect(200)
      .expect('content-type', /^text\/csv/);
    const lines = byFormat.text.split('\r\n');
    expect(lines[0]).toBe('\uFEFFcustodian,custodian_name,recipient,recipient_name,purpose,outcome,basis,month,accesses');
    expect(lines[1]).toBe(`a,"'=cmd|""/C calc"",A",b,二院,TREAT,refused,,2025-11,1`);
    const byAccept = await get(november).set('accept', 'text/csv').set('accept-language', 'zh-CN').expect(200);
    expect(byAccept.text.split('\r\n')[0]).toContain('访问机构代码');
    await get(`${november}&format=json`)
      .set('accept', 'text/csv')
      .expect('content-type', /^application\/json/);
  });

  it('takes the last twelve months when no period is given', async () => {
    const { body } = await get('/reports/exchange-volume').expect(200);
    const month = (text: string) => Number(text.slice(0, 4)) * 12 + Number(text.slice(5));
    expect(month(body.until) - month(body.from)).toBe(12);
  });

  it.each([
    ['/reports/exchange-volume?from=2025-13', 400],
    ['/reports/exchange-volume?from=2025-11&until=2025-11', 400],
    ['/reports/exchange-volume?from=2020-01&until=2025-01', 400],
    ['/reports/exchange-volume?format=xlsx', 400],
    ['/reports/exchange-volume?hospital=a', 400],
    [`/reports/exchange-volume?from=${encodeURIComponent("2025-01'; drop table audit_event; --")}`, 400],
    ['/reports/patients', 404],
    ['/reports/__proto__', 404],
  ])('refuses %s with %i and an OperationOutcome', async (path, status) => {
    const answer = await get(path).expect(status);
    expect(answer.body.resourceType).toBe('OperationOutcome');
  });

  it('is for the health commission alone, and the attempt of anyone else is on record', async () => {
    for (const caller of [
      { ...officer, id: 'Practitioner/p', role: 'physician', purposeOfUse: 'TREAT' } as const,
      { ...officer, id: 'Account/a', role: 'hospital-administrator', purposeOfUse: 'HOPERAT' } as const,
      { ...officer, id: 'Account/t', purposeOfUse: 'TREAT' } as const,
    ]) {
      await get('/reports/exchange-volume', caller).expect(403);
      expect(await lastEntry()).toMatchObject({ agent: caller.id, outcome: 4 });
      await get('/reports', caller).expect(403);
    }
    await supertest(server.listener).get('/reports').expect(401);
  });

  it('shows nothing when the audit can’t be written', async () => {
    await database.db.query(raw('alter table audit_event add constraint closed check (subtype <> $$report$$) not valid'));
    try {
      const answer = await get('/reports/exchange-volume?from=2025-11&until=2025-12').expect(503);
      expect(answer.body.resourceType).toBe('OperationOutcome');
      expect(answer.body.rows).toBeUndefined();
    } finally {
      await database.db.query(raw('alter table audit_event drop constraint closed'));
    }
  });
});

describe('CSV', () => {
  /** A reader of RFC 4180 of its own. */
  const parse = (text: string): string[][] => {
    const rows: string[][] = [];
    const pattern = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/gy;
    const row: string[] = [];
    for (let match = pattern.exec(text); match; match = pattern.exec(text)) {
      row.push(match[1] === undefined ? match[2]! : match[1].replaceAll('""', '"'));
      if (match[3] === '\r\n') rows.push(row.splice(0));
    }
    return rows;
  };

  it('is read back as it was written, but for the quote before what a spreadsheet would run', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: fc.constantFrom('=', '+', '-', '@', '"', ',', '\r', '\n', '\t', 'a', '医') }),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(text, fc.oneof(text, fc.integer())), { maxLength: 5 }), (rows) => {
        const written = toCsv(['x', 'y'], rows);
        expect(written.startsWith('\uFEFF')).toBe(true);
        const read = parse(written.slice(1)).slice(1);
        expect(read.map((r) => r.map((c) => c.replace(/^'(?=[=+\-@\t\r])/, '')))).toEqual(
          rows.map((r) => r.map((c) => String(c).replace(/^'(?=[=+\-@\t\r])/, ''))),
        );
        for (const [i, row] of rows.entries())
          for (const [j, cell] of row.entries()) if (typeof cell === 'string') expect(read[i]![j]).not.toMatch(/^[=+\-@\t\r]/);
      }),
    );
  });

  it('leaves an absent value empty and a negative number a number', () => {
    expect(toCsv(['a', 'b'], [[null, -1]])).toBe('\uFEFFa,b\r\n,-1\r\n');
  });
});
