import { TextEncoder } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { decoderFor } from '../../connectors/dicom/charset.js';

const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
const latin1 = (text: string) => Uint8Array.from(Buffer.from(text, 'latin1'));

/** 张小东, 王 and 朱镕基 (whose second character is outside GB2312) in GBK. */
const zhang = 'd5c5 d0a1 b6ab';
const zhu = 'd6ec e946 bbf9';

describe('Specific Character Set', () => {
  it.each([
    [['ISO_IR 192'], Buffer.from('王^小东').toString('hex'), '王^小东'],
    [['GB18030'], `${zhang} 81308130`, '张小东\u0080'],
    [['GBK'], zhu, '朱镕基'],
    [['', 'ISO 2022 IR 58'], '5a5e 1b242941 d5c5 5e 1b242941 d0a1 3d', 'Z^张^小='],
    [['', 'ISO 2022 IR 149'], '1b242943 b1e8 c8f1 c1df', '김희중'],
    [['', 'ISO 2022 IR 87'], '593d 1b2442 3b33 4544 1b2842 5e 1b2442 4240 4f3a 1b2842', 'Y=山田^太郎'],
    [['ISO 2022 IR 13', 'ISO 2022 IR 87'], 'd4cfc0de 3d 1b2442 3b33 1b284a', 'ﾔﾏﾀﾞ=山'],
    [['', 'ISO 2022 IR 159'], '1b242844 3021 1b2842', '丂'],
    [['ISO_IR 100'], '4a e9 72 f4 6d 65', 'Jérôme'],
    [['ISO_IR 144'], 'bb ee da', 'Люк'],
    [['ISO_IR 127'], 'e2c8c7e6ea', 'قباني'],
    [['ISO_IR 101'], 'b3f3 64bc', 'łódź'],
    [['ISO 2022 IR 100', 'ISO 2022 IR 144'], 'e9 1b2d4c bb', 'éЛ'],
    [[''], '5761 6e67', 'Wang'],
    [['iso_ir_192 '], Buffer.from('é').toString('hex'), 'é'],
  ])('%j is decoded', (terms, hex, expected) => {
    expect(decoderFor(terms)(bytes(hex))).toBe(expected);
  });

  it.each([[[]], [['ISO_IR 100']], [['ISO_IR 6']], [['', 'ISO 2022 IR 58']], [['ISO_IR 192']]])(
    'recognises Chinese in GBK under the label %j',
    (terms: string[]) => {
      const decode = decoderFor(terms);
      expect(decode(bytes(`57616e67 5e 3d ${zhang}`))).toBe('Wang^=张小东');
      expect(decode(bytes(`4354 ${zhang}`))).toBe('CT张小东');
      expect(decode(bytes('cdf5'))).toBe('王');
    },
  );

  it('recognises characters of GBK that GB2312 lacks, and UTF-8 without a label', () => {
    expect(decoderFor(['ISO_IR 100'])(bytes(zhu))).toBe('朱镕基');
    expect(decoderFor(['ISO_IR 100'])(new TextEncoder().encode('朱镕基'))).toBe('朱镕基');
  });

  it.each(['Müller^Jürgen', 'Größe', 'créée', 'Françoise', 'Åström', 'Núñez', 'SÃO PAULO', 'café'])(
    'leaves the Latin text %s alone',
    (name) => {
      expect(decoderFor(['ISO_IR 100'])(latin1(name))).toBe(name);
    },
  );

  it('splits nothing inside a two-byte character whose second byte is a backslash', () => {
    // 誠 in GBK is D55C.
    expect(decoderFor(['GB18030'])(bytes('d55c 5c 41')).split('\\')).toEqual(['誠', 'A']);
  });

  it('never throws, whatever the labels and the bytes', () => {
    const term = fc.oneof(
      fc.constantFrom(
        '',
        'ISO_IR 13',
        'ISO_IR 100',
        'ISO_IR 192',
        'GB18030',
        'ISO 2022 IR 58',
        'ISO 2022 IR 87',
        'ISO 2022 IR 149',
        'ISO 2022 IR 159',
      ),
      fc.string(),
    );
    const escaped = fc.constantFrom('1b242941', '1b242943', '1b2442', '1b242844', '1b2842', '1b2949', '1b', '1b24').map(bytes);
    const text = fc
      .array(fc.oneof(fc.uint8Array({ maxLength: 12 }), escaped))
      .map((parts) => Uint8Array.from(parts.flatMap((part) => [...part])));
    fc.assert(
      fc.property(fc.array(term, { maxLength: 4 }), text, (terms, value) => {
        expect(typeof decoderFor(terms)(value)).toBe('string');
      }),
    );
  });

  it('gives back every Chinese name that is written in GB18030', () => {
    const name = fc.array(
      fc.integer({ min: 0x4e00, max: 0x9fa5 }).map((code) => String.fromCodePoint(code)),
      { minLength: 1, maxLength: 6 },
    );
    const table = new Map<string, number[]>();
    const gbk = new TextDecoder('gbk');
    for (let lead = 0x81; lead <= 0xfe; lead += 1) {
      for (let trail = 0x40; trail <= 0xfe; trail += 1) table.set(gbk.decode(Uint8Array.of(lead, trail)), [lead, trail]);
    }
    fc.assert(
      fc.property(name, (characters) => {
        const encoded = characters.map((one) => table.get(one)).filter((one) => one !== undefined);
        fc.pre(encoded.length === characters.length);
        expect(decoderFor(['GB18030'])(Uint8Array.from(encoded.flat()))).toBe(characters.join(''));
      }),
    );
  });
});
