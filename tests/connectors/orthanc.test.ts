import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { Connector, RetrieveRequest } from '../../connectors/connector.js';
import { createConnector } from '../../connectors/index.js';
import { createOutbound } from '../../connectors/outbound.js';
import { filesBelow, type Orthanc, startOrthanc } from '../support/orthanc.js';
import { describeWithRealData } from '../support/real-data.js';
import { countsByStudy, instancesOf, never, read } from './support/changes.js';
import { dataSet, part10 } from './support/data-sets.js';
import { bytesOf, partsOf } from './support/multipart.js';

const outbound = createOutbound({ allowedNetworks: ['127.0.0.1/32'] });
afterAll(() => outbound.close());

function connect(orthanc: Orthanc, withChangeLog = true): Connector {
  const { dicomwebUrl: baseUrl, orthancUrl } = orthanc;
  return createConnector(
    'dicomweb',
    { baseUrl, ...(withChangeLog ? { orthancUrl } : {}), defaultUtcOffset: '+08:00' },
    { outbound },
  );
}

const hospitals = {
  'hospital-b': {
    '1.2.826.0.1.3680043.9.4245.1760717064491086528325869788156915668': { series: 1, instances: 28 },
    '1.2.840.113564.99.1.132112381479.62.2015929114621460.1007647.2': { series: 1, instances: 1 },
    '1.2.840.113619.2.176.2025.1499492.7391.1171285944.390': { series: 1, instances: 27 },
  },
  'hospital-c': {
    '1.2.826.0.13854362241694438965858641723883466450351448': { series: 2, instances: 37 },
    '1.3.6.1.4.1.14519.5.2.1.99.1071.14862055661191295354916571709495': { series: 3, instances: 3 },
  },
};

for (const [hospital, counts] of Object.entries(hospitals)) {
  describeWithRealData(`${hospital} in an Orthanc`, (data) => {
    let orthanc: Orthanc;
    beforeAll(async () => {
      orthanc = await startOrthanc({ folder: join(data, hospital, 'dicom') });
    });
    afterAll(() => orthanc.stop());

    it.each([true, false])('has its studies, counted exactly (by its change log: %s)', async (withChangeLog) => {
      const { studies, unreadable } = await read(connect(orthanc, withChangeLog));
      expect(unreadable).toEqual([]);
      expect(countsByStudy(studies)).toEqual(counts);
    });

    it('gives every instance the same digest by either way, and its transfer syntax by the change log', async () => {
      const digests = async (withChangeLog: boolean) =>
        Object.fromEntries(
          instancesOf((await read(connect(orthanc, withChangeLog))).studies).map((one) => [one.sopInstanceUid, one.digest]),
        );
      expect(await digests(true)).toEqual(await digests(false));
      expect(
        instancesOf((await read(connect(orthanc))).studies).every((one) =>
          one.transferSyntaxUid?.startsWith('1.2.840.10008.1.2'),
        ),
      ).toBe(true);
    });

    it('delivers a series byte by byte as it was stored', async () => {
      const { studies } = await read(connect(orthanc));
      const study = studies.find((one) => one.studyInstanceUid === Object.keys(counts).at(-1))!;
      const request = {
        studyInstanceUid: study.studyInstanceUid,
        seriesInstanceUid: study.series[0]!.seriesInstanceUid,
        instances: [],
      };
      const parts = await partsOf(await connect(orthanc).retrieve({ ...request, representation: 'instances' }, never()));
      const files = await Promise.all((await filesBelow(join(data, hospital, 'dicom'))).map((file) => readFile(file)));
      expect(parts).toHaveLength(study.series[0]!.instances.length);
      expect(parts.every((part) => files.some((file) => file.equals(part.body)))).toBe(true);
    });

    it('delivers metadata and a frame of an instance', async () => {
      const { studies } = await read(connect(orthanc));
      const study = studies.find((one) => instancesOf([one]).length > 20)!;
      const series = study.series.find((one) => one.modality !== 'DOC')!;
      const request: RetrieveRequest = {
        studyInstanceUid: study.studyInstanceUid,
        seriesInstanceUid: series.seriesInstanceUid,
        sopInstanceUid: series.instances[0]!.sopInstanceUid,
        representation: 'metadata',
        instances: [],
      };
      const metadata = JSON.parse((await bytesOf(await connect(orthanc).retrieve(request, never()))).toString());
      expect(metadata[0]['00080018'].Value).toEqual([request.sopInstanceUid]);
      const frames = await partsOf(
        await connect(orthanc).retrieve({ ...request, representation: 'frames', frames: [1] }, never()),
      );
      expect(frames).toHaveLength(1);
      expect(frames[0]!.body.length).toBeGreaterThan(1_000);
      await expect(connect(orthanc).retrieve({ ...request, sopInstanceUid: '1.2.3' }, never())).rejects.toMatchObject({
        code: 'not-found',
      });
    });
  });
}

