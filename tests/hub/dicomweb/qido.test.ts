import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type Client, clientOf, studyUidOf } from '../security/world.js';
import { type Archive, first, openArchive, results, STUDIES } from './archive.js';

let world: Archive;
let physician: Client;

beforeAll(async () => {
  world = await openArchive();
  physician = await world.person('physician-a');
});
afterAll(() => world?.close());

/** Which of the archive's studies a search finds, by their place in the list; others are left out. */
async function found(query: string, client = physician): Promise<number[]> {
  const { found: all } = await results(client, `studies?${query}`);
  const uids = all.map((one) => first(one, '0020000D'));
  return STUDIES.flatMap(({ uid }, i) => (uids.includes(uid) ? [i + 1] : []));
}

describe('QIDO-RS finds studies', () => {
  it.each([
    ['StudyDate=20250305', [2, 5]],
    ['StudyDate=20250305-', [2, 3, 5]],
    ['StudyDate=-20250304', [1, 4]],
    ['00080020=20250304-20250305', [1, 2, 5]],
    ['StudyTime=0920', [1]],
    ['StudyTime=092031-1300', [4]],
    ['StudyTime=-0010', [3]],
    ['StudyDate=20250305&StudyTime=2330-', [2]],
    ['AccessionNumber=ACC-1', [1]],
    ['AccessionNumber=acc-1', []],
    ['AccessionNumber=ACC*', [1, 2, 3]],
    ['AccessionNumber=XYZ_4', [4]],
    ['AccessionNumber=XYZ%255', [5]],
    ['AccessionNumber=XYZ%25*', [5]],
    ['AccessionNumber=XYZ??', [4, 5]],
    ['ModalitiesInStudy=CT&AccessionNumber=*', [1, 2, 3, 4, 5]],
    ['ModalitiesInStudy=MR,CT', [1, 2, 3, 4, 5]],
    ['ModalitiesInStudy=MR', []],
    ['ModalitiesInStudy=?T', [1, 2, 3, 4, 5]],
    ['ReferringPhysicianName=Zhang^San', [1]],
    ['ReferringPhysicianName=%E5%BC%A0*', [1]],
    ['ReferringPhysicianName=li^s?', [2, 3, 4, 5]],
    ['ReferringPhysicianName=San%20Zhang&fuzzymatching=true', [1]],
    ['PatientID=100233', [3]],
    ['PatientID=10023?', [1, 2, 3, 4, 5]],
    ['PatientID=*234', [4]],
    ['PatientID=100231&IssuerOfPatientID=urn:oid:1.2.3', []],
    ['PatientBirthDate=19510102', [2]],
    ['PatientBirthDate=1951-1953', undefined],
    ['PatientBirthDate=19510101-19530101', [2, 3]],
    ['PatientSex=F', [2, 4]],
    [`StudyInstanceUID=${STUDIES[1].uid},${STUDIES[3].uid}`, [2, 4]],
    [`StudyInstanceUID=${STUDIES[1].uid}%5C${STUDIES[3].uid}`, [2, 4]],
    [`0020000D=${STUDIES[1].uid}&StudyDate=20250305`, [2]],
    ['StudyID=ACC-3', [3]],
    ['StudyID=ACC*', [1, 2, 3]],
    ['StudyDescription=*chest%20ct%202', [2]],
    ['PatientName=Wang^XiaoDong', [1]],
    ['PatientName=wang^*', [1, 3]],
    ['PatientName=*xiaod?n', [3]],
    ['PatientName=%E7%8E%8B^*', [1, 2]],
    ['PatientName=Wang^XiaoDong=%E7%8E%8B^%E5%B0%8F%E4%B8%9C', [1]],
    ['PatientName=Wang', []],
    ['PatientName=', [1, 2, 3, 4, 5]],
  ] as [string, number[] | undefined][])('%s', async (query, expected) => {
    if (expected) expect(await found(query)).toEqual(expected);
    else expect((await physician.get(`/dicomweb/studies?${query}`)).status).toBe(400);
  });

  it.each([
    ['王小东', [1, 2]],
    ['王 小东', [1, 2]],
    ['王', [1, 2, 3]],
    ['小东', [1, 2]],
    ['王小丹', [3]],
    ['wang xiaodong', [1, 2]],
    ['WangXiaoDong', [1, 2]],
    ['Wang^XiaoDong', [1, 2]],
    ['XiaoDong Wang', [1, 2]],
    ['wáng xiǎodōng', [1, 2]],
    ['wang2 xiao3dong1', [1, 2]],
    ['*wang*', [1, 2, 3]],
    ['wang xiaod', [1, 2, 3]],
    ['lv bu', [4]],
    ['lü bu', [4]],
    ['吕布', [4]],
    ['shan xiongxin', [5]],
    ['danxiongxin', [5]],
    ['dong', []],
    ['王五', []],
  ] as [string, number[]][])('by a name that is like %s', async (name, expected) => {
    expect(await found(`fuzzymatching=true&PatientName=${encodeURIComponent(name)}`)).toEqual(expected);
  });

  it('with the attributes of PS3.18 table 10.6.3-3, and those that are asked for', async () => {
    const { found: all, answer } = await results(physician, `studies?StudyInstanceUID=${STUDIES[0].uid}`);
    expect(answer.headers['content-type']).toBe('application/dicom+json');
    expect(answer.headers['warning']).toBeUndefined();
    expect(all).toEqual([
      {
        '00080005': { vr: 'CS', Value: ['ISO_IR 192'] },
        '00080020': { vr: 'DA', Value: ['20250304'] },
        '00080030': { vr: 'TM', Value: ['092030'] },
        '00080050': { vr: 'SH', Value: ['ACC-1'] },
        '00080056': { vr: 'CS', Value: ['ONLINE'] },
        '00080061': { vr: 'CS', Value: ['CT'] },
        '00080080': { vr: 'LO', Value: ['a'] },
        '00080090': { vr: 'PN', Value: [{ Alphabetic: 'Zhang^San', Ideographic: '张^三' }] },
        '00080201': { vr: 'SH', Value: ['+0800'] },
        '00081190': { vr: 'UR', Value: [`${world.hub.url}/dicomweb/studies/${STUDIES[0].uid}?custodian=a`] },
        '00100010': { vr: 'PN', Value: [{ Alphabetic: 'Wang^XiaoDong', Ideographic: '王^小东' }] },
        '00100020': { vr: 'LO', Value: ['100231'] },
        '00100021': { vr: 'LO', Value: ['urn:oid:1.2.826.0.1.3680043.10.1451.97'] },
        '00100030': { vr: 'DA', Value: ['19500102'] },
        '00100040': { vr: 'CS', Value: ['M'] },
        '0020000D': { vr: 'UI', Value: [STUDIES[0].uid] },
        '00200010': { vr: 'SH', Value: ['ACC-1'] },
        '00201206': { vr: 'IS', Value: [2] },
        '00201208': { vr: 'IS', Value: [4] },
      },
    ]);
    for (const include of ['StudyDescription,00080060', 'all']) {
      const [one] = (await results(physician, `studies?StudyInstanceUID=${STUDIES[0].uid}&includefield=${include}`)).found;
      expect(first(one!, '00081030')).toBe('Chest CT 1');
    }
    // a name in characters alone is nobody without a name
    const [chinese] = (await results(physician, `studies?StudyInstanceUID=${STUDIES[1].uid}`)).found;
    expect(first(chinese!, '00100010')).toEqual({ Alphabetic: '王^小东' });
    const retrieval = new URL(String(first(all[0]!, '00081190')));
    expect((await physician.get(`${retrieval.pathname}/metadata${retrieval.search}`)).status).toBe(200);
  });

  it('page by page, newest first, and says what is left over', async () => {
    const { found: all } = await results(physician, 'studies?AccessionNumber=*');
    const dates = all.map((one) => `${first(one, '00080020')}${first(one, '00080030')}`);
    expect(dates).toEqual([...dates].sort().reverse());
    expect(all.length).toBeGreaterThanOrEqual(STUDIES.length);
    for (const limit of [1, 2, 3]) {
      const pages = [];
      for (let offset = 0; offset < all.length; offset += limit) {
        const { found: page, answer } = await results(physician, `studies?limit=${limit}&offset=${offset}`);
        const left = all.length - offset - page.length;
        if (left === 0) expect(answer.headers['warning']).toBeUndefined();
        else
          expect(answer.headers['warning']).toMatch(
            new RegExp(`^299 127.0.0.1:\\d+ "There are ${left} additional results that can be requested"$`),
          );
        pages.push(...page);
      }
      expect(pages).toEqual(all);
    }
    expect((await physician.get(`/dicomweb/studies?offset=${all.length}`)).status).toBe(204);
  });
});

