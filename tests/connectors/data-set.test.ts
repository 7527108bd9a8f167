import { deflateRawSync } from 'node:zlib';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { bufferSource } from '../../connectors/dicom/byte-source.js';
import { text } from '../../connectors/dicom/describe.js';
import { defaultLimits } from '../../connectors/dicom/problem.js';
import { readObject, readStudy } from '../../connectors/dicom/read-study.js';
import { dataSet, element, item, part10, sequenceEnd, uids } from './support/data-sets.js';

const deflated = '1.2.840.10008.1.2.1.99';
const read = (bytes: Buffer, limits = defaultLimits) => readStudy(bufferSource(bytes), { locator: 'x', limits });
const reason = async (bytes: Buffer, limits = defaultLimits) => {
  const result = await read(bytes, limits);
  return result.ok ? 'indexed' : result.reason;
};

/** An item of undefined length that holds a sequence of undefined length, and so on. */
function nested(depth: number): Buffer {
  const sequence = Buffer.from('40000011535100 00ffffffff'.replace(' ', ''), 'hex');
  const open = Buffer.from('feff00e0ffffffff', 'hex');
  const close = Buffer.concat([item(Buffer.alloc(0), 0xe00d), sequenceEnd]);
  return Buffer.concat([...Array(depth).fill(Buffer.concat([sequence, open])), ...Array(depth).fill(close)]);
}

describe('a data set', () => {
  it('is read with all that the index needs', async () => {
    const result = await read(
      part10(
        dataSet({
          '00080020': ['DA', '20240102'],
          '00080030': ['TM', '030405'],
          '00080201': ['SH', '+0900'],
          '0008103E': ['LO', 'Thorax '],
          '00100030': ['DA', '19700230'],
          '00100040': ['CS', 'f'],
          '00180015': ['CS', 'chest'],
          '00200011': ['IS', ' 3'],
          '00200013': ['IS', '12'],
          '00200060': ['CS', 'L'],
          '00201208': ['IS', '7'],
        }),
      ),
    );
    expect(result).toEqual({
      ok: true,
      study: {
        studyInstanceUid: uids.study,
        patient: { patientId: 'P1', name: 'Wang^XiaoDong', sex: 'female' },
        started: '2024-01-02T03:04:05+09:00',
        claimedInstances: 7,
        series: [
          {
            seriesInstanceUid: uids.series,
            modality: 'CT',
            number: 3,
            description: 'Thorax',
            bodyPartExamined: 'CHEST',
            laterality: 'L',
            instances: [
              {
                sopInstanceUid: uids.instance,
                sopClassUid: uids.ctStorage,
                transferSyntaxUid: '1.2.840.10008.1.2.1',
                number: 12,
                digest: expect.stringMatching(/^[0-9a-f]{64}$/),
                locator: 'x',
              },
            ],
          },
        ],
      },
    });
  });

  it('is found behind long values without reading them, and with 64-bit representations', async () => {
    const long = { '00091010': ['OB', Buffer.alloc(5_000_000)], '7FE00001': ['OV', Buffer.alloc(16)] } as const;
    const reads: number[] = [];
    const source = bufferSource(part10(dataSet(long as never)));
    const counting = {
      ...source,
      read: (offset: number, length: number) => source.read(offset, length).finally(() => reads.push(length)),
    };
    const result = await readObject(counting);
    expect(result.ok && text(result.json, '0020000D')).toBe(uids.study);
    expect(result.ok && result.json['00091010']).toEqual({ vr: 'OB', BulkDataURI: 'bulkdata/00091010' });
    expect(reads.reduce((sum, one) => sum + one)).toBeLessThan(300_000);
  });

  it('with private sequences, odd representations and padding at its end is read', async () => {
    const more = {
      '00400011': ['SQ', item(element('00080005', 'CS', 'ISO_IR 192'))],
      '00400012': ['UN', Buffer.from('1234')],
    } as const;
    expect(await reason(part10(Buffer.concat([dataSet(more as never), Buffer.alloc(40)])))).toBe('indexed');
    expect(await reason(part10(Buffer.concat([dataSet(), nested(20)])))).toBe('indexed');
  });

  it('that nests too deep, has too many elements, too long a header, or swells is too large', async () => {
    const limits = { ...defaultLimits, maxElements: 500, maxHeaderBytes: 100_000, maxInflatedBytes: 100_000 };
    expect(await reason(part10(Buffer.concat([dataSet(), nested(100_000)])))).toBe('too-large');
    expect(await reason(part10(Buffer.concat([dataSet(), nested(40)])))).toBe('too-large');
    const many = Buffer.concat(
      Array.from({ length: 600 }, (_, i) => element((0x00110000 + i).toString(16).padStart(8, '0'), 'LO', 'x')),
    );
    expect(await reason(part10(Buffer.concat([dataSet(), many])), limits)).toBe('too-large');
    const wide = element('00400011', 'SQ', item(element('00091010', 'OB', Buffer.alloc(200_000))));
    expect(await reason(part10(Buffer.concat([dataSet(), wide])), limits)).toBe('too-large');
    const bomb = deflateRawSync(Buffer.concat([dataSet(), element('00091010', 'OB', Buffer.alloc(10_000_000))]));
    expect(await reason(part10(bomb, deflated), limits)).toBe('too-large');
    expect(await reason(part10(bomb, deflated))).toBe('indexed');
  });

  it('that is deflated badly or cut is refused with the reason', async () => {
    const body = deflateRawSync(
      dataSet({ '00091010': ['OB', Buffer.from(Array.from({ length: 1000 }, (_, i) => (i * 7919) % 256))] }),
    );
    expect(await reason(part10(body.subarray(0, body.length - 50), deflated))).toBe('truncated');
    expect(await reason(part10(Buffer.from('ffffffffffffffff', 'hex'), deflated))).toBe('malformed');
  });

  it('cut at any byte is never indexed as if it were whole, and what is no DICOM is refused', async () => {
    const whole = part10(Buffer.concat([dataSet(), element('7FE00010', 'OW', Buffer.alloc(64, 1))]));
    for (let length = 0; length < whole.length; length += 1) {
      const result = await reason(whole.subarray(0, length));
      // Without its pixel data element a data set is whole again: nothing tells that there was one.
      const endsBeforePixels = length === whole.length - 76;
      expect([length, result]).not.toEqual([length, endsBeforePixels ? 'never' : 'indexed']);
    }
    expect(await reason(whole)).toBe('indexed');
  });

  it('of random or damaged bytes never throws', async () => {
    const whole = part10(dataSet({ '00400011': ['SQ', item(dataSet())] }));
    const damage = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(damage, async (changes) => {
        const bytes = Buffer.from(whole);
        for (const [at, value] of changes) bytes[at] = value;
        expect(typeof (await reason(bytes))).toBe('string');
      }),
      { numRuns: 500 },
    );
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), async (bytes) => (await reason(Buffer.from(bytes))) !== 'indexed'),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 200 }),
        async (bytes) => typeof (await reason(part10(Buffer.from(bytes)))) === 'string',
      ),
    );
  });

  it('keeps no control characters in its text', async () => {
    const result = await read(part10(dataSet({ '00100010': ['PN', 'Wang\0\x07^Xiao'] })));
    expect(result.ok && result.study.patient.name).toBe('Wang^Xiao');
  });
});
