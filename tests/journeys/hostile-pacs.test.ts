import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { part10Header } from '../../connectors/dicom/part10-header.js';
import { addSource } from '../../hub/ingest/hospital.js';
import type { FhirResource } from '../../hub/store/search-keys.js';
import { writeChestCt } from '../../models/phantoms/chest-ct.js';
import {
  type Answer,
  type HostilePacs,
  hang,
  hangAfterHeaders,
  html,
  json,
  metadata,
  paged,
  redirect,
  seriesEntry,
  startHostilePacs,
  studyEntry,
} from '../connectors/support/hostile-pacs.js';
import { hub as command } from '../hub/commands/command-line.js';
import { type Orthanc, startOrthanc } from '../support/orthanc.js';
import { freePort } from '../support/free-port.js';
import { type RunningHub, startHub } from '../support/running-hub.js';
import { type TestDatabase, testDatabase } from '../support/test-database.js';

type Answers = Record<string, Answer>;

const HEALTHY = '1.2.826.0.1.3680043.10.1451.99';
const INSTANCES = 3;
const header = part10Header({
  sopClassUid: '1.2.840.10008.5.1.4.1.1.2',
  sopInstanceUid: `${HEALTHY}.1`,
  transferSyntaxUid: '1.2.840.10008.1.2.1',
});
const multipart: Answer = (_, response) =>
  response
    .writeHead(200, { 'content-type': 'multipart/related; type="application/dicom"; boundary=x' })
    .end(Buffer.concat([Buffer.from('--x\r\n\r\n'), header, Buffer.from('\r\n--x--')]));

/** A PACS with one study of one series, which says that it has `claimed` instances. */
function pacsWith(uid: string, instances: number, claimed = instances): Answers {
  const all = Array.from({ length: instances }, (_, i) => metadata(uid, `${uid}.1`, `${uid}.1.${i + 1}`));
  return {
    studies: paged([studyEntry(uid, claimed)]),
    [`studies/${uid}/series`]: paged([seriesEntry(`${uid}.1`)]),
    [`studies/${uid}/series/${uid}.1/metadata`]: json(all),
    [`studies/${uid}`]: multipart,
  };
}

/** What is wrong with the PACS of each hospital, and what its administrator reads. */
const SICK: Record<string, { answers: Answers | undefined; error: RegExp }> = {
  down: { answers: undefined, error: /^unreachable: .*ECONNREFUSED/ },
  hanging: { answers: { studies: hang }, error: /^timeout: / },
  stopping: { answers: { studies: hangAfterHeaders }, error: /^timeout: / },
  'signing-in': { answers: { studies: html }, error: /^bad-response: .*text\/html/ },
  redirecting: { answers: { studies: redirect }, error: /^bad-response: .*redirects \(302\)/ },
  refusing: { answers: { studies: (_, response) => response.writeHead(401).end() }, error: /^refused: / },
};

