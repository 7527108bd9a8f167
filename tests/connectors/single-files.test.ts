import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import { fileSource } from '../../connectors/dicom/byte-source.js';
import { text } from '../../connectors/dicom/describe.js';
import { readObject, readStudy } from '../../connectors/dicom/read-study.js';
import type { DicomJson, PersonName } from '../../connectors/dicom/values.js';
import { createFolderConnector } from '../../connectors/folder/folder-connector.js';
import { describeWithRealData } from '../support/real-data.js';
import { instancesOf, read } from './support/changes.js';

/** Files that can't be indexed, and the reason that is true of each. */
const quarantined: Record<string, string> = {
  // A charset sample without study or series.
  'charset/per-item-charset_chrSQEncoding1.dcm': 'missing-identifier',
  'odd/empty-charset__empty_charset_LEI.dcm': 'missing-identifier',
  'odd/meta-without-transfersyntax__meta_missing_tsyntax.dcm': 'missing-identifier',
  'odd/nested-private-sq__nested_priv_SQ.dcm': 'missing-identifier',
  'odd/no-group-length__no_meta_group_length.dcm': 'missing-identifier',
  // A stray byte stands before the first element.
  'odd/no-preamble-no-meta__no_meta.dcm': 'not-dicom',
  'odd/truncated-dataset__rtplan_truncated.dcm': 'truncated',
  'odd/truncated-pixeldata__MR_truncated.dcm': 'truncated',
  // Its Study Instance UID stands only inside a sequence.
  'odd/un-vr-sequence__UN_sequence.dcm': 'missing-identifier',
  'transfer-syntax/HTJ2K-lossy_1.2.840.10008.1.2.4.203.dcm': 'missing-identifier',
};

async function expectedNames(folder: string): Promise<[file: string, name: string][]> {
  const lines = (await readFile(join(folder, 'expected-names.csv'), 'utf8')).trim().split('\n').slice(1);
  return lines.map((line) => {
    const [, file = '', name = ''] = /^([^,]+),"(?:[^"]|"")*","((?:[^"]|"")*)"/.exec(line) ?? [];
    return [file, name.replaceAll('""', '"')];
  });
}

describeWithRealData('single files of every kind', (data) => {
  const folder = join(data, 'single-files');

  it('are indexed with the expected name or refused with the reason that is true', async () => {
    const found: Record<string, string> = {};
    const expected: Record<string, string> = {};
    for (const [file, name] of await expectedNames(folder)) {
      const source = await fileSource(join(folder, file));
      const result = await readStudy(source, { locator: file, defaultUtcOffset: '+08:00' });
      await source.close();
      found[file] = result.ok ? `indexed as '${result.study.patient.name ?? ''}'` : result.reason;
      expected[file] = quarantined[file] ?? `indexed as '${name}'`;
    }
    expect(Object.keys(found)).toHaveLength(47);
    expect(found).toEqual(expected);
  });

  it('are all accounted for when they are read as one folder', async () => {
    const { studies, unreadable } = await read(createFolderConnector({ root: folder }));
    const reasons = Object.fromEntries(unreadable.map((item) => [item.locator, item.reason]));
    expect(reasons).toEqual({ ...quarantined, 'expected-names.csv': 'not-dicom' });
    expect(instancesOf(studies)).toHaveLength(47 - Object.keys(quarantined).length);
  });

  it('states the transfer syntax of each file that is named after one', async () => {
    const { studies } = await read(createFolderConnector({ root: join(folder, 'transfer-syntax') }));
    for (const { locator, transferSyntaxUid } of instancesOf(studies)) expect(locator).toBe(`CTImage_${transferSyntaxUid}.dcm`);
    expect(instancesOf(studies)).toHaveLength(14);
  });

  it('decodes a name inside a sequence item by the character set around it', async () => {
    const source = await fileSource(join(folder, 'charset/per-item-charset_chrSQEncoding1.dcm'));
    const result = await readObject(source);
    await source.close();
    if (!result.ok) throw new Error(result.detail);
    const [item] = (result.json['00321064']?.Value ?? []) as DicomJson[];
    const [name] = (item?.['00100010']?.Value ?? []) as PersonName[];
    expect(name).toEqual({
      Alphabetic: 'ﾔﾏﾀﾞ^ﾀﾛｳ',
      Ideographic: '山田^太郎',
      Phonetic: 'やまだ^たろう',
    });
  });

  it('reads the same attributes whatever the encoding of the data set', async () => {
    const names = ['1.2.840.10008.1.2.1', '1.2.840.10008.1.2.2', '1.2.840.10008.1.2.1.99'];
    const read = await Promise.all(
      names.map(async (uid) => {
        const source = await fileSource(join(folder, `transfer-syntax/CTImage_${uid}.dcm`));
        const result = await readObject(source);
        await source.close();
        if (!result.ok) throw new Error(result.detail);
        const { json } = result;
        return [
          json['00280010']?.Value,
          json['00280030']?.Value,
          json['00281052']?.Value,
          text(json, '00080060'),
          json['00200032']?.Value,
        ];
      }),
    );
    expect(read[1]).toEqual(read[0]);
    expect(read[2]).toEqual(read[0]);
    expect(read[0]?.[0]).toEqual([512]);
  });
});