describe('an Orthanc that changes', () => {
  let orthanc: Orthanc;
  let folder: string;
  afterEach(async () => {
    await orthanc.stop();
    await rm(folder, { recursive: true });
  });

  async function file(study: number, instance: number): Promise<string> {
    const uids = { '0020000D': `1.2.${study}`, '0020000E': `1.2.${study}.1`, '00080018': `1.2.${study}.1.${instance}` };
    const path = join(folder, `${study}.${instance}`);
    const name = Buffer.from(instance % 2 ? '王^小东' : '王^小东 ');
    const elements = Object.fromEntries(Object.entries(uids).map(([tag, uid]) => [tag, ['UI', uid]]));
    await writeFile(path, part10(dataSet({ ...elements, '00080005': ['CS', 'ISO_IR 192'], '00100010': ['PN', name] } as never)));
    return path;
  }

  it('is followed: first everything, then nothing, then what is new; what was deleted is left out', async () => {
    folder = await mkdtemp(join(tmpdir(), 'orthanc-files-'));
    orthanc = await startOrthanc();
    await orthanc.store(await Promise.all(Array.from({ length: 120 }, (_, i) => file(1, i + 1))));
    const first = await read(connect(orthanc));
    expect(countsByStudy(first.studies)).toEqual({ '1.2.1': { series: 1, instances: 120 } });
    expect(first.studies[0]?.patient.name).toBe('王^小东');
    const second = await read(connect(orthanc), first.cursor);
    expect(second.studies).toEqual([]);
    await orthanc.store([await file(1, 121), await file(2, 1), await file(3, 1)]);
    const found = (await (
      await fetch(`${orthanc.orthancUrl}/tools/find`, {
        method: 'POST',
        body: JSON.stringify({ Level: 'Study', Query: { StudyInstanceUID: '1.2.3' } }),
      })
    ).json()) as string[];
    await fetch(`${orthanc.orthancUrl}/studies/${found[0]}`, { method: 'DELETE' });
    const third = await read(connect(orthanc), second.cursor);
    expect(countsByStudy(third.studies)).toEqual({ '1.2.1': { series: 1, instances: 1 }, '1.2.2': { series: 1, instances: 1 } });
    expect(third.unreadable).toEqual([]);
  });

  it('is read on from the middle of its first listing, though instances were deleted or its change log was cleared', async () => {
    folder = await mkdtemp(join(tmpdir(), 'orthanc-files-'));
    orthanc = await startOrthanc();
    await orthanc.store(await Promise.all(Array.from({ length: 220 }, (_, i) => file(Math.floor(i / 110) + 1, i + 1))));
    const first = await read(connect(orthanc), undefined, 1);
    const known = instancesOf(first.studies).map((one) => one.sopInstanceUid);
    const ids = (await (await fetch(`${orthanc.orthancUrl}/instances?since=0&limit=30`)).json()) as string[];
    await Promise.all(ids.map((id) => fetch(`${orthanc.orthancUrl}/instances/${id}`, { method: 'DELETE' })));
    await fetch(`${orthanc.orthancUrl}/changes`, { method: 'DELETE' });
    const rest = await read(connect(orthanc), first.cursor);
    const all = new Set([...known, ...instancesOf(rest.studies).map((one) => one.sopInstanceUid)]);
    expect(all.size).toBe(220);
  });

  it('is read anew when its database was made anew', async () => {
    folder = await mkdtemp(join(tmpdir(), 'orthanc-files-'));
    orthanc = await startOrthanc();
    await orthanc.store([await file(1, 1)]);
    const { studies } = await read(connect(orthanc), JSON.stringify({ orthanc: { changes: 1_000_000 } }));
    expect(instancesOf(studies)).toHaveLength(1);
  });
});
