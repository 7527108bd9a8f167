import type { Server } from '@hapi/hapi';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import pino from 'pino';
import supertest from 'supertest';
import { createAccess } from '../../../hub/access/create-access.js';
import { registerHealth } from '../../../hub/api/health.js';
import { type AuditWriter, openAudit } from '../../../hub/audit/record.js';
import { loadConfig } from '../../../hub/config.js';
import { createHttpServer } from '../../../hub/server.js';
import { openDatabase } from '../../../hub/store/database.js';
import { raw, sql } from '../../../hub/store/sql.js';
import { startFaultyLine } from '../../support/faulty-line.js';
import { administer } from '../../support/global-setup.js';
import { type TestDatabase, testDatabase, testProtection } from '../../support/test-database.js';
import { serverForCallers } from './stand-in.js';

describe('the state of the process', () => {
  let database: TestDatabase;
  let audit: AuditWriter;
  let server: Server;
  beforeEach(async () => {
    database = await testDatabase();
    audit = await openAudit(database.db, database.url);
    server = serverForCallers();
    registerHealth(server, { db: database.db, audit, access: await createAccess({ consentRequiredFor: [] }) });
    await server.initialize();
  });
  afterEach(async () => {
    await server.stop();
    await audit.close();
    await database.close();
  });
  const get = (path: string) => supertest(server.listener).get(path);

  it('is healthy and ready, asked without a token', async () => {
    await get('/healthz').expect(200, { status: 'ok' });
    await get('/readyz').expect(200, { status: 'ready', checks: { database: 'ok', schema: 'ok', audit: 'ok', policy: 'ok' } });
  });

  it('is not ready when the audit can’t be written, and says no more than that', async () => {
    await database.db.query(raw('alter table audit_event rename to elsewhere'));
    await get('/readyz').expect(503, {
      status: 'not-ready',
      checks: { database: 'ok', schema: 'ok', audit: 'failed', policy: 'ok' },
    });
    await get('/healthz').expect(200);
  });

  it('is not ready when the schema is not the program’s', async () => {
    await database.db.query(raw('delete from migrations'));
    const { body } = await get('/readyz').expect(503);
    expect(body.checks).toEqual({ database: 'ok', schema: 'failed', audit: 'ok', policy: 'ok' });
  });

  it('is not ready when the database is gone, and metrics are told all the same', async () => {
    const name = new URL(database.url).pathname.slice(1);
    await administer(
      process.env.TEST_DATABASE_SERVER!,
      `alter database ${name} allow_connections false`,
      `select pg_terminate_backend(pid, 60000) from pg_stat_activity where datname = '${name}'`,
    );
    const { body } = await get('/readyz').expect(503);
    expect(body.checks).toEqual({ database: 'failed', schema: 'failed', audit: 'failed', policy: 'failed' });
    expect((await get('/metrics').expect(200)).text).toContain('hub_audit_pending_entries 0');
  });

  it('is not ready while the database says nothing, which no request waits for without end, and is ready when it speaks again', async () => {
    const line = await startFaultyLine(Number(new URL(database.url).port));
    const url = new URL(database.url);
    url.port = String(line.port);
    const limits = { connectionSeconds: 1, statementSeconds: 1 };
    const db = await openDatabase(url.href, { protection: testProtection(), poolSize: 2, limits });
    const overLine = createHttpServer(loadConfig({}, { port: 0 }), pino({ level: 'silent' }));
    const asked = supertest(overLine.listener);
    registerHealth(overLine, { db, audit, access: await createAccess({ consentRequiredFor: [] }) });
    const one = sql`select 1 as one`;
    const inSnapshot = () => db.snapshot((tx) => tx.query(one));
    overLine.route([
      { method: 'GET', path: '/statement', handler: async () => ({ rows: await db.query(one) }) },
      { method: 'GET', path: '/snapshot', handler: async () => ({ rows: await inSnapshot() }) },
    ]);
    await overLine.initialize();
    try {
      await asked.get('/snapshot').expect(200, { rows: [{ one: 1 }] });
      line.set('stalls');
      // more than there are connections: some wait for an answer, some for a connection, one of those that are given up for a new one
      const paths = ['/statement', '/snapshot', '/statement', '/snapshot', '/statement'];
      const answers = await Promise.all(paths.map((path) => asked.get(path)));
      for (const { status, body } of answers)
        expect({ status, body }).toMatchObject({ status: 503, body: { resourceType: 'OperationOutcome' } });
      const { body } = await asked.get('/readyz').expect(503);
      expect(body.checks).toMatchObject({ database: 'failed', schema: 'failed', policy: 'failed' });
      line.set('passes');
      await asked.get('/statement').expect(200);
      await asked.get('/snapshot').expect(200);
    } finally {
      await line.stop();
      await overLine.stop();
      await db.close();
    }
  });

  it('tells metrics: requests by route, audit, pool, scoring, connectors and quarantine', async () => {
    await database.db.query(
      sql`insert into scoring_job (task_id, focus_id, patient_id, custodian_id, requester_id, focus_version, model) values ('t', 's', 'p', 'a', 'a', 1, 'm')`,
    );
    await database.db.query(
      sql`insert into connector (id, organization_id, kind, settings, last_success) values ('c', 'a', 'folder', '{}', now() - interval '90 seconds')`,
    );
    await database.db.query(
      sql`insert into quarantine (id, custodian_id, locator, reason, detail) values ('q', 'a', 'x', 'not-dicom', 'y')`,
    );
    await database.db.query(sql`
      insert into result_store_job (job_id, task_id, report_id, report_version, study_id, patient_id, custodian_id, sop_instance_uid, state, finished)
      values ('j', 't', 'r', 1, 's', 'p', 'a', '1.2', 'failed', now())`);
    await database.db.query(sql`
      insert into delivery_job (task_id, study_id, study_instance_uid, patient_id, custodian_id, recipient_id, connector_id, local_patient_id, caller, address, created)
      values ('d', 's', '1.3', 'p', 'a', 'b', 'c', 'l', '{}', '', now() - interval '90 seconds')`);
    await get('/healthz?patient=secret').expect(200);
    await get('/nowhere/secret').expect(404);
    const { text } = await get('/metrics')
      .expect(200)
      .expect('content-type', /^text\/plain/);
    expect(text).toContain('hub_scoring_jobs{state="queued",model="m"} 1');
    expect(text).toMatch(/hub_scoring_oldest_waiting_seconds\{model="m"\} \d/);
    expect(text).toContain('hub_result_store_jobs{hospital="a",state="failed"} 1');
    expect(text).toContain('hub_delivery_jobs{hospital="b",state="queued"} 1');
    expect(text).toMatch(/hub_delivery_oldest_seconds\{hospital="b"\} 9\d/);
    expect(text).toMatch(/hub_connector_lag_seconds\{hospital="a",connector="c",kind="folder"\} (9|[1-9]\d)\d/);
    expect(text).toContain('hub_quarantine_items{hospital="a",reason="not-dicom"} 1');
    expect(text).toContain('hub_http_request_seconds_count{method="get",route="/healthz",status="200"} 1');
    expect(text).toMatch(/hub_database_connections\{state="waiting"\} 0/);
    expect(text).not.toContain('secret');
  });

  it('tells metrics to nobody but the machine itself', async () => {
    await get('/metrics').set('x-forwarded-for', '203.0.113.7').expect(404);
    await get('/metrics').set('forwarded', 'for=203.0.113.7').expect(404);
    const elsewhere = await server.inject({ url: '/metrics', remoteAddress: '203.0.113.7' });
    expect(elsewhere.statusCode).toBe(404);
  });
});
