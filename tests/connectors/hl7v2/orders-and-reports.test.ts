import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { validateResource } from '../../../fhir-profiles/index.js';
import type { FhirRecord } from '../../../connectors/statement.js';
import { codeOf, hl7, type MllpClient, pid, segment } from '../../support/mllp.js';
import { type Receiver, receiver, recordsOf, statementOf } from './receiver.js';

let at: Receiver;
let his: MllpClient;
beforeAll(async () => {
  at = await receiver();
  his = await at.client();
});
afterAll(() => at.stop());
afterEach(() => {
  at.changes.length = 0;
});

const stated = async (type: string, ...segments: string[]): Promise<FhirRecord[]> => {
  const [answer = []] = await his.send(hl7(type, [pid('7'), ...segments]));
  if (codeOf(answer) !== 'AA') throw new Error(answer.join('\n'));
  return recordsOf(at.changes[0]);
};
const refused = async (type: string, ...segments: string[]): Promise<string | undefined> => {
  const [answer = []] = await his.send(hl7(type, [pid('7'), ...segments]));
  return answer.find((s) => s.startsWith('ERR'))?.split('|')[2];
};
/** The hub puts its own references in the place of these: then the resources are as they would be stored. */
const asStored = (record: FhirRecord): FhirRecord =>
  JSON.parse(JSON.stringify({ ...record, identifier: record.identifier, subject: { reference: 'Patient/1' } }));
const valid = (records: readonly FhirRecord[]): void => {
  for (const record of records) expect(validateResource(asStored(record))).toEqual([]);
};

