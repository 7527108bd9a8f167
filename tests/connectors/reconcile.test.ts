import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { deflateRawSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import iconv from 'iconv-lite';
import { bufferSource } from '../../connectors/dicom/byte-source.js';
import { copiedFrom } from '../../connectors/dicom/copy-mark.js';
import type { Element } from '../../connectors/dicom/data-set.js';
import { type DicomObject, openDicom } from '../../connectors/dicom/part10.js';
import { DicomProblem } from '../../connectors/dicom/problem.js';
import { toDicomJson } from '../../connectors/dicom/to-json.js';
import type { DicomJson } from '../../connectors/dicom/values.js';
import { reconcile, type Reconciliation } from '../../connectors/dicom/write/reconcile.js';
import { filesBelow } from '../support/orthanc.js';
import { describeWithRealData } from '../support/real-data.js';
import { dataSet, element, item, part10, sequenceEnd, uids } from './support/data-sets.js';

const run = promisify(execFile);

const latin: Reconciliation = {
  patientId: 'B-4711',
  issuer: { namespace: 'HOSP-B', universal: { id: '1.2.826.0.1.3680043.10.1451.2', type: 'ISO' } },
  patientName: 'Wang^XiaoDong',
  accession: { number: 'ACC77', issuer: { namespace: 'RIS-B' } },
  originalIssuer: { universal: { id: '1.2.826.0.1.3680043.10.1451.1', type: 'ISO' } },
  source: 'hospital-a',
  modifyingSystem: 'federation-hub',
  at: new Date('2026-11-26T10:00:00.123Z'),
};
const chinese: Reconciliation = { ...latin, patientName: 'Wang^XiaoDong=王^小东', accession: undefined };
const rare: Reconciliation = { ...latin, patientName: '𠮷^喆' };

/** What reconciliation is there to change. */
const changed = ['00080050', '00080051', '00100010', '00100020', '00100021', '00100024', '00400275', '00101002', '04000561'];

const open = (file: Buffer) => openDicom(bufferSource(file));

async function reconciled(file: Buffer, to: Reconciliation): Promise<Buffer> {
  const result = await reconcile(file, to);
  if (!result.ok) throw new Error(`${result.reason}: ${result.detail}`);
  return Buffer.from(result.object.bytes);
}

async function bodyOf(object: DicomObject): Promise<Buffer> {
  return object.body.read(0, object.body.length);
}

const without = (json: DicomJson, tags: readonly string[]): DicomJson =>
  Object.fromEntries(Object.entries(json).filter(([tag]) => !tags.includes(tag) && !tag.endsWith('0000') && tag !== '00080001'));
const value = (json: DicomJson | undefined, tag: string) => json?.[tag]?.Value?.[0];
const itemsOf = (json: DicomJson, tag: string) => (json[tag]?.Value ?? []) as DicomJson[];

/** Lengths of an element and of all below it (PS3.5 7.1.1: they are even). */
const lengthsOf = (one: Element | undefined): number[] =>
  one === undefined
    ? []
    : [one.end - one.start, ...(one.items ?? []).flatMap((each) => [...each.elements.values()].flatMap(lengthsOf))];

/** Everything but what is to be changed is as it was; what was changed is what was asked for, and stands beside what it was. */
async function expectReconciled(before: Buffer, after: Buffer, to: Reconciliation): Promise<void> {
  const [old, now] = [await open(before), await open(after)];
  const [was, is] = [toDicomJson(old), toDicomJson(now)];
  expect(without(is, [...changed, '00080005'])).toEqual(without(was, [...changed, '00080005']));
  const [oldBody, body] = [await bodyOf(old), await bodyOf(now)];
  expect(
    oldBody.subarray(old.pixelData?.start ?? oldBody.length).equals(body.subarray(now.pixelData?.start ?? body.length)),
  ).toBe(true);
  expect(now.transferSyntaxUid).toBe(old.transferSyntaxUid);
  expect(value(is, '00100020')).toBe(to.patientId);
  const [alphabetic, ideographic] = to.patientName.split('=');
  expect(value(is, '00100010')).toMatchObject({ Alphabetic: alphabetic, ...(ideographic ? { Ideographic: ideographic } : {}) });
  expect(value(is, '00100021')).toBe('HOSP-B');
  expect(is['00080050']).toEqual({ vr: 'SH', ...(to.accession ? { Value: [to.accession.number] } : {}) });
  expect(is['00400275']).toBeUndefined();
  const earlier = itemsOf(was, '04000561');
  const originals = itemsOf(is, '04000561');
  expect(originals.slice(0, -1)).toEqual(earlier);
  expect([copiedFrom(was), copiedFrom(is)]).toEqual([undefined, to.source]);
  const last = originals.at(-1)!;
  expect(value(last, '04000565')).toBe('COERCE');
  expect(value(last, '04000562')).toBe('20261126100000.123000+0000');
  const kept = itemsOf(last, '04000550')[0]!;
  const tags = ['00080050', '00080051', '00100010', '00100020', '00100021', '00100024', '00400275'];
  expect(kept).toEqual(Object.fromEntries(tags.flatMap((tag) => (was[tag] ? [[tag, was[tag]]] : []))));
  for (const tag of changed) expect(lengthsOf(now.dataSet.elements.get(tag)).filter((length) => length % 2 !== 0)).toEqual([]);
  const number = value(was, '00100020');
  const others = itemsOf(is, '00101002');
  expect(others.length).toBe(itemsOf(was, '00101002').length + (number === undefined ? 0 : 1));
  if (number !== undefined) expect(value(others.at(-1), '00100020')).toBe(number);
}

/** Bytes of the elements of the data set by tag. */
async function elementsOf(file: Buffer): Promise<Map<string, string>> {
  const object = await open(file);
  const body = await bodyOf(object);
  return new Map([...object.dataSet.elements.values()].map(({ tag, start, end }) => [tag, body.toString('latin1', start, end)]));
}

describeWithRealData('every readable file', (data) => {
  const files: [name: string, bytes: Buffer][] = [];
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'reconciled-'));
    const singles = await filesBelow(join(data, 'single-files'));
    const archives = await Promise.all(['a', 'b', 'c'].map((one) => filesBelow(join(data, `hospital-${one}`, 'dicom'))));
    const some = archives.flatMap((all) => all.filter((_, i) => i % 12 === 0));
    for (const name of [...singles, ...some].filter((one) => !one.endsWith('.csv'))) files.push([name, await readFile(name)]);
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  /** Why an object can't be taken over: it can't be read, or has no SOP Instance UID. */
  async function unreadable(bytes: Buffer): Promise<string | undefined> {
    try {
      const { dataSet } = await open(bytes);
      return dataSet.elements.has('00080018') && dataSet.elements.has('00080016') ? undefined : 'missing-identifier';
    } catch (error) {
      if (error instanceof DicomProblem) return error.reason;
      throw error;
    }
  }

  it.each([
    ['letters', latin],
    ['characters', chinese],
    ['characters that GB 2312 has not', rare],
  ])('becomes the recipient’s by a name in %s, and nothing else of it changes', async (_, to) => {
    let count = 0;
    for (const [name, bytes] of files) {
      const why = await unreadable(bytes);
      const result = await reconcile(bytes, to);
      if (why !== undefined) {
        expect([name, result]).toMatchObject([name, { ok: false, reason: why }]);
        continue;
      }
      if (!result.ok) throw new Error(`${name}: ${result.detail}`);
      await expectReconciled(bytes, Buffer.from(result.object.bytes), to);
      count += 1;
    }
    expect(count).toBeGreaterThanOrEqual(55);
  });

  it('keeps every other element byte for byte where the new text fits its character set', async () => {
    for (const [, bytes] of files.filter(([name]) => !name.includes('charset'))) {
      if (await unreadable(bytes)) continue;
      const [was, is] = [await elementsOf(bytes), await elementsOf(await reconciled(bytes, latin))];
      for (const tag of changed) {
        was.delete(tag);
        is.delete(tag);
      }
      for (const tag of [...was.keys()].filter((one) => one.endsWith('0000') || one === '00080001')) was.delete(tag);
      expect([...is].filter(([tag]) => was.has(tag) || !tag.endsWith('0000'))).toEqual([...was]);
    }
  });

  it('is read by dcmtk as what it has become', async () => {
    const odd: string[] = [];
    for (const [i, [name, bytes]] of files.entries()) {
      if (await unreadable(bytes)) continue;
      const path = join(folder, `${i}.dcm`);
      await writeFile(path, await reconciled(bytes, chinese));
      const { stdout } = await run('dcmdump', [
        '+P',
        '0010,0020',
        '+P',
        '0010,0010',
        '+P',
        '0400,0565',
        '+P',
        '0008,0005',
        path,
      ]).catch((error: { stdout: string; stderr: string }) => ({ stdout: `${error.stdout}\n${error.stderr}` }));
      if (!/\(0010,0020\) LO \[B-4711/.test(stdout) || !/COERCE/.test(stdout)) odd.push(`${name}: ${stdout}`);
      if (/ISO_IR 192/.test(stdout)) expect(stdout).toMatch(/\(0010,0010\) PN \[Wang\^XiaoDong=王\^小东/);
    }
    expect(odd).toEqual([]);
  });
});

describe('an object', () => {
  const text = (value: string, encoding: string) => iconv.encode(value, encoding);
  const charset = (terms: string): Record<string, [string, Buffer | string]> => ({ '00080005': ['CS', terms] });

  it('keeps its character set when the new name can be written in it, and becomes UTF-8 when not', async () => {
    const cases: [terms: string, encoding: string, name: string, becomes: string][] = [
      ['GB18030', 'gb18030', '王^小东', 'GB18030'],
      ['GB18030', 'gb18030', '𠮷^喆', 'GB18030'],
      ['GBK', 'gbk', '王^小东', 'GBK'],
      ['ISO_IR 192', 'utf8', '王^小东', 'ISO_IR 192'],
      ['ISO_IR 100', 'latin1', 'Müller^Jörg', 'ISO_IR 100'],
      ['ISO_IR 100', 'latin1', '王^小东', 'ISO_IR 192'],
      ['GBK', 'gbk', '𠮷^喆', 'ISO_IR 192'],
      ['ISO_IR 144', 'iso-8859-5', 'Люкceмбypг', 'ISO_IR 144'],
    ];
    for (const [terms, encoding, patientName, becomes] of cases) {
      const said = encoding === 'latin1' ? 'Röntgen' : encoding === 'iso-8859-5' ? 'Рентген' : '胸部平扫';
      const before = part10(dataSet({ ...charset(terms), '00081030': ['LO', text(said, encoding)] }));
      const after = await open(await reconciled(before, { ...latin, patientName }));
      expect([terms, after.dataSet.elements.get('00080005')?.value?.toString('latin1').trim()]).toEqual([terms, becomes]);
      const json = toDicomJson(after);
      expect([value(json, '00081030'), value(json, '00100010')]).toEqual([said, { Alphabetic: patientName }]);
    }
  });

  it('that was labelled wrongly reads rightly once it is UTF-8', async () => {
    const before = part10(dataSet({ ...charset('ISO_IR 100'), '00081030': ['LO', text('胸部平扫', 'gbk')] }));
    const after = toDicomJson(await open(await reconciled(before, chinese)));
    expect(value(after, '00081030')).toBe('胸部平扫');
  });

  it('comes out the same from the same input, and without group lengths that would be wrong', async () => {
    const length = Buffer.from([8, 0, 0, 0]);
    const before = part10(dataSet({ '00080000': ['UL', length], '00100000': ['UL', length], '00200000': ['UL', length] }));
    const once = await reconciled(before, latin);
    expect(once.equals(await reconciled(before, latin))).toBe(true);
    expect([...(await open(once)).dataSet.elements.keys()].filter((tag) => tag.endsWith('0000'))).toEqual(['00200000']);
  });

  it('that comes a second time has both numbers and both changes on record', async () => {
    const first = await reconciled(part10(dataSet()), latin);
    const second = await reconciled(first, { ...chinese, patientId: 'C-1', source: 'hospital-b', originalIssuer: {} });
    const json = toDicomJson(await open(second));
    expect(itemsOf(json, '00101002').map((one) => value(one, '00100020'))).toEqual(['P1', 'B-4711']);
    expect(itemsOf(json, '04000561').map((one) => value(one, '04000564'))).toEqual(['hospital-a', 'hospital-b']);
    expect(value(itemsOf(json, '00101002')[1], '00100021')).toBe('HOSP-B');
  });

  it('is known as a copy also where an archive gives the sequence as bytes, or does not give it', async () => {
    const item = toDicomJson(await open(await reconciled(part10(dataSet()), latin)))['04000561']!;
    const bytes = { vr: 'UN', InlineBinary: Buffer.from(JSON.stringify(item.Value)).toString('base64') };
    expect(copiedFrom({ '04000561': bytes })).toBe('unknown');
    expect(copiedFrom({ '04000561': { vr: 'UN', BulkDataURI: 'bulkdata/04000561' } })).toBe('unknown');
    expect(copiedFrom({ '04000561': { vr: 'UN', InlineBinary: '' } })).toBeUndefined();
    expect(copiedFrom({ '04000561': { vr: 'SQ', Value: [{ '04000563': { vr: 'LO', Value: ['a PACS'] } }] } })).toBeUndefined();
  });

  it('whose old values could remain unseen is refused', async () => {
    const twice = part10(Buffer.concat([dataSet(), element('00100020', 'LO', 'P1')]));
    const hidden = part10(Buffer.concat([dataSet(), element('7FE00010', 'OW', Buffer.alloc(4)), element('00100021', 'LO', 'A')]));
    const unknown = part10(dataSet({ '04000561': ['UN', item(Buffer.alloc(0))] }));
    for (const file of [twice, hidden, unknown])
      expect(await reconcile(file, latin)).toMatchObject({ ok: false, reason: 'malformed' });
  });

  it('that is another one than was asked for, or another patient’s, is refused', async () => {
    const expected = { studyInstanceUid: uids.study, seriesInstanceUid: uids.series, patientIds: ['P1', 'P0'] };
    const file = part10(dataSet());
    expect(await reconcile(file, latin, expected)).toMatchObject({ ok: true });
    expect(await reconcile(file, latin, { ...expected, patientIds: ['P2'] })).toMatchObject({ reason: 'patient-conflict' });
    expect(await reconcile(file, latin, { ...expected, patientIds: [] })).toMatchObject({ reason: 'patient-conflict' });
    expect(await reconcile(file, latin, { ...expected, studyInstanceUid: '1.2' })).toMatchObject({
      reason: 'sop-instance-conflict',
    });
    expect(await reconcile(file, latin, { ...expected, seriesInstanceUid: '1.2' })).toMatchObject({
      reason: 'sop-instance-conflict',
    });
    const nameless = part10(dataSet({ '00100020': ['LO', ''] }));
    expect(await reconcile(nameless, latin, expected)).toMatchObject({ reason: 'patient-conflict' });
    expect(await reconcile(nameless, latin, { ...expected, patientIds: [] })).toMatchObject({ ok: true });
  });

  it('that is no DICOM, cut short or a bomb is refused', async () => {
    const bomb = Buffer.concat([
      part10(Buffer.alloc(0), '1.2.840.10008.1.2.1.99'),
      deflateRawSync(Buffer.alloc(300 * 1024 * 1024)),
    ]);
    expect(await reconcile(Buffer.from('no DICOM at all, but long enough to look'), latin)).toMatchObject({
      reason: 'not-dicom',
    });
    expect(await reconcile(part10(dataSet()).subarray(0, -3), latin)).toMatchObject({ reason: 'truncated' });
    expect(await reconcile(bomb, latin)).toMatchObject({ reason: 'too-large' });
    expect(await reconcile(part10(dataSet({ '00080018': ['UI', ''] })), latin)).toMatchObject({ reason: 'missing-identifier' });
  });

  it('of any text, nested as it likes, says the same as before', async () => {
    const word = fc
      .string({ unit: fc.constantFrom(...'胸部平扫王小东喆abc 12'), minLength: 1, maxLength: 12 })
      .map((one) => `x${one.trim()}x`);
    const sets = fc.constantFrom(['GB18030', 'gb18030'], ['ISO_IR 192', 'utf8'], ['GBK', 'gbk'], ['', 'gbk']);
    const nested = (words: string[], encoding: string, isDelimited: boolean): Buffer => {
      const [first = '', ...rest] = words;
      const inner = rest.length > 0 ? [nested(rest, encoding, !isDelimited)] : [];
      const content = Buffer.concat([element('00080104', 'LO', even(text(first, encoding))), ...inner]);
      if (!isDelimited) return element('0040A730', 'SQ', item(content));
      const open = element('0040A730', 'SQ', Buffer.alloc(0));
      open.writeUInt32LE(0xffffffff, 8);
      const begin = item(Buffer.alloc(0));
      begin.writeUInt32LE(0xffffffff, 4);
      return Buffer.concat([open, begin, content, item(Buffer.alloc(0), 0xe00d), sequenceEnd]);
    };
    await fc.assert(
      fc.asyncProperty(
        sets,
        fc.array(word, { minLength: 1, maxLength: 4 }),
        fc.boolean(),
        fc.constantFrom(latin, chinese, rare),
        async ([terms, encoding], words, isDelimited, to) => {
          const top = dataSet({ ...charset(terms!), '00081030': ['LO', even(text(words[0]!, encoding!))] });
          const before = part10(
            Buffer.concat([top, nested(words, encoding!, isDelimited), element('7FE00010', 'OW', Buffer.alloc(8, 7))]),
          );
          await expectReconciled(before, await reconciled(before, to), to);
        },
      ),
      { numRuns: 60 },
    );
  });
});

const even = (bytes: Buffer): Buffer => (bytes.length % 2 === 0 ? bytes : Buffer.concat([bytes, Buffer.from(' ')]));
