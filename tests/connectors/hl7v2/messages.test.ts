import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { OWN_NUMBERS } from '../../../connectors/statement.js';
import { codeOf, hl7, type MllpClient, pid } from '../../support/mllp.js';
import { type Receiver, receiver, recordsOf, statementOf } from './receiver.js';

const AUTHORITIES = { ownAuthorities: ['EAST', '1.2.3.1'], authorities: { SOCIAL: 'urn:oid:1.2.3.9' } };
let at: Receiver;
let his: MllpClient;
beforeAll(async () => {
  at = await receiver(AUTHORITIES);
  his = await at.client();
});
afterAll(() => at.stop());
afterEach(() => {
  at.changes.length = 0;
  at.take = async () => [];
});

/** Sends one message and gives the answer's code, its ERR segment by fields, and what was stated. */
const said = async (message: string | Buffer) => {
  const [answer = []] = await his.send(message);
  const err = answer.find((s) => s.startsWith('ERR'))?.split('|');
  return { answer, code: codeOf(answer), where: err?.[2], error: err?.[3]?.split('^')[0], text: err?.[8] };
};
const patient = () => recordsOf(at.changes.at(-1))[0];

/** GB 18030 of characters that the tests use: Node encodes UTF-8 only. */
const GB: Readonly<Record<string, string>> = {
  王: 'cdf5',
  小: 'd0a1',
  东: 'b6ab',
  㐀: '8139ee39',
  '\u{20000}': '95328236',
  乗: '815c',
  亅: '817c',
};
const gb = (text: string): Buffer =>
  Buffer.concat([...text].map((c) => (GB[c] ? Buffer.from(GB[c] as string, 'hex') : Buffer.from(c, 'latin1'))));

describe('character sets of a message', () => {
  it.each(['GB18030', 'GB 18030-2000', 'GBK', 'GB2312'])('%s is read as what it is', async (label) => {
    const { code } = await said(gb(hl7('ADT^A04', [pid('1', { 5: '王^小东' })], { 18: label })));
    expect([code, patient()?.name[0].text]).toEqual(['AA', '王小东']);
  });

  it('a character whose second byte is a separator or an escape is no separator', async () => {
    await said(gb(hl7('ADT^A04', [pid('1', { 5: '乗亅^小东' })], { 18: 'GB18030' })));
    expect(patient()?.name[0]).toMatchObject({ text: '乗亅小东', family: '乗亅' });
  });

  it('characters of four bytes are read', async () => {
    await said(gb(hl7('ADT^A04', [pid('1', { 5: '㐀\u{20000}' })], { 18: 'GB18030' })));
    expect(patient()?.name[0].text).toBe('㐀\u{20000}');
  });

  it.each(['UNICODE UTF-8', 'UTF-8', ''])('UTF-8 by the label %j', async (label) => {
    const { code } = await said(hl7('ADT^A04', [pid('1')], { 18: label }));
    expect([code, patient()?.name[0].text]).toEqual(['AA', '王小东']);
  });

  it.each<[string, () => string | Buffer]>([
    ['GB 18030 that is labelled UTF-8', () => gb(hl7('ADT^A04', [pid('1')], { 18: 'UNICODE UTF-8' }))],
    [
      'UTF-8 that is labelled GB 18030, though it could be read as other characters',
      () => hl7('ADT^A04', [pid('1')], { 18: 'GB18030' }),
    ],
    ['Chinese that is labelled ASCII', () => hl7('ADT^A04', [pid('1')], { 18: 'ASCII' })],
    ['characters that were lost before', () => hl7('ADT^A04', [pid('1', { 5: '王\ufffd东' })])],
    ['a character set that is not spoken', () => hl7('ADT^A04', [pid('1', { 5: 'WANG' })], { 18: 'BIG-5' })],
    ['an escape to another character set', () => hl7('ADT^A04', [pid('1', { 5: 'WANG\\M2442\\' })])],
    ['bytes by escape that are no text', () => hl7('ADT^A04', [pid('1', { 5: 'WANG\\XC3\\' })])],
    ['half a character', () => gb(hl7('ADT^A04', [pid('1', { 5: '王' })], { 18: 'GB18030' })).subarray(0, -8)],
  ])('%s is refused, and kept for the quarantine as it came', async (_what, message) => {
    const bytes = Buffer.from(message());
    const broken = _what === 'half a character' ? Buffer.concat([bytes, Buffer.from([0xcd])]) : bytes;
    const { code } = await said(broken);
    expect(code).toBe('AR');
    const [change] = at.changes;
    expect(change).toMatchObject({ kind: 'unreadable', item: { reason: 'character-set' } });
    if (change?.kind === 'unreadable') expect(Buffer.from(change.item.message ?? []).equals(broken)).toBe(true);
  });
});