describe('QIDO-RS finds series and instances', () => {
  const one = `studies/${STUDIES[0].uid}`;
  const uidsOf = async (path: string, tag = '0020000E'): Promise<unknown[]> =>
    (await results(physician, path)).found.map((d) => first(d, tag));

  it('of one study', async () => {
    const { found: series } = await results(physician, `${one}/series?includefield=BodyPartExamined,StudyDescription`);
    expect(series.map((s) => [first(s, '00200011'), first(s, '0008103E'), first(s, '00201209'), first(s, '00180015')])).toEqual([
      [1, 'Chest axial lung', 3, 'CHEST'],
      [2, 'Localizer', 1, 'CHEST'],
    ]);
    expect(series[0]).toMatchObject({
      '00081030': { vr: 'LO', Value: ['Chest CT 1'] },
      '00400244': { vr: 'DA', Value: ['20250304'] },
      '00400245': { vr: 'TM', Value: ['0915'] },
      '00400275': {
        vr: 'SQ',
        Value: [{ '00400009': { vr: 'SH', Value: ['SPS-7'] }, '00401001': { vr: 'SH', Value: ['RP-0'] } }],
      },
    });
    expect(series[0]).not.toHaveProperty('00100010');
    const [axial, localizer] = series.map((s) => first(s, '0020000E'));
    const { found: instances } = await results(physician, `${one}/instances`);
    expect(instances.map((i) => [first(i, '0020000E'), first(i, '00200013')])).toEqual([
      [axial, 1],
      [axial, 2],
      [axial, 3],
      [localizer, 1],
    ]);
    expect(instances[0]).toMatchObject({
      '00080016': { vr: 'UI', Value: ['1.2.840.10008.5.1.4.1.1.2'] },
      '00083002': { vr: 'UI', Value: ['1.2.840.10008.1.2.1'] },
    });
    expect(await uidsOf(`${one}/series/${axial}/instances?InstanceNumber=2`, '00080018')).toEqual([
      first(instances[1]!, '00080018'),
    ]);
    expect((await results(physician, `${one}/instances?limit=3&offset=1`)).found).toEqual(instances.slice(1));
    const cut = await results(physician, `${one}/instances?limit=1&offset=1`);
    expect(cut.answer.headers['warning']).toContain('There are 2 additional results');
  });

  it.each([
    ['SeriesNumber=2', 1],
    ['SeriesNumber=3', 0],
    ['Modality=CT', 2],
    ['Modality=M*', 0],
    ['SeriesDescription=*LUNG', 1],
    ['PerformedProcedureStepStartDate=20250301-20250305', 1],
    ['PerformedProcedureStepStartTime=0900-0916', 1],
    ['RequestAttributesSequence.RequestedProcedureID=RP-0', 1],
    ['RequestAttributesSequence.RequestedProcedureID=RP-1', 0],
    ['00400275.00400009=SPS-?', 1],
    ['00400275.ScheduledProcedureStepID=SPS-8', 0],
    ['BodyPartExamined=CHEST', 2],
  ])('%s: the same among all studies and within one', async (query, count) => {
    const within = await uidsOf(`${one}/series?${query}`);
    expect(within).toHaveLength(count);
    expect(await uidsOf(`series?StudyInstanceUID=${STUDIES[0].uid}&${query}`)).toEqual(within);
    const [all] = [await results(physician, `series?${query}`)];
    expect(all.found.filter((s) => first(s, '0020000D') === STUDIES[0].uid).map((s) => first(s, '0020000E'))).toEqual(within);
  });

  it('by their own identifiers among all studies, with the attributes of the study and its patient', async () => {
    const [series] = await uidsOf(`${one}/series`);
    const [instance] = await uidsOf(`${one}/instances`, '00080018');
    const [found] = (await results(physician, `series?SeriesInstanceUID=${series}`)).found;
    expect([first(found!, '0020000D'), first(found!, '00100020')]).toEqual([STUDIES[0].uid, '100231']);
    expect(await uidsOf(`instances?SOPInstanceUID=${instance}&SOPClassUID=1.2.840.10008.5.1.4.1.1.2`, '00080018')).toEqual([
      instance,
    ]);
    expect(await uidsOf(`instances?SOPInstanceUID=${instance}&SOPClassUID=1.2.840.10008.5.1.4.1.1.4`)).toEqual([]);
    expect(await uidsOf('instances?SOPInstanceUID=2.25.1')).toEqual([]);
  });

  it('page by page among all studies', async () => {
    const all = await uidsOf('instances?Modality=CT&PatientID=10023?', '00080018');
    expect(all).toHaveLength(20);
    const pages = [];
    for (let offset = 0; offset < 20; offset += 3)
      pages.push(...(await uidsOf(`instances?Modality=CT&PatientID=10023?&limit=3&offset=${offset}`, '00080018')));
    expect(pages).toEqual(all);
  });
});