const typed = (code: string) => ({ coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v2-0203', code }] });

describe('orders', () => {
  it('ORM^O01: a ServiceRequest with its numbers, time, priority and what is asked', async () => {
    const [patient, order] = await stated(
      'ORM^O01',
      'ORC|NW|P100^HIS|F100^RIS||||^^^20260801093000^^S||20260720|||D7^李^雷',
      segment('OBR', {
        1: '1',
        2: 'P100^HIS',
        3: 'F100^RIS',
        4: '30746-2^CT Chest^LN^胸部CT^胸部CT平扫^99LOC',
        18: 'A77',
        24: 'CT',
        27: '^^^20260801093000^^S',
        31: 'R05^咳嗽^I10',
      }),
      'ZDS|1.2.3.4^HIS^Application^DICOM',
    );
    expect(statementOf(at.changes[0]).steps[0]).toMatchObject({ kind: 'record', onlyIfNew: true });
    expect(patient?.resourceType).toBe('Patient');
    expect(order).toMatchObject({
      resourceType: 'ServiceRequest',
      identifier: [
        { value: 'P100', type: typed('PLAC') },
        { value: 'F100', type: typed('FILL') },
        { value: 'A77', type: typed('ACSN') },
      ],
      status: 'active',
      priority: 'stat',
      subject: { type: 'Patient', identifier: { value: '7' } },
      code: { coding: [{ system: 'http://loinc.org', code: '30746-2' }, { code: '胸部CT' }], text: 'CT Chest' },
      orderDetail: [{ coding: [{ code: 'CT' }] }],
      occurrenceDateTime: '2026-08-01T09:30:00+08:00',
      authoredOn: '2026-07-20',
      requester: { display: '李雷' },
      reasonCode: [{ text: '咳嗽' }],
    });
    valid([order as FhirRecord]);
  });

  it.each([
    ['CA', '', 'revoked'],
    ['HD', '', 'on-hold'],
    ['XO', '', 'active'],
    ['SC', 'CM', 'completed'],
    ['SC', 'IP', 'active'],
  ])('ORC-1 %s %s is %s', async (control, state, status) => {
    const [, order] = await stated('ORM^O01', `ORC|${control}|P1|||${state}`, 'OBR|1|P1||CT^CT');
    expect(order?.status).toBe(status);
  });

  it('OMI^O23: accession number, Study Instance UID and modality stand in IPC, the time in TQ1', async () => {
    const [, first, second] = await stated(
      'OMI^O23^OMI_O23',
      'ORC|NW|P1',
      segment('TQ1', { 1: '1', 7: '20260802080000', 9: 'A' }),
      'OBR|1|P1||CTH^Head',
      'IPC|A1|RP1|1.2.3.7|SPS1|CT',
      'ORC|NW|P2',
      'OBR|2|P2||MRB^Brain',
      'IPC|A2|RP2|1.2.3.8|SPS2|MR',
    );
    expect(first).toMatchObject({
      identifier: [{ value: 'P1' }, { value: 'A1' }],
      priority: 'asap',
      occurrenceDateTime: '2026-08-02T08:00:00+08:00',
    });
    expect(second).toMatchObject({ identifier: [{ value: 'P2' }, { value: 'A2' }], orderDetail: [{ coding: [{ code: 'MR' }] }] });
    expect(second?.occurrenceDateTime).toBeUndefined();
  });

  it('without a number, an OBR or a control that is known are refused, naming the field', async () => {
    expect(await refused('ORM^O01', 'ORC|NW', 'OBR|1|||CT')).toBe('OBR^1^2');
    expect(await refused('ORM^O01', 'ORC|NW|P1')).toBe('OBR^1');
    expect(await refused('ORM^O01', 'ORC|ZZ|P1', 'OBR|1|P1')).toBe('ORC^1^1');
    expect(await refused('ORM^O01', 'ORC|NW|P1|||||^^^2026-08-01', 'OBR|1|P1')).toBe('ORC^1^7^^4');
  });
});

describe('reports', () => {
  const obr = (more: Record<number, string> = {}): string =>
    segment('OBR', {
      2: 'P100',
      3: 'F100^RIS',
      4: '30746-2^CT Chest^LN',
      7: '20260801093000',
      18: 'A77',
      22: '20260801113000+0800',
      24: 'CT',
      25: 'F',
      32: '&王&芳',
      ...more,
    });
  const OBR = obr();

  it('ORU^R01: a DiagnosticReport, its texts and values as Observations, tied to order and study', async () => {
    const [, gdt, impression, size, size2, yes, report] = await stated(
      'ORU^R01',
      OBR,
      'OBX|1|TX|30746-2&GDT^CT Chest^LN||两肺纹理清晰。||||||F',
      'OBX|2|TX|30746-2&GDT^CT Chest^LN||右上叶见结节 \\T\\ 钙化。||||||F',
      'OBX|3|FT|19005-8^Impression^LN||右上叶结节。\\.br\\建议随访。||||||F',
      'OBX|4|NM|33728-7^Size^LN|1|6.5|mm^^UCUM|<4|H|||C',
      'OBX|5|SN|33728-7^Size^LN|2|<^3|mm||||F',
      'OBX|6|CWE|X1^Contrast^99LOC||Y^Yes^HL70136||||||P',
      'OBX|7|HD|113014^DICOM Study^DCM||1.2.3.4.5||||||O',
    );
    expect(gdt).toMatchObject({
      valueString: '两肺纹理清晰。\n右上叶见结节 & 钙化。',
      status: 'final',
      identifier: [{ value: 'F100/30746-2&GDT/' }],
    });
    expect(impression).toMatchObject({ valueString: '右上叶结节。\n建议随访。' });
    expect(size).toMatchObject({
      status: 'corrected',
      valueQuantity: { value: 6.5, unit: 'mm', system: 'http://unitsofmeasure.org', code: 'mm' },
      interpretation: [{ coding: [{ code: 'H' }] }],
      referenceRange: [{ text: '<4' }],
      derivedFrom: [{ type: 'ImagingStudy', identifier: { system: 'urn:dicom:uid', value: 'urn:oid:1.2.3.4.5' } }],
      effectiveDateTime: '2026-08-01T09:30:00+08:00',
    });
    expect(size2).toMatchObject({ valueQuantity: { value: 3, comparator: '<', unit: 'mm' } });
    expect(yes).toMatchObject({ status: 'preliminary', valueCodeableConcept: { coding: [{ code: 'Y', display: 'Yes' }] } });
    expect(report).toMatchObject({
      resourceType: 'DiagnosticReport',
      status: 'final',
      conclusion: '右上叶结节。\n建议随访。',
      basedOn: [{ type: 'ServiceRequest', identifier: { value: 'P100' } }],
      imagingStudy: [{ identifier: { value: 'urn:oid:1.2.3.4.5' } }],
      issued: '2026-08-01T11:30:00+08:00',
      resultsInterpreter: [{ display: '王芳' }],
      result: Array.from({ length: 5 }, (_, i) => ({ reference: `Observation/0-${i}` })),
    });
    valid([gdt, impression, size, size2, yes, report] as FhirRecord[]);
  });

  it('are tied to their study by the accession number where no UID is said, wherever the hospital has it', async () => {
    const [, text, report] = await stated('ORU^R01', OBR, 'OBX|1|TX|R^Report||||||||F');
    expect(report?.imagingStudy).toMatchObject([
      { type: 'ImagingStudy', identifier: { type: { coding: [{ code: 'ACSN' }] }, value: 'A77' } },
    ]);
    expect(text).toMatchObject({ dataAbsentReason: { coding: [{ code: 'unknown' }] } });
    const other = await receiver({ accessionNumberIn: 'OBR-3' });
    const client = await other.client();
    await client.send(hl7('ORU^R01', [pid('7'), OBR, 'OBX|1|ST|R^Report||x||||||F']));
    expect(recordsOf(other.changes[0]).at(-1)?.imagingStudy[0].identifier.value).toBe('F100');
    other.stop();
  });

  it('carry documents, and conclude with their only text', async () => {
    const pdf = Buffer.from('%PDF-1.7 test').toString('base64');
    const [, report] = await stated('ORU^R01', OBR, `OBX|1|ED|PDF^Report||HIS^application^pdf^Base64^${pdf}||||||F`);
    expect(report?.presentedForm).toEqual([{ contentType: 'application/pdf', data: pdf, title: 'Report' }]);
    at.changes.length = 0;
    const [, , only] = await stated('ORU^R01', OBR, 'OBX|1|ST|R^Report||No finding^really||||||F');
    expect(only?.conclusion).toBe('No finding^really');
  });

  it.each([
    ['a status that is none', obr({ 25: 'Q' }), 'OBX|1|ST|R||x', 'OBR^1^25'],
    ['no number', obr({ 3: '' }), 'OBX|1|ST|R||x', 'OBR^1^3'],
    ['a number that is none', OBR, 'OBX|1|NM|R^R||6,5', 'OBX^1^5'],
    ['an observation without a code', OBR, 'OBX|1|ST|||x', 'OBX^1^3'],
    ['a document that is no Base64', OBR, 'OBX|1|ED|P^P||X^application^pdf^Base64^***', 'OBX^1^5'],
  ])('%s is refused, naming the field', async (_what, obr, obx, where) => {
    expect(await refused('ORU^R01', obr, obx)).toBe(where);
  });
});
