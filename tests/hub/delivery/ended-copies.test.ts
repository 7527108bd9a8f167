import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { createAccess } from '../../../hub/access/create-access.js';
import { type AuditWriter, openAudit } from '../../../hub/audit/record.js';
import { endCopies } from '../../../hub/delivery/ended-copies.js';
import { type TestDatabase, testDatabase } from '../../support/test-database.js';

let database: TestDatabase;
let audit: AuditWriter;
beforeAll(async () => {
  database = await testDatabase();
  audit = await openAudit(database.db, database.url);
});
afterAll(async () => {
  await audit?.close();
  await database?.close();
});

it('all copies that are due are looked at in one go, however many a batch holds, and none of the others', async () => {
  const { db } = database;
  await db.pool.query(`
    insert into delivered_copy (task_id, study_id, patient_id, custodian_id, recipient_id, local_patient_id, series, caller, checked)
    select 'task-' || n, 'study-' || n, 'patient', 'hospital-a', 'hospital-b', 'local', '{1.2}',
      '{"id": "Device/hub", "kind": "system", "organizationId": "hospital-b", "role": "hospital-system", "purposeOfUse": "TREAT", "scope": "", "clientId": "hub", "authenticatedAt": 0}',
      now() - case when n <= 7 then interval '1 hour' else interval '1 second' end
    from generate_series(1, 9) n`);
  const access = await createAccess({ consentRequiredFor: [] });
  expect(await endCopies({ db, access, audit }, 60, 3)).toBe(7);
  const { rows } = await db.pool.query(
    'select count(*)::int as n, max(ended_because) as why from delivered_copy where ended_at is not null',
  );
  expect(rows).toEqual([{ n: 7, why: 'withdrawn' }]);
  expect(await endCopies({ db, access, audit }, 60, 3)).toBe(0);
});
