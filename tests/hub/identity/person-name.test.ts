import { describe, expect, it } from '@jest/globals';
import { humanNames, nameForms, namesCompatible } from '../../../hub/identity/person-name.js';
import { wordsOf } from '../../../hub/store/name-words.js';

const dicom = (name: string) => nameForms(humanNames(name));

describe('Names', () => {
  it.each([
    ['Wang^XiaoDong=王^小东', 'Wang^XiaoDong'],
    ['Wang^XiaoDong=王^小东', 'WANG^XIAODONG '],
    ['Wang^XiaoDong=王^小东', '王小东'],
    ['王^小东', 'Wang^Xiao Dong'],
    ['王^小东', 'XiaoDong^Wang'],
    ['吕^布', 'LV^BU'],
    ['吕^布', 'Lyu^Bu'],
    ['单^雄信', 'Shan^Xiongxin'],
    ['欧阳^修', 'Xiu^Ouyang'],
    ['Äneas^Rüdiger', 'ANEAS^RUDIGER'],
    ['Buc^Jérôme', 'buc^jerome'],
    ['Wang^XiaoDong^^Dr', 'Wang^XiaoDong'],
    ['', 'Wang^XiaoDong'],
    ['^^^^', '王^小东'],
    ['김^희중', 'Hong^Gildong=김^희중'],
  ])('%s and %s can be one person’s', (one, other) => {
    expect(namesCompatible(dicom(one), dicom(other))).toBe(true);
    expect(namesCompatible(dicom(other), dicom(one))).toBe(true);
  });

  it.each([
    ['Wang^XiaoDong=王^小东', 'Li^Hong=李^红'],
    ['Wang^XiaoDong=王^小东', 'Wang^XiaoDong=王^晓冬'],
    ['王^小东', 'Li^Hong'],
    ['Wang^XiaoDong', 'Wang^XiaoMing'],
    ['王^小东', 'Wang^Xiao'],
  ])('%s and %s can not', (one, other) => {
    expect(namesCompatible(dicom(one), dicom(other))).toBe(false);
    expect(namesCompatible(dicom(other), dicom(one))).toBe(false);
  });

  it('of FHIR and DICOM are compared by what they say', () => {
    const registered = nameForms([{ text: '王小东' }, { family: 'Wang', given: ['Xiaodong'] }]);
    for (const name of ['Wang^XiaoDong=王^小东', 'Wang^XiaoDong', '王^小东', 'Wang^XiaoDong=王^小东='])
      expect(namesCompatible(registered, dicom(name))).toBe(true);
    expect(namesCompatible(nameForms([{ text: '王小东 (Wang Xiaodong)' }]), dicom('Wang^XiaoDong'))).toBe(true);
  });

  it('become FHIR names that are found by characters and by letters', () => {
    const names = humanNames('Wang^XiaoDong=王^小东');
    expect(names).toEqual([
      { use: 'usual', text: '王小东', family: '王', given: ['小东'] },
      { use: 'official', text: 'Wang XiaoDong', family: 'Wang', given: ['XiaoDong'] },
    ]);
    const words = names.flatMap(wordsOf);
    for (const word of ['王小东', 'wangxiaodong', 'wang', 'xiaodong']) expect(words).toContain(word);
    expect(humanNames('^^')).toEqual([]);
    expect(humanNames('王小东')).toEqual([{ use: 'usual', text: '王小东' }]);
    expect(humanNames('Last^First^mid^pre^suf')).toEqual([
      { use: 'official', text: 'Last First mid', family: 'Last', given: ['First', 'mid'], prefix: ['pre'], suffix: ['suf'] },
    ]);
  });

  it('keep the phonetic group, by which nobody is told apart', () => {
    const names = humanNames('Yamada^Tarou=山田^太郎=やまだ^たろう');
    expect(names.map(({ text }) => text)).toEqual(['山田太郎', 'Yamada Tarou', 'やまだ たろう']);
    expect(names[2]).toMatchObject({ family: 'やまだ', given: ['たろう'], extension: [{ valueCode: 'SYL' }] });
    expect(namesCompatible(dicom('Yamada^Tarou=山田^太郎=やまだ^たろう'), dicom('Yamada^Tarou=山田^太朗=やまだ^たろう'))).toBe(
      false,
    );
  });

  it('of any length are compared in bounded time', () => {
    expect(namesCompatible(dicom('吕'.repeat(5000)), dicom('lv'.repeat(5000)))).toBe(false);
  });
});
