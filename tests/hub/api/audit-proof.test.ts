import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { calculateJwkThumbprint, type JWK } from 'jose';
import { leafOfRow } from '../../../hub/audit/proof/leaf.js';
import { provesConsistency, provesInclusion } from '../../../hub/audit/proof/merkle.js';
import { keyRing, openStatement } from '../../../hub/audit/proof/tree-head.js';
import { verifyExport } from '../../../hub/audit/proof/verify-export.js';
import { type Client, clientOf, openWorld, type World } from '../security/world.js';

let world: World;
let auditor: Client;

beforeAll(async () => {
  world = await openWorld();
  auditor = await world.person('auditor');
});
afterAll(() => world.hub.stop());

const bytes = (hex: string) => Buffer.from(hex, 'hex');
const count = async (condition: string) =>
  (await world.hub.db.pool.query(`select count(*)::int as n from audit_event where ${condition}`)).rows[0].n as number;
async function* once(text: string) {
  yield text;
}
const download = async (path: string) => {
  const answer = await world.hub
    .http()
    .get(path)
    .set('authorization', `Bearer ${await world.hub.person('auditor')}`)
    .buffer(true)
    .parse((res, done) => {
      let all = '';
      res.setEncoding('utf8');
      res.on('data', (chunk: string) => {
        all += chunk;
      });
      res.on('end', () => done(null, all));
    });
  return { status: answer.status, headers: answer.headers as Record<string, string>, text: answer.body as string };
};
const publicKeys = async (): Promise<JWK[]> => JSON.parse((await world.hub.http().get('/audit/keys').buffer(true)).text).keys;