describe('QIDO-RS refuses', () => {
  it.each([
    ['studies?Colour=red', 'Colour'],
    ['studies?00280010=512', '00280010'],
    ['studies?SeriesNumber=1', 'SeriesNumber'],
    ['series?SOPInstanceUID=1.2', 'SOPInstanceUID'],
    [`studies/${STUDIES[0].uid}/series?PatientID=1`, 'PatientID'],
    ['studies?RequestAttributesSequence=1', 'RequestAttributesSequence'],
    ['studies?StudyDate=20250230', 'StudyDate'],
    ['studies?StudyDate=-', 'StudyDate'],
    ['studies?StudyDate=20250101-20250102-20250103', 'StudyDate'],
    ['studies?StudyTime=25', 'StudyTime'],
    ['studies?StudyInstanceUID=1.2;drop', 'StudyInstanceUID'],
    ['series?SeriesNumber=one', 'SeriesNumber'],
    ['studies?limit=many', 'limit'],
    ['studies?offset=10001', 'offset'],
    ['studies?fuzzymatching=yes', 'fuzzymatching'],
    ['studies?includefield=Nonsense', 'includefield'],
    ['studies?custodian=a%20b', 'custodian'],
    ['studies?PatientID=1&00100020=2', '00100020'],
    ['studies?AccessionNumber=a%00b', 'AccessionNumber'],
    [`studies?PatientName=${'x'.repeat(2001)}`, 'PatientName'],
    ['studies/1.2.x/series', 'study'],
  ])('%s', async (path, named) => {
    const { status, text } = await physician.get(`/dicomweb/${path}`);
    expect([status, JSON.parse(text).issue[0].expression]).toEqual([400, [named]]);
  });

  it('media types that it does not give, more parameters than the audit holds, and who has no token', async () => {
    for (const accept of ['multipart/related; type="application/dicom+xml"', 'application/dicom+xml', 'text/html'])
      expect((await physician.get('/dicomweb/studies', { accept })).status).toBe(406);
    for (const accept of ['application/dicom+json', 'application/json', '*/*', 'text/html, application/dicom+json;q=0.5'])
      expect((await physician.get('/dicomweb/studies', { accept })).status).toBe(200);
    const many = Array.from({ length: 41 }, (_, i) => `includefield=0008${1000 + i}`).join('&');
    expect((await physician.get(`/dicomweb/studies?${many}`)).status).toBe(400);
    expect((await clientOf(world.hub, undefined).get('/dicomweb/studies')).status).toBe(401);
  });

  it('pages of other origins, where none is listed', async () => {
    const { headers } = await physician.get('/dicomweb/studies', { origin: 'https://viewer.example.org' });
    expect(Object.keys(headers).filter((name) => name.startsWith('access-control-'))).toEqual([]);
  });

  it('wildcards that would be costly are answered at once', async () => {
    const begin = Date.now();
    for (const key of ['AccessionNumber', 'PatientName', 'StudyDescription', 'ReferringPhysicianName'])
      expect([200, 204]).toContain((await physician.get(`/dicomweb/studies?${key}=${'*a'.repeat(900)}*b`)).status);
    expect((await physician.get(`/dicomweb/series?SeriesDescription=${'*a'.repeat(900)}*b`)).status).toBe(204);
    // those that are tried every way take hours
    expect(Date.now() - begin).toBeLessThan(60_000);
  });
});

