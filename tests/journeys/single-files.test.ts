import { copyFile, link, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { addSource } from '../../hub/ingest/hospital.js';
import type { FhirResource } from '../../hub/store/search-keys.js';
import { describeWithRealData } from '../support/real-data.js';
import { type RunningHub, startHub } from '../support/running-hub.js';
import { type Handled, identified, lookAt, matrix } from './transfer-syntax-matrix.js';

const DOCUMENT = 'docs/transfer-syntaxes.md';

/** Why a file can't be indexed; each was looked at. */
const QUARANTINED: Record<string, { reason: string; because: string }> = {
  'charset/per-item-charset_chrSQEncoding1.dcm': {
    reason: 'missing-identifier',
    because: 'a sample of character sets, without study or series',
  },
  'odd/empty-charset__empty_charset_LEI.dcm': { reason: 'missing-identifier', because: 'no Study Instance UID' },
  'odd/meta-without-transfersyntax__meta_missing_tsyntax.dcm': { reason: 'missing-identifier', because: 'no Study Instance UID' },
  'odd/nested-private-sq__nested_priv_SQ.dcm': { reason: 'missing-identifier', because: 'nothing but private sequences' },
  'odd/no-group-length__no_meta_group_length.dcm': { reason: 'missing-identifier', because: 'no Study Instance UID' },
  // A reader that skips bytes until something looks like an element would find a name in it: of an archive's object, one can't be sure.
  'odd/no-preamble-no-meta__no_meta.dcm': {
    reason: 'not-dicom',
    because: 'a stray byte stands before its first element: it begins with neither a prefix nor a data set',
  },
  'odd/truncated-dataset__rtplan_truncated.dcm': { reason: 'truncated', because: 'it ends within an element' },
  'odd/truncated-pixeldata__MR_truncated.dcm': { reason: 'truncated', because: 'its pixel data is shorter than it says' },
  'odd/un-vr-sequence__UN_sequence.dcm': {
    reason: 'missing-identifier',
    because: 'its Study Instance UID stands only inside a sequence',
  },
  'transfer-syntax/HTJ2K-lossy_1.2.840.10008.1.2.4.203.dcm': {
    reason: 'missing-identifier',
    because: 'an image without study or series',
  },
};

/** Every odd file that was found, each at a hospital of its own: one hospital's file never hinders another's. */
describeWithRealData('single files of every kind, each at a hospital of its own', (data) => {
  let hub: RunningHub;
  let archives: string;
  let files: { file: string; name: string; hospital: string }[];

  beforeAll(async () => {
    files = (await expectedNames(join(data, 'single-files'))).map(([file, name], i) => ({
      file,
      name,
      hospital: `hospital-${i + 1}`,
    }));
    archives = await mkdtemp(join(tmpdir(), 'single-files-'));
    hub = await startHub({ config: { pollSeconds: 2, maxBundleEntries: 1000 } });
    await hub.join(
      files.map(({ hospital }, i) => ({ id: hospital, assigner: `urn:oid:1.2.826.0.1.3680043.10.1451.9.${i + 1}` })),
    );
    await hub.enrol(
      ...files.map(({ hospital }) => ({ username: hospital, role: 'hospital-administrator' as const, organizationId: hospital })),
    );
    for (const { file, hospital } of files) {
      const root = join(archives, hospital);
      await mkdir(root);
      await place(join(data, 'single-files', file), join(root, basename(file)));
      await addSource(hub.db, { id: `${hospital}.folder`, organizationId: hospital, kind: 'folder', settings: { root } });
    }
    await joinIdentified();
    await hub.hub.sources.idle();
  });

  /** A file that lacks the UIDs of study and series, once more with them. */
  const nameless = { file: 'transfer-syntax/HTJ2K-lossy_1.2.840.10008.1.2.4.203.dcm', hospital: 'identified' };
  const joinIdentified = async (): Promise<void> => {
    const { file, hospital } = nameless;
    const root = join(archives, hospital);
    await hub.join([{ id: hospital, assigner: 'urn:oid:1.2.826.0.1.3680043.10.1451.9.99' }]);
    await mkdir(root);
    await writeFile(
      join(root, basename(file)),
      await identified(join(data, 'single-files', file), '1.2.826.0.1.3680043.10.1451.9.99'),
    );
    await addSource(hub.db, { id: `${hospital}.folder`, organizationId: hospital, kind: 'folder', settings: { root } });
  };
  afterAll(async () => {
    await hub?.stop();
    await rm(archives, { recursive: true, force: true });
  });

  const get = async (token: string, path: string): Promise<FhirResource> => {
    const answer = await hub.http().get(path).set('authorization', `Bearer ${token}`);
    expect(answer.status).toBe(200);
    return answer.body;
  };
  const resources = (bundle: FhirResource): FhirResource[] =>
    ((bundle.entry ?? []) as { resource: FhirResource; search: { mode: string } }[])
      .filter((e) => e.search.mode === 'match')
      .map((e) => e.resource);

  it('is indexed with its name or in quarantine with the reason that is true, and its administrator sees his own alone', async () => {
    const found: Record<string, unknown> = {};
    const expected: Record<string, unknown> = {};
    for (const { file, name, hospital } of files) {
      const token = await hub.person(hospital);
      const studies = resources(await get(token, '/fhir/ImagingStudy'));
      const patients = resources(await get(token, '/fhir/Patient'));
      const { items } = await get(token, '/quarantine');
      found[file] = {
        studies: studies.map((s) => ({ instances: s.numberOfInstances, patient: s.subject.reference })),
        names: patients.map((p) => (p.name ? dicomName(p.name) : '')),
        quarantine: items.map((item: FhirResource) => [item.custodian, item.locator, item.reason]),
      };
      const held = QUARANTINED[file];
      expected[file] = held
        ? { studies: [], names: [], quarantine: [[hospital, basename(file), held.reason]] }
        : {
            studies: [{ instances: 1, patient: `Patient/${patients[0]?.id}` }],
            names: [name.replace(/=+$/, '')],
            quarantine: [],
          };
    }
    expect(Object.keys(found)).toHaveLength(47);
    expect(found).toEqual(expected);
  });

  it('stops nothing: every source was read to its end', async () => {
    const { rows } = await hub.db.pool.query(
      'select count(*)::int as read from connector where last_success is not null and last_error is null',
    );
    expect(rows).toEqual([{ read: 48 }]);
  });

  it('is retrieved, transcoded and rendered as the table in the documentation says', async () => {
    const handled: Handled[] = [];
    for (const { file, hospital } of [...files.filter((one) => one.file !== nameless.file), nameless]) {
      const token = await hub.system(hospital);
      const [study] = resources(await get(token, '/fhir/ImagingStudy'));
      const uid = study?.identifier.find((i: FhirResource) => i.system === 'urn:dicom:uid').value.replace('urn:oid:', '');
      const ask = async (path: string, accept: string): Promise<boolean> => {
        if (!uid) return false;
        const asking = hub
          .http()
          .get(`/dicomweb/studies/${uid}${path}`)
          .set({ authorization: `Bearer ${token}`, accept });
        const { status, body } = await asking.buffer(true).parse(bytes);
        expect([200, 406]).toContain(status);
        return status === 200 && !(body as Buffer).includes('OperationOutcome');
      };
      const dicom = 'multipart/related; type="application/dicom"; transfer-syntax=';
      handled.push({
        file,
        ...(await lookAt(join(data, 'single-files', file))),
        indexed: uid !== undefined,
        retrieved: await ask('', `${dicom}*`),
        transcoded: await ask('', `${dicom}1.2.840.10008.1.2.1`),
        rendered: await ask('/rendered', 'multipart/related; type="image/png"'),
      });
    }
    const written = matrix(handled);
    if (process.env.UPDATE_DOCS) await writeFile(DOCUMENT, written);
    expect(await readFile(DOCUMENT, 'utf8').catch(() => '')).toBe(written);
  });

  it('shows a name in Chinese characters and in letters', async () => {
    const { hospital } = files.find(({ file }) => file === 'charset/gb18030_chrX2.dcm')!;
    const [patient] = resources(await get(await hub.person(hospital), '/fhir/Patient'));
    expect(patient?.name).toMatchObject([
      { text: '王小东', family: '王', given: ['小东'] },
      { text: 'Wang XiaoDong', family: 'Wang', given: ['XiaoDong'] },
    ]);
  });
});

async function expectedNames(folder: string): Promise<[file: string, name: string][]> {
  const lines = (await readFile(join(folder, 'expected-names.csv'), 'utf8')).trim().split('\n').slice(1);
  return lines.map((line) => {
    const [, file = '', name = ''] = /^([^,]+),"(?:[^"]|"")*","((?:[^"]|"")*)"/.exec(line) ?? [];
    return [file, name.replaceAll('""', '"')];
  });
}

function bytes(answer: unknown, done: (error: Error | null, body: Buffer) => void): void {
  const chunks: Buffer[] = [];
  const response = answer as NodeJS.ReadableStream;
  response.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => done(null, Buffer.concat(chunks)));
}

/** A hard link where the file system allows it. */
const place = (from: string, to: string): Promise<void> => link(from, to).catch(() => copyFile(from, to));

interface Name {
  use?: string;
  text: string;
  family?: string;
  given?: string[];
  prefix?: string[];
  suffix?: string[];
}

/** The DICOM Person Name that FHIR names came from: nothing of it may be lost. */
function dicomName(names: Name[]): string {
  const [written, spelt] = ['usual', 'official'].map((use) => names.find((name) => name.use === use));
  const phonetic = names.find((name) => name.use === undefined);
  const groups = [spelt ?? written, spelt && written, phonetic];
  return groups.map(components).join('=').replace(/=+$/, '');
}

function components(name: Name | undefined): string {
  if (!name) return '';
  const { text, family, given: [first = '', middle = ''] = [], prefix = [], suffix = [] } = name;
  if (family === undefined) return text;
  return [family, first, middle, prefix.join(' '), suffix.join(' ')].join('^').replace(/\^+$/, '');
}