describe('the proof of the audit', () => {
  it('gives everybody the key, and only its public part', async () => {
    const { status, headers } = await world.hub.http().get('/audit/keys');
    expect([status, headers['content-type']]).toEqual([200, expect.stringContaining('application/jwk-set+json')]);
    const [key] = await publicKeys();
    expect(Object.keys(key!).sort()).toEqual(['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']);
    expect(await calculateJwkThumbprint(key!)).toBe(key!.kid);
    const tokens = JSON.parse((await world.hub.http().get('/.well-known/jwks.json').buffer(true)).text || '{}');
    expect(JSON.stringify(tokens)).not.toContain(key!.kid);
  });

  it('is for auditors: anyone else is refused, and that is on record', async () => {
    const paths = ['tree-heads', 'tree-heads/latest', 'proof/inclusion?event=1-1', 'proof/consistency?from=1', 'export'].map(
      (p) => `/audit/${p}`,
    );
    const others = await Promise.all(
      ['physician-a', 'administrator-a', 'officer', 'patient-1'].map((name) => world.person(name)),
    );
    for (const path of paths) {
      for (const client of [...others, world.systems.a]) {
        const before = await count("subtype like 'audit-%' and outcome = 4 and detail = 'role'");
        const { status, text } = await client.get(path);
        expect([path, status, text]).toEqual([path, 403, expect.stringContaining('for auditors')]);
        expect(await count("subtype like 'audit-%' and outcome = 4 and detail = 'role'")).toBe(before + 1);
      }
      expect((await clientOf(world.hub, undefined).get(path)).status).toBe(401);
    }
  });

  it('is an export that verifies, holds the request for it, and ends with the head that was shown', async () => {
    const { status, headers, text } = await download('/audit/export');
    expect([status, headers['content-type']]).toEqual([200, 'application/x-ndjson']);
    const [key] = await publicKeys();
    const { faults, leaves, head, unsealed } = await verifyExport(once(text), { pinned: [key!] });
    expect([faults, leaves, unsealed]).toEqual([[], head!.tree_size, 0]);
    const last = text.split('\n').filter((l) => l.includes('"subtype":"audit-export"'));
    expect(last.length).toBeGreaterThan(0);
    const heads = (await auditor.get('/audit/tree-heads?_count=2')).body;
    expect(heads.items.map((h: { treeSize: number }) => h.treeSize)).toContain(head!.tree_size);
  });

  it('is a part of the tree by leaf or by day', async () => {
    const day = new Date().toISOString().slice(0, 10);
    const [key] = await publicKeys();
    const size = (await auditor.get('/audit/tree-heads/latest')).body.treeSize;
    for (const [path, leaves] of [
      [`from=3&to=9&witnessed=${size - 1}`, 6],
      ['from=5&to=5', 0],
      ['from=2020-01&to=2020-02', 0],
      [`from=${day}`, undefined],
    ] as const) {
      const { text } = await download(`/audit/export?${path}`);
      const found = await verifyExport(once(text), { pinned: [key!] });
      expect([path, found.faults]).toEqual([path, []]);
      if (leaves !== undefined) expect([path, found.leaves]).toEqual([path, leaves]);
      else expect(found.leaves).toBeGreaterThan(10);
    }
  });

  it('shows of one event that it is in the tree, with the row that it is the hash of', async () => {
    const events = (await auditor.get(`/fhir/AuditEvent?patient=${world.patientOfA.id}&_count=3`)).body;
    const ring = await keyRing(await publicKeys());
    for (const { resource } of events.entry) {
      const { status, body } = await auditor.get(`/audit/proof/inclusion?event=${resource.id}`);
      expect([status, body.event]).toEqual([200, resource.id]);
      const head = await openStatement(body.head.jws, 'audit-tree-head', ring);
      expect(leafOfRow(body.row).toString('hex')).toBe(body.hash);
      expect(provesInclusion(bytes(body.hash), body.leaf, head.tree_size, body.path.map(bytes), bytes(head.root_hash))).toBe(
        true,
      );
      expect(
        await count(
          `subtype = 'audit-inclusion' and patient_id = '${body.row.patient_id}' and entity = '{AuditEvent/${resource.id}}'`,
        ),
      ).toBe(1);
    }
    const [newest] = (
      await world.hub.db.pool.query(
        "select (extract(epoch from recorded) * 1000000)::bigint || '-' || id as id from audit_event order by recorded desc, id desc limit 1",
      )
    ).rows;
    expect((await auditor.get(`/audit/proof/inclusion?event=${newest.id}`)).status).toBe(200);
    for (const event of ['1-1', 'x', '9999999999999999-1'])
      expect((await auditor.get(`/audit/proof/inclusion?event=${event}`)).status).toBe(404);
    expect((await auditor.get('/audit/proof/inclusion')).status).toBe(400);
  });

  it('shows that an earlier head is the beginning of a later one', async () => {
    const ring = await keyRing(await publicKeys());
    await world.hub.hub.sealer.seal();
    const older = (await auditor.get('/audit/tree-heads/latest')).body;
    await auditor.get('/fhir/AuditEvent?_count=1');
    await world.hub.hub.sealer.seal();
    const newer = (await auditor.get('/audit/tree-heads/latest')).body;
    const { body } = await auditor.get(`/audit/proof/consistency?from=${older.treeSize}&to=${newer.treeSize}`);
    const [a, b] = await Promise.all([older, newer].map(({ jws }) => openStatement(jws, 'audit-tree-head', ring)));
    const tree = (head: typeof a) => ({ size: head!.tree_size, root: bytes(head!.root_hash) });
    expect(provesConsistency(tree(a), tree(b), body.path.map(bytes))).toBe(true);
    expect(provesConsistency({ ...tree(a), root: tree(b).root }, tree(b), body.path.map(bytes))).toBe(false);
  });

  it('lists every head, page by page', async () => {
    const seen: number[] = [];
    for (let next: string | undefined = ''; next !== undefined; ) {
      const { body } = (await auditor.get(`/audit/tree-heads?_count=2${next ? `&_cursor=${next}` : ''}`)) as {
        body: { items: { treeSize: number }[]; next?: string };
      };
      seen.push(...body.items.map((h) => h.treeSize));
      next = body.next;
    }
    const { rows } = await world.hub.db.pool.query('select tree_size::int as size from audit_head order by tree_size desc');
    expect(rows.map((r) => r.size)).toEqual(expect.arrayContaining(seen));
    expect(seen).toEqual([...new Set(seen)].sort((x, y) => y - x));
    expect(seen.length).toBeGreaterThan(2);
  });

  it.each([
    ['/audit/tree-heads?_count=0', '_count'],
    ['/audit/tree-heads?_cursor=x', '_cursor'],
    ['/audit/tree-heads?other=1', undefined],
    ['/audit/proof/consistency', 'from'],
    ['/audit/proof/consistency?from=0', 'from'],
    ['/audit/proof/consistency?from=1&to=999999999', 'to'],
    ['/audit/proof/consistency?from=9&to=3', 'from'],
    ['/audit/export?from=x', 'from'],
    ['/audit/export?from=2026-02-31', 'from'],
    ['/audit/export?from=1&to=2026-01', 'to'],
    ['/audit/export?from=1&to=999999999', 'to'],
    ['/audit/export?from=9&to=3', 'to'],
  ])('refuses %s', async (path, element) => {
    const { status, body } = await auditor.get(path);
    expect([status, body.issue[0].expression?.[0]]).toEqual([400, element]);
  });

  it('is watched: backlog, size and age are metrics', async () => {
    await auditor.get('/fhir/AuditEvent?_count=1');
    const metrics = async () => (await world.hub.http().get('/metrics')).text;
    expect(await metrics()).toMatch(/^hub_audit_unsealed_rows [1-9]/m);
    await world.hub.hub.sealer.seal();
    const text = await metrics();
    expect(text).toMatch(/^hub_audit_unsealed_rows 0$/m);
    expect(text).toMatch(new RegExp(`^hub_audit_tree_size ${await count('true')}$`, 'm'));
    expect(text).toMatch(/^hub_audit_tree_head_age_seconds \d/m);
  });
});
