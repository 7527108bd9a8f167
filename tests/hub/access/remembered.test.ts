import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { asCaller, asRemembered } from '../../../hub/access/as-caller.js';
import type { Caller } from '../../../hub/access/caller.js';
import type { RequestAccess } from '../../../hub/access/decision.js';
import { createAccess, type PolicyAccess } from '../../../hub/access/create-access.js';
import { raw, type Sql, sql } from '../../../hub/store/sql.js';
import { type TestDatabase, testDatabase } from '../../support/test-database.js';

const asker: Caller = {
  id: 'Client/b',
  kind: 'system',
  name: 'b',
  organizationId: 'b',
  role: 'hospital-system',
  purposeOfUse: 'TREAT',
  clientId: 'b',
  scope: '',
  authenticatedAt: 0,
};

let database: TestDatabase;
let access: PolicyAccess;

const study = (a: RequestAccess): Sql =>
  sql`select r.id from resource r where r.type = 'ImagingStudy' and ${a.filter('read', 'ImagingStudy')}`;

/** Whether facts were remembered and still stood, and how many studies were found with those that do. */
async function ask(): Promise<{ remembered: boolean; found: number }> {
  const quick = await asRemembered(database.db, access, asker, study);
  const { rows } = quick ?? (await database.db.snapshot((tx) => asCaller(tx, access, asker, study)));
  return { remembered: quick !== undefined, found: rows.length };
}

const AGREEMENT = raw("insert into sharing_agreement (id, custodian_id, recipient_id) values ('s', 'a', 'b')");
const GRANT =
  raw(`insert into access_grant (id, task_id, custodian_id, recipient_id, patient_id, resources, valid_from, granted_by)
  values ('g', 't', 'a', 'b', 'p', '{ImagingStudy/1}', now(), 'x')`);

beforeAll(async () => {
  database = await testDatabase();
  access = await createAccess({ consentRequiredFor: [] });
  await database.db.query(raw("insert into organization (id, kind, name) values ('a', 'hospital', 'a'), ('b', 'hospital', 'b')"));
  await database.db.query(
    raw(`insert into resource (type, patient_id, id, custodian_id, version, last_updated, modality, body_site, labels, parties, tokens, content)
      values ('ImagingStudy', 'p', '1', 'a', 1, now(), '{CT}', '{}', '{}', '{}', '{}', '{}')`),
  );
});

afterAll(() => database?.close());

describe('remembered facts', () => {
  it('are used while no fact changes', async () => {
    await ask();
    expect(await ask()).toEqual({ remembered: true, found: 0 });
    expect(await ask()).toEqual({ remembered: true, found: 0 });
  });

  it.each([
    ['an agreement', AGREEMENT, raw('delete from sharing_agreement')],
    ['a grant', GRANT, raw('update access_grant set ended_at = now()')],
    ['a grant deleted with all others', GRANT, raw('truncate access_grant')],
  ])('give way at once to %s and to its end', async (_what, begin, end) => {
    await database.db.query(raw('truncate access_grant'));
    await ask();
    await database.db.query(begin);
    expect(await ask()).toEqual({ remembered: false, found: 1 });
    expect(await ask()).toEqual({ remembered: true, found: 1 });
    await database.db.query(end);
    expect(await ask()).toEqual({ remembered: false, found: 0 });
  });

  it('give way to the suspension of the custodian', async () => {
    await database.db.query(AGREEMENT);
    await ask();
    expect((await ask()).found).toBe(1);
    await database.db.query(raw("update organization set active = false where id = 'a'"));
    expect(await ask()).toEqual({ remembered: false, found: 0 });
    await database.db.query(raw("update organization set active = true where id = 'a'"));
    await database.db.query(raw('delete from sharing_agreement'));
  });

  it('give way to a consortium, its charter and its members', async () => {
    for (const change of [
      raw("insert into consortium_charter (consortium_id) values ('k')"),
      raw("insert into consortium_member (affiliation_id, consortium_id, organization_id) values ('1', 'k', 'b')"),
    ]) {
      await ask();
      await database.db.query(change);
      expect((await ask()).remembered).toBe(false);
    }
  });

  it('are not those of a transaction that was rolled back', async () => {
    await ask();
    const undone = new Error('undone');
    const attempt = database.db.transaction(async (tx) => {
      await tx.query(AGREEMENT);
      const inside = await asCaller(tx, access, asker, study);
      expect(inside.rows).toHaveLength(1);
      throw undone;
    });
    await expect(attempt).rejects.toBe(undone);
    expect((await ask()).found).toBe(0);
    await database.db.query(raw("insert into organization (id, kind, name) values ('c', 'hospital', 'c')"));
    expect((await ask()).found).toBe(0);
  });

  /** Makes an agreement with such a bound, asks before it and waits till it is past; with more time where a machine is too slow for that. */
  const asksBefore = async (bound: 'valid_from' | 'valid_until', found: number): Promise<void> => {
    for (let seconds = 1; ; seconds *= 2) {
      await database.db.query(
        raw(
          `insert into sharing_agreement (id, custodian_id, recipient_id, ${bound}) values ('${bound}', 'a', 'b', clock_timestamp() + interval '${seconds} seconds')`,
        ),
      );
      const asked = await ask();
      const [row] = await database.db.query<{ early: boolean; rest: number }>(
        raw(
          `select clock_timestamp() < ${bound} as early, extract(epoch from ${bound} - clock_timestamp())::float8 as rest from sharing_agreement where id = '${bound}'`,
        ),
      );
      if (row!.early) {
        expect(asked.found).toBe(found);
        return void (await database.db.query(raw(`select pg_sleep(${Math.max(0, row!.rest) + 0.05})`)));
      }
      await database.db.query(raw(`delete from sharing_agreement where id = '${bound}'`));
    }
  };

  it('end with the validity of an agreement, though no row changes', async () => {
    await asksBefore('valid_until', 1);
    expect(await ask()).toEqual({ remembered: false, found: 0 });
  });

  it('begin with the validity of an agreement, though no row changes', async () => {
    await asksBefore('valid_from', 0);
    expect(await ask()).toEqual({ remembered: false, found: 1 });
  });

  it('are none of a patient’s', async () => {
    const herself: Caller = {
      ...asker,
      id: 'Patient/p',
      kind: 'person',
      organizationId: '',
      role: 'patient',
      purposeOfUse: 'PATRQT',
      patientId: 'p',
    };
    await access.forCaller(database.db, herself);
    expect(access.remembered(herself)).toBeUndefined();
  });
});