describe('values of a message', () => {
  it.each([
    ['\\F\\\\S\\\\T\\\\R\\\\E\\', '|^&~\\'],
    ['\\X41\\\\XE78E8B\\', 'A王'],
    ['one\\.br\\two', 'one\ntwo'],
    ['\\H\\loud\\N\\', 'loud'],
    ['C:\\temp', 'C:\\temp'],
    ['\\E\\F\\E\\', '\\F\\'],
  ])('%s reads %j', async (escaped, plain) => {
    await said(hl7('ADT^A04', [pid('1', { 5: `${escaped}^x` })]));
    expect(patient()?.name[0].family).toBe(plain);
  });

  it('other separators than the usual ones are taken from the header', async () => {
    await his.send('MSH$*%!?$HIS$EAST$HUB$$20260701$$ADT*A04$C1$P$2.5.1\rPID$$$7*%8***EAST$$WANG*X!S!Y\r');
    expect(patient()?.identifier.map((i: { value: string }) => i.value)).toEqual(['7', '8']);
    expect(patient()?.name[0].given).toEqual(['X*Y']);
  });

  it('numbers belong to who assigned them', async () => {
    const numbers = [
      'E1^^^EAST^MR',
      'E2^^^&1.2.3.1&ISO',
      'S3^^^SOCIAL^SS',
      'W4^^^WEST^MR',
      '110105198002030018^^^^NNCHN',
      'V5^^^EAST^VN',
    ];
    await said(hl7('ADT^A04', [pid(numbers.slice(0, 1).concat(numbers.slice(2)).join('~'))]));
    expect(patient()?.identifier.map((i: { system: string; value: string }) => [i.system, i.value])).toEqual([
      [OWN_NUMBERS, 'E1'],
      ['urn:oid:1.2.3.9', 'S3'],
      ['urn:oid:2.16.156.10011.1.3', '110105198002030018'],
    ]);
    await said(hl7('ADT^A04', [pid(numbers[1] ?? '')]));
    expect(patient()?.identifier).toMatchObject([{ system: OWN_NUMBERS, value: 'E2' }]);
    const { code, where, error } = await said(hl7('ADT^A04', [pid(numbers[3] ?? '')]));
    expect([code, where, error]).toEqual(['AR', 'PID^1^3', '101']);
  });

  it('an empty field says nothing, and "" deletes', async () => {
    await said(hl7('ADT^A08', [pid('1', { 5: '', 7: '""', 8: '' })]));
    const [step] = statementOf(at.changes[0]).steps;
    expect(step).toMatchObject({ kind: 'record', partial: { cleared: ['birthDate'] }, isCorrection: true });
    expect(Object.keys(patient() ?? {})).toEqual(['resourceType', 'identifier']);
  });

  it.each([
    ['a day that is none', { 7: '20260231' }, 'PID^1^7', '102'],
    ['a sex that is no code', { 8: 'X' }, 'PID^1^8', '103'],
    ['no number', { 3: '' }, 'PID^1^3', '101'],
    ['a control character', { 5: 'WA\u0007NG' }, 'PID^1^5^1^1', '102'],
  ])('%s is refused, naming the field and no value', async (_what, fields, where, error) => {
    const answer = await said(hl7('ADT^A04', [pid('SECRET', fields)]));
    expect(answer).toMatchObject({ code: 'AR', where, error });
    expect(
      JSON.stringify([answer, { ...at.changes[0], item: { ...(at.changes[0] as { item: object }).item, message: '' } }]),
    ).not.toMatch(/SECRET|王/);
  });
});