describe('QIDO-RS under policy', () => {
  const lastEntries = async (count: number) =>
    (
      await world.hub.db.pool.query(
        'select agent, subtype, outcome, patient_id, custodian_id, entity, query, detail from audit_event order by recorded desc, id desc limit $1',
        [count],
      )
    ).rows;

  it('shows members of the consortium the studies of their patients, each custodian’s by itself, and no stranger any', async () => {
    const uid = studyUidOf(world.studyOfA);
    const second = await world.study('b', world.patientOfB, {
      identifier: world.studyOfA.identifier,
      started: '2026-05-06T10:00:00+08:00',
    });
    const client = await world.person('physician-b');
    const { found: both } = await results(client, `studies?StudyInstanceUID=${uid}`);
    expect(both.map((s) => [first(s, '00080080'), first(s, '00100020'), first(s, '00080056')]).sort()).toEqual([
      ['a', 'A1', 'UNAVAILABLE'],
      ['b', 'B1', 'UNAVAILABLE'],
    ]);
    expect((await results(client, `studies?StudyInstanceUID=${uid}&custodian=a`)).found).toHaveLength(1);
    // by his own hospital's number the physician finds both
    const { found: byNumber } = await results(client, 'studies?PatientID=B1');
    expect(byNumber.map((s) => [first(s, '00100020'), first(s, '00101002')]).sort()).toEqual([
      ['A1', { '00100020': { vr: 'LO', Value: ['B1'] } }],
      ['B1', undefined],
    ]);
    expect(second.id).not.toBe(world.studyOfA.id);
    // within the study: his own hospital's record, or the one that he names
    const of = async (query: string) =>
      (await results(client, `studies/${uid}/series${query}`)).found.map((s) => first(s, '0020000E'));
    expect(await of('')).toEqual([second.series[0].uid]);
    expect(await of('?custodian=a')).toEqual([world.studyOfA.series[0].uid]);
    const stranger = await world.person('physician-c');
    for (const path of [
      `studies?StudyInstanceUID=${uid}`,
      'studies?PatientID=A1',
      `studies?PatientName=*`,
      `series?SeriesInstanceUID=${second.series[0].uid}`,
    ]) {
      const { answer, found: none } = await results(stranger, path);
      expect([none.filter((s) => first(s, '0020000D') === uid), answer.headers['warning']]).toEqual([[], undefined]);
    }
    const nested = await stranger.get(`/dicomweb/studies/${uid}/series`);
    const nothing = await stranger.get('/dicomweb/studies/2.25.1/series');
    expect([nested.status, nested.text]).toEqual([404, nothing.text]);
  });

  it('tells who may know of a study that it is withheld, whatever else is searched for, and has it on record', async () => {
    const client = await world.person('physician-d');
    const uid = studyUidOf(world.studyOfA);
    for (const query of [
      'PatientID=D1',
      'PatientID=D1&StudyDate=19000101',
      `StudyInstanceUID=${uid}&custodian=a`,
      `StudyInstanceUID=${uid}&custodian=a&ModalitiesInStudy=XX`,
    ]) {
      const { answer } = await results(client, `studies?${query}`);
      expect(answer.status).toBe(204);
      expect(answer.headers['warning']).toContain(
        `ImagingStudy/${world.studyOfA.id} is held by Organization/a and not released to you (no-basis)`,
      );
    }
    const [entry] = await lastEntries(1);
    expect(entry).toMatchObject({
      agent: 'Practitioner/physician-d',
      subtype: 'search-type',
      outcome: 4,
      patient_id: world.patientOfA.id,
      entity: [`ImagingStudy/${world.studyOfA.id}`],
      query: expect.stringMatching(/^dicomweb\/studies\?/),
      detail: 'withheld',
    });
    // that a series is one of its own is not told
    const { answer } = await results(client, `series?SeriesInstanceUID=${world.studyOfA.series[0].uid}`);
    expect([answer.status, answer.headers['warning']]).toEqual([204, undefined]);
    const refused = await client.get(`/dicomweb/studies/${uid}/series?custodian=a`);
    expect([refused.status, refused.text]).toEqual([403, expect.stringContaining('no-basis')]);
    expect((await lastEntries(1))[0]).toMatchObject({ outcome: 4, patient_id: world.patientOfA.id, detail: 'no-basis' });
  });

  it('has each patient of an answer on record', async () => {
    await results(physician, 'studies?PatientName=wang^*');
    const entries = await lastEntries(2);
    expect(entries.map((e) => [e.outcome, e.query.slice(0, 17), e.entity.length])).toEqual([
      [0, 'dicomweb/studies?', 2],
      [0, 'dicomweb/studies?', 2],
    ]);
    expect(new Set(entries.map((e) => e.patient_id)).size).toBe(2);
  });
});