/** One hospital's PACS is nobody else's trouble. */
describe('a region in which some PACS are ill', () => {
  let database: TestDatabase;
  let hub: RunningHub;
  let orthanc: Orthanc;
  let folder: string;
  let physician: string;
  let physicianOfFailing: string;
  const pacs: Record<string, { port: number; answers: Answers; server?: HostilePacs }> = {};
  const uidOf = (hospital: string): string => `1.2.3.${Object.keys(pacs).indexOf(hospital) + 1}`;

  const start = async (hospital: string, answers: Answers): Promise<void> => {
    const port = pacs[hospital]?.port ?? (await freePort());
    pacs[hospital] = { port, answers, server: await startHostilePacs(answers, port) };
  };
  const stop = (hospital: string): Promise<void> | undefined => pacs[hospital]?.server?.stop();
  /** From now on the PACS answers otherwise. */
  const turn = (hospital: string, answers: Answers): void => {
    const current = pacs[hospital]!.answers;
    for (const key of Object.keys(current)) delete current[key];
    Object.assign(current, answers);
  };
  const connect = (hospital: string) =>
    addSource(hub.db, {
      id: `${hospital}.pacs`,
      organizationId: hospital,
      kind: 'dicomweb',
      settings: { baseUrl: `http://127.0.0.1:${pacs[hospital]!.port}`, timeouts: { headersMs: 500, idleMs: 500 } },
    });

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'hostile-pacs-'));
    const study = { uid: HEALTHY, started: '2025-03-04T10:00' };
    await writeChestCt({ folder, patient: { id: 'P-1', name: 'Wang^XiaoDong' }, study, slices: INSTANCES, rows: 16, nodules: 0 });
    orthanc = await startOrthanc({ folder });
    database = await testDatabase();
    hub = await startHub({ database, config: { pollSeconds: 1 } });
    const hospitals = ['healthy', 'failing', 'lying', 'stumbling', ...Object.keys(SICK)];
    await hub.join(
      hospitals.map((id, i) => ({ id, assigner: `urn:oid:1.2.826.0.1.3680043.10.1451.8.${i + 1}` })),
      'consortium',
    );
    await hub.enrol(
      { username: 'physician', role: 'physician', organizationId: 'healthy' },
      { username: 'physician-of-failing', role: 'physician', organizationId: 'failing' },
      { username: 'administrator', role: 'hospital-administrator', organizationId: 'lying' },
      { username: 'auditor', role: 'auditor', organizationId: 'commission' },
    );
    physician = await hub.person('physician');
    physicianOfFailing = await hub.person('physician-of-failing');
    await start('failing', pacsWith('1.2.3.1', 2));
    await start('lying', pacsWith('1.2.3.2', 2, 5));
    await start('stumbling', { ...pacsWith('1.2.3.3', 2), 'studies/1.2.3.3/series': html });
    for (const [hospital, { answers }] of Object.entries(SICK)) {
      await start(hospital, answers ?? {});
      if (!answers) await stop(hospital);
    }
    await addSource(hub.db, {
      id: 'healthy.pacs',
      organizationId: 'healthy',
      kind: 'dicomweb',
      settings: { baseUrl: orthanc.dicomwebUrl },
    });
    for (const hospital of Object.keys(pacs)) await connect(hospital);
    await hub.hub.sources.idle();
  });
  afterAll(async () => {
    await hub?.stop();
    await database?.close();
    await Promise.all(Object.keys(pacs).map((hospital) => stop(hospital)));
    await orthanc?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const get = async (token: string, path: string) => {
    const { status, body, headers, text } = await hub
      .http()
      .get(path)
      .set('authorization', `Bearer ${token}`)
      .buffer(true)
      .parse(asText);
    const isJson = String(headers['content-type']).includes('json');
    return { status, text: String(body ?? text), body: (isJson ? JSON.parse(String(body)) : {}) as FhirResource };
  };
  const studiesOf = async (hospital: string): Promise<FhirResource[]> => {
    const { body } = await get(
      await hub.system(hospital),
      `/fhir/ImagingStudy?identifier=${encodeURIComponent(`urn:dicom:uid|urn:oid:${hospital === 'healthy' ? HEALTHY : uidOf(hospital)}`)}`,
    );
    return ((body.entry ?? []) as { resource: FhirResource; search: { mode: string } }[])
      .filter((e) => e.search.mode === 'match')
      .map((e) => e.resource);
  };
  const retrieve = (uid: string, token = physicianOfFailing) => get(token, `/dicomweb/studies/${uid}`);
  const errors = async (): Promise<Record<string, string | null>> => {
    const { rows } = await database.db.pool.query('select organization_id, last_error from connector order by 1');
    return Object.fromEntries(rows.map((row) => [row.organization_id, row.last_error]));
  };
  const expectHealthy = async (): Promise<void> => {
    expect(await studiesOf('healthy')).toMatchObject([{ numberOfInstances: INSTANCES }]);
    const { status, text } = await retrieve(HEALTHY, physician);
    expect({ status, parts: text.split('DICM').length - 1 }).toEqual({ status: 200, parts: INSTANCES });
  };

  it('the healthy ones are indexed and retrievable; the ill ones have their reason; only a study that can’t be had by itself is in quarantine', async () => {
    await expectHealthy();
    const found = await errors();
    for (const [hospital, { error }] of Object.entries(SICK)) {
      expect([hospital, found[hospital]]).toEqual([hospital, expect.stringMatching(error)]);
      expect(await studiesOf(hospital)).toEqual([]);
    }
    expect([found.healthy, found.failing, found.lying, found.stumbling]).toEqual([null, null, null, null]);
    const held = await database.db.pool.query('select custodian_id, reason, locator from quarantine order by 1');
    expect(held.rows).toEqual([
      { custodian_id: 'lying', reason: 'count-mismatch', locator: 'studies/1.2.3.2' },
      { custodian_id: 'stumbling', reason: 'source-error', locator: 'studies/1.2.3.3' },
    ]);
  });

  it('one that claims more than it has is indexed as partial, and its administrator is told', async () => {
    const completeness = (study: FhirResource | undefined) =>
      ((study?.extension ?? []) as { url: string; valueCode?: string }[]).find(({ url }) => url.endsWith('/completeness'))
        ?.valueCode;
    const [study] = await studiesOf('lying');
    expect([study?.numberOfInstances, completeness(study)]).toEqual([2, 'partial']);
    const { body } = await get(await hub.person('administrator'), '/quarantine');
    expect(body.items).toMatchObject([{ reason: 'count-mismatch', studyInstanceUid: '1.2.3.2', state: 'held' }]);
  });

  it('hub hospital check names each ill one with its trouble, and ends with status 1', async () => {
    const environment = {
      DATABASE_URL: database.url,
      HUB_SECRET: 'secret-of-the-tests-only',
      HUB_OUTBOUND_NETWORKS: '127.0.0.0/8',
    };
    const { status, stdout, stderr } = await command(['hospital', 'check'], environment);
    expect({ status, stderr }).toEqual({ status: 1, stderr: '' });
    for (const hospital of Object.keys(SICK))
      expect(stdout).toMatch(new RegExp(`^${hospital}\\.pacs +dicomweb +true .* false +The source .*$`, 'm'));
    for (const hospital of ['healthy', 'failing', 'lying'])
      expect(stdout).toMatch(new RegExp(`^${hospital}\\.pacs +dicomweb .* true +QIDO-RS answers\\.$`, 'm'));
    expect((await command(['hospital', 'check', 'healthy'], environment)).status).toBe(0);
  });

  describe('when a PACS falls ill that was indexed', () => {
    const uid = '1.2.3.1';
    const stages: [string, number, () => Promise<void> | undefined | void][] = [
      ['answers HTML', 502, () => turn('failing', { ...pacsWith(uid, 2), [`studies/${uid}`]: html })],
      ['redirects', 502, () => turn('failing', { ...pacsWith(uid, 2), [`studies/${uid}`]: redirect })],
      ['hangs', 504, () => turn('failing', { ...pacsWith(uid, 2), [`studies/${uid}`]: hang })],
      ['is stopped', 502, () => stop('failing')],
    ];

    it('it was retrievable before', async () => {
      expect(await retrieve(uid)).toMatchObject({ status: 200, text: expect.stringContaining('DICM') });
    });

    it.each(stages)(
      'and %s, a retrieval is answered with %i and no detail, the audit tells, and the others go on',
      async (_, status, happen) => {
        await happen();
        const since = (await database.db.pool.query('select coalesce(max(id), 0) as id from audit_event')).rows[0].id;
        const answer = await retrieve(uid);
        expect(answer).toMatchObject({
          status,
          body: { resourceType: 'OperationOutcome', issue: [{ severity: 'error', code: 'transient' }] },
        });
        expect(answer.text).not.toMatch(/127\.0\.0\.1|ECONN|302|html/);
        const told = await database.db.pool.query(
          "select outcome, custodian_id, entity, detail from audit_event where id > $1 and subtype = 'retrieve' order by id",
          [since],
        );
        expect(told.rows).toMatchObject([
          { outcome: 0, custodian_id: 'failing', entity: [expect.stringMatching(/^ImagingStudy\//)] },
          { outcome: 8, custodian_id: 'failing', detail: expect.stringMatching(/^source: /) },
        ]);
        await expectHealthy();
      },
    );

    it('its study stays in the index, and the auditor finds the failed retrievals', async () => {
      const [study] = await studiesOf('failing');
      expect(study).toMatchObject({ numberOfInstances: 2, meta: { versionId: '1' } });
      const patient = String(study?.subject.reference).replace('Patient/', '');
      const { body } = await get(await hub.person('auditor'), `/fhir/AuditEvent?patient=${patient}&outcome=8`);
      expect(body.total ?? body.entry?.length).toBeGreaterThanOrEqual(stages.length);
    });
  });

  it('all that come back are indexed once, nothing is left in quarantine, and nobody else’s record was touched', async () => {
    await start('down', pacsWith(uidOf('down'), 2));
    await start('failing', pacsWith('1.2.3.1', 2));
    for (const hospital of Object.keys(SICK).filter((h) => h !== 'down')) turn(hospital, pacsWith(uidOf(hospital), 2));
    turn('lying', pacsWith('1.2.3.2', 5));
    turn('stumbling', pacsWith('1.2.3.3', 2));
    await hub.hub.sources.reindex('lying.pacs');
    await until(async () => {
      await hub.hub.sources.idle();
      return Object.values(await errors()).every((error) => error === null);
    });
    const counts = await Promise.all(
      [...Object.keys(pacs), 'healthy'].map(async (hospital) => [
        hospital,
        (await studiesOf(hospital)).map((s) => s.numberOfInstances),
      ]),
    );
    expect(Object.fromEntries(counts)).toEqual({
      ...Object.fromEntries(Object.keys(SICK).map((hospital) => [hospital, [2]])),
      failing: [2],
      lying: [5],
      stumbling: [2],
      healthy: [INSTANCES],
    });
    const versions = await database.db.pool.query(
      "select custodian_id, version from resource where type = 'ImagingStudy' and version > 1",
    );
    expect(versions.rows).toEqual([{ custodian_id: 'lying', version: 2 }]);
    expect(await retrieve('1.2.3.1')).toMatchObject({ status: 200 });
    const held = await database.db.pool.query("select 1 from quarantine where state = 'held'");
    expect(held.rows).toEqual([]);
  });
});

async function until(happened: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 200; i += 1) {
    if (await happened()) return;
    await sleep(500);
  }
  throw new Error('it did not happen in time');
}

function asText(answer: unknown, done: (error: Error | null, body: unknown) => void): void {
  let text = '';
  const response = answer as NodeJS.ReadableStream;
  response.setEncoding('latin1');
  response.on('data', (chunk) => (text += chunk)).on('end', () => done(null, Buffer.from(text, 'latin1').toString('utf8')));
  response.on('error', (error) => done(error, text));
}
