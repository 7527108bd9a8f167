import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { exportJWK, generateKeyPair } from 'jose';
import { createOutbound } from '../../../connectors/outbound.js';
import { addHospital, addSource } from '../../../hub/ingest/hospital.js';
import { checkHospital, listHospitals } from '../../../hub/ingest/hospital-state.js';
import { findResource, toResource } from '../../../hub/store/resources.js';
import { sql } from '../../../hub/store/sql.js';
import { SECRET, type Watching, watching } from './watching.js';

let at: Watching;
beforeEach(async () => {
  at = await watching();
});
afterEach(() => at.close());

const config = { secret: SECRET, utcOffset: '+08:00' };
const record = { id: 'third', name: '第三医院', assigner: 'urn:oid:2.25.3' };

describe('A hospital that joins', () => {
  it('has its Organization, membership, sources and client, however often it is added', async () => {
    await at.db.query(sql`insert into organization (id, kind, name) values ('east', 'consortium', 'East')`);
    await at.db.query(sql`insert into consortium_charter (consortium_id) values ('east')`);
    const { publicKey } = await generateKeyPair('ES384');
    const { root } = await at.archive();
    const given = {
      ...record,
      consortium: 'east',
      autoScore: ['pulmonary-nodule'],
      sources: [{ kind: 'folder', settings: { root } }],
      client: { id: 'third.ris', jwks: { keys: [await exportJWK(publicKey)] } },
    };
    expect(await addHospital(at.db, given, config)).toBe('east.third');
    await addHospital(at.db, { ...given, name: '第三人民医院' }, config);
    const organization = await findResource(at.db, 'Organization', 'third');
    expect(organization && toResource(organization)).toMatchObject({ name: '第三人民医院', meta: { versionId: '2' } });
    const facts = await at.db.query(sql`
      select o.kind, o.assigner_system, c.id as source, c.settings, c.secrets, a.parties, k.id as client, k.roles
      from organization o join connector c on c.organization_id = o.id join resource a on a.id = 'east.third'
      join client k on k.organization_id = o.id where o.id = 'third'`);
    expect(facts).toEqual([
      {
        kind: 'hospital',
        assigner_system: record.assigner,
        source: 'third.1',
        settings: { root, autoScore: ['pulmonary-nodule'] },
        secrets: null,
        parties: ['east', 'third'],
        client: 'third.ris',
        roles: ['hospital-system'],
      },
    ]);
    const audited = await at.db.query(sql`select subtype, agent, entity from audit_event where subtype = 'hospital-add'`);
    expect(audited).toHaveLength(2);
  });

  it('is refused as a whole when something of it is wrong', async () => {
    const wrong = [
      { ...record, name: '' },
      { ...record, unknown: 1 },
      { ...record, consortium: 'nowhere' },
      { ...record, sources: [{ kind: 'telegraph', settings: {} }] },
      { ...record, sources: [{ kind: 'folder', settings: {} }] },
      { ...record, client: { id: 'third.ris' } },
    ];
    for (const one of wrong) await expect(addHospital(at.db, one, config)).rejects.toMatchObject({ status: expect.any(Number) });
    expect((await listHospitals(at.db)).map((h) => h.id)).toEqual(['A', 'B']);
    expect(await findResource(at.db, 'Organization', 'third')).toBeUndefined();
  });

  it('has rules of scoring that name models which are there and can follow them, told in words', async () => {
    const { root } = await at.archive();
    const withRules = (autoScore: object[]) =>
      addHospital(at.db, { ...record, autoScore: autoScore as never, sources: [{ kind: 'folder', settings: { root } }] }, config);
    for (const [wrong, why] of [
      [{ model: 'astrology' }, /there is no model astrology to score with; there are .*pulmonary-nodule/],
      [{ model: 'pulmonary-nodule', modality: ['MR'] }, /made for CT, not for MR/],
      [{ model: 'pulmonary-nodule', bodySite: ['69536005'] }, /not for 69536005/],
      [{ model: 'pulmonary-nodule', priority: 'soon' }, /autoScore/],
    ] as const)
      await expect(withRules([wrong])).rejects.toMatchObject({
        status: 400,
        issues: [{ diagnostics: expect.stringMatching(why) }],
      });
    await withRules([{ model: 'pulmonary-nodule', modality: ['CT'], description: 'lung', priority: 'urgent' }]);
    expect((await listHospitals(at.db, 'third'))[0]?.rules).toEqual([
      'pulmonary-nodule: modality CT, described as "lung"; urgent',
    ]);
  });

  it('has one archive that keeps what the hub stores, and its connector is not told of it', async () => {
    const { root } = await at.archive();
    const kept = { kind: 'folder', settings: { root } };
    await addHospital(at.db, { ...record, sources: [{ ...kept, store: true }, kept] }, config);
    const [source] = await at.db.query(sql`select settings from connector where id = 'third.1'`);
    expect(source).toEqual({ settings: { root, store: true } });
    const outbound = createOutbound({ allowedNetworks: [] });
    expect((await checkHospital(at.db, 'third', { config, outbound })).sources[0]?.health).toMatchObject({ reachable: true });
    await outbound.close();
    for (const sources of [
      [kept, { ...kept, store: true }],
      [{ ...kept, store: true }, kept],
    ])
      await addHospital(at.db, { ...record, sources }, config);
    const both = {
      ...record,
      sources: [
        { ...kept, store: true },
        { ...kept, store: true },
      ],
    };
    await expect(addHospital(at.db, both, config)).rejects.toMatchObject({ status: 400 });
  });

  it('has no source of another hospital', async () => {
    const { root } = await at.archive();
    await at.folder('a', root);
    await expect(at.folder('a', root, 'B')).rejects.toMatchObject({ status: 409 });
    await expect(at.folder('b', root, 'nobody')).rejects.toMatchObject({ status: 400 });
  });
});