describe('messages that are not taken', () => {
  it.each<[string, string, string, string | undefined]>([
    ['another type', hl7('MFN^M02', []), '200', 'MSH^1^9'],
    ['an event that is not kept', hl7('ADT^A45', [pid('1')]), '201', 'MSH^1^9^^2'],
    ['one of a test system', hl7('ADT^A04', [pid('1')], { 11: 'T' }), '202', 'MSH^1^11'],
    ['version 3', hl7('ADT^A04', [pid('1')], { 12: '3.0' }), '203', 'MSH^1^12'],
    ['no control id', hl7('ADT^A04', [pid('1')], { 10: '' }), '101', 'MSH^1^10'],
    ['no patient', hl7('ADT^A04', ['EVN|A04']), '100', 'PID^1'],
    ['two patients', hl7('ADT^A04', [pid('1'), pid('2')]), '100', 'PID^2^3'],
    ['no segments', 'hello', '100', 'MSH^1'],
    ['a line that is no segment', hl7('ADT^A04', [pid('1', { 11: 'street\nsecond line' })]), '100', undefined],
    ['a header without separators', 'MSH|^^|HIS\r', '102', 'MSH^1^2'],
    ['two headers', hl7('ADT^A04', [pid('1'), 'MSH|^~\\&|X']), '100', undefined],
  ])('%s', async (_what, message, error, where) => {
    expect(await said(message)).toMatchObject({ code: 'AR', error, ...(where ? { where } : {}) });
    expect(at.changes[0]?.kind).toBe('unreadable');
  });
});

describe('acknowledgements', () => {
  it('name the message, and answer its sender', async () => {
    const { answer } = await said(hl7('ADT^A04^ADT_A01', [pid('1')], { 10: 'id-7', 12: '2.4' }));
    const msh = (answer[0] ?? '').split('|');
    expect([msh[2], msh[4], msh[5], msh[8], msh[10], msh[11]]).toEqual(['HUB', 'HIS', 'EAST', 'ACK^A04^ACK', 'P', '2.4']);
    expect(answer[1]).toBe('MSA|AA|id-7');
  });

  it('AE: what can not be taken now may be sent again', async () => {
    at.take = () => Promise.reject(new Error('the database is away'));
    expect(await said(hl7('ADT^A04', [pid('1')]))).toMatchObject({ code: 'AE', error: '207' });
  });

  it('AR: what the hub refuses, with the field that the element came from', async () => {
    at.take = async () => [{ locator: 'x', reason: 'patient-conflict', detail: 'Patient.birthDate: no|real date' }];
    expect(await said(hl7('ADT^A04', [pid('1')]))).toMatchObject({
      code: 'AR',
      where: 'PID^1^7',
      text: 'PID-7: Patient.birthDate: no\\F\\real date',
    });
  });

  it.each([
    ['AL', 'AL', ['CA', 'AA']],
    ['AL', 'NE', ['CA']],
    ['NE', 'AL', ['AA']],
    ['ER', 'SU', ['AA']],
    ['', 'AL', ['AA']],
    ['AL', 'ER', ['CA']],
  ])('enhanced mode %s %s: %j', async (accept, application, codes) => {
    const answers = await his.send(hl7('ADT^A04', [pid('1')], { 15: accept, 16: application }), codes.length);
    expect(answers.map(codeOf)).toEqual(codes);
  });

  it('enhanced mode on error, and never', async () => {
    const refused = await his.send(hl7('ADT^A99', [], { 15: 'AL', 16: 'ER' }), 2);
    expect(refused.map(codeOf)).toEqual(['CR', 'AR']);
    his.write(`\x0b${hl7('ADT^A04', [pid('1')], { 15: 'NE', 16: 'NE' })}\x1c\r`);
    expect((await said(hl7('ADT^A04', [pid('2')]))).code).toBe('AA');
    expect(at.changes).toHaveLength(3);
  });
});

describe('the same message again', () => {
  const once = async (message: string) => {
    await said(message);
    return statementOf(at.changes.at(-1)).once;
  };
  it('has the same fingerprint at another time, and another one with other content, control id or sender', async () => {
    const message = (n: string, header: Record<number, string> = {}) => hl7('ADT^A04', [pid(n)], { 10: 'same', ...header });
    const first = await once(message('1'));
    expect(await once(message('1', { 7: '20260702' }))).toBe(first);
    const others = [message('2'), message('1', { 10: 'other' }), message('1', { 3: 'LIS' })];
    for (const other of others) expect(await once(other)).not.toBe(first);
  });
});