/** Keys and values that meet some of the archive's studies, series or instances, drawn from what they answer. */
it('gives exactly what meets the keys, as it is answered', async () => {
  const asked = {
    studies: [
      'AccessionNumber',
      'StudyDate',
      'StudyTime',
      'PatientID',
      'PatientSex',
      'PatientBirthDate',
      'StudyID',
      'StudyDescription',
      'ModalitiesInStudy',
    ],
    series: ['Modality', 'SeriesNumber', 'SeriesDescription', 'PerformedProcedureStepStartDate', 'PatientID', 'StudyDate'],
    instances: ['InstanceNumber', 'SOPClassUID', 'SeriesNumber', 'AccessionNumber'],
  };
  const tags: Record<string, string> = {
    AccessionNumber: '00080050',
    StudyDate: '00080020',
    StudyTime: '00080030',
    PatientID: '00100020',
    PatientSex: '00100040',
    PatientBirthDate: '00100030',
    StudyID: '00200010',
    StudyDescription: '00081030',
    ModalitiesInStudy: '00080061',
    Modality: '00080060',
    SeriesNumber: '00200011',
    SeriesDescription: '0008103E',
    PerformedProcedureStepStartDate: '00400244',
    InstanceNumber: '00200013',
    SOPClassUID: '00080016',
  };
  const isRanged = (key: string) => /Date|Time/.test(key);
  const isExact = (key: string) => isRanged(key) || (/Number$|UID/.test(key) && key !== 'AccessionNumber');
  /** Matching on its own, by expressions. */
  const meets = (key: string, asked: string, value: string | undefined): boolean => {
    if (value === undefined) return false;
    if (isRanged(key)) {
      const [from = '', until = from] = asked.split('-');
      return value >= from && (until === '' || value.slice(0, until.length) <= until);
    }
    if (isExact(key)) return value === asked;
    const expression = asked
      .replace(/[.+^${}()|[\]\\]/g, '\\$&')
      .replaceAll('*', '.*')
      .replaceAll('?', '.');
    return new RegExp(`^${expression}$`, /Description/.test(key) ? 'i' : '').test(value);
  };
  for (const [level, keys] of Object.entries(asked)) {
    const all = (await results(physician, `${level}?includefield=all&custodian=a`)).found;
    const value = fc.constantFrom(...keys).chain((key) => {
      const values = [
        ...new Set(
          all
            .map((one) => first(one, tags[key]!))
            .filter((v) => v !== undefined)
            .map(String),
        ),
      ];
      return fc.record({
        key: fc.constant(key),
        asked: fc
          .constantFrom(...values)
          .chain((v) =>
            isRanged(key)
              ? fc.constantFrom(v, `${v}-`, `-${v}`)
              : isExact(key)
                ? fc.constant(v)
                : fc
                    .tuple(fc.nat(v.length), fc.nat(v.length))
                    .map(([i, j]) => (i < j ? `${v.slice(0, i)}*${v.slice(j)}` : v.replace(v[i] ?? v[0]!, '?'))),
          ),
      });
    });
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(value, { selector: (k) => k.key, minLength: 1, maxLength: 3 }), async (chosen) => {
        const query = chosen.map(({ key, asked: v }) => `${key}=${encodeURIComponent(v)}`).join('&');
        const expected = all.filter((one) =>
          chosen.every(({ key, asked: v }) => {
            const given = first(one, tags[key]!);
            return /^\**$/.test(v) || meets(key, v, given === undefined ? undefined : String(given));
          }),
        );
        const uid = (one: Record<string, { Value?: unknown[] }>) =>
          [first(one, '0020000D'), first(one, '0020000E'), first(one, '00080018'), first(one, '00080080')].join();
        expect((await results(physician, `${level}?custodian=a&${query}`)).found.map(uid)).toEqual(expected.map(uid));
      }),
      { numRuns: 40 },
    );
  }
});