describe('Credentials of a source', () => {
  const settings = {
    baseUrl: 'https://pacs.example.org/dicom-web',
    auth: { kind: 'basic', username: 'hub', password: 'very-secret-indeed' },
  };

  it('are stored encrypted, and open only for their own source under the same secret', async () => {
    await addSource(at.db, { id: 'a.pacs', organizationId: 'A', kind: 'dicomweb', settings }, SECRET);
    const [row] = await at.db.query<{ settings: object; secrets: Buffer }>(sql`select settings, secrets from connector`);
    expect(row?.settings).toEqual({ baseUrl: settings.baseUrl });
    expect(row?.secrets.includes(Buffer.from('very-secret'))).toBe(false);
    const first = at.start();
    await first.idle();
    expect(first.connectorFor('a.pacs')).toBeDefined();
    await first.stop();
    const other = at.start({
      config: { secret: 'another-secret-altogether', utcOffset: '+08:00', pollSeconds: 30, quickPollSeconds: 30 },
    });
    await other.idle();
    expect(other.connectorFor('a.pacs')).toBeUndefined();
    expect((await at.source('a.pacs')).last_error).toMatch(/^refused: .*credentials/);
  });

  it('are never stored when there is no secret to encrypt them with', async () => {
    await expect(addSource(at.db, { id: 'a.pacs', organizationId: 'A', kind: 'dicomweb', settings })).rejects.toThrow(/secret/);
    expect(await at.db.query(sql`select 1 from connector`)).toEqual([]);
  });
});

describe('A hospital is looked after', () => {
  it('by whether its sources answer, how far behind they are, and what waits in quarantine', async () => {
    const { root, put } = await at.archive();
    await put('one', 1, 1);
    await at.folder('a.good', root);
    await at.folder('a.gone', '/nowhere/at/all');
    await at.start().idle();
    const outbound = createOutbound({ allowedNetworks: [] });
    const checked = await checkHospital(at.db, 'A', { config, outbound });
    await outbound.close();
    expect(checked).toMatchObject({ id: 'A', studies: 1, held: 0 });
    expect(checked.sources).toMatchObject([
      {
        id: 'a.gone',
        lastSuccess: null,
        lagSeconds: null,
        lastError: expect.stringMatching(/^unreachable/),
        health: { reachable: false },
      },
      { id: 'a.good', lagSeconds: expect.any(Number), lastError: null, health: { reachable: true } },
    ]);
    await expect(checkHospital(at.db, 'nobody', { config, outbound })).rejects.toMatchObject({ status: 404 });
  });
});
