/** The demonstration region as data: invented organizations, people, patients and studies. Every name is made up. */
import type { PhantomTransferSyntax } from '../../models/phantoms/encode-frame.js';
import type { Role } from '../access/caller.js';

export interface DemoOrganization {
  id: string;
  kind: 'commission' | 'consortium' | 'hospital';
  name: string;
  /** System of the hospital's own patient numbers. */
  assigner?: string;
}

export interface DemoPerson {
  username: string;
  name: string;
  roles: Role[];
  organizationId?: string;
  /** Key of the patient whose account this is. */
  patient?: string;
}

export interface DemoPatient {
  key: string;
  /** As in DICOM: alphabetic and ideographic component groups. */
  dicomName: string;
  name: { text: string; family: string; given: string };
  sex: 'M' | 'F';
  birthDate: string;
  /** Patient number by hospital. */
  numbers: Record<string, string>;
  /** The last three digits before the check digit of an invented resident identity number; absent: no hospital knows one. */
  sequence?: string;
}

export interface DemoStudy {
  hospital: string;
  patient: string;
  kind: 'chest' | 'head';
  started: string;
  description: string;
  transferSyntax: PhantomTransferSyntax;
  characterSet: 'GB18030' | 'ISO_IR 192';
  seed: number;
}

export const organizations: readonly DemoOrganization[] = [
  { id: 'commission', kind: 'commission', name: '云河省卫生健康委员会' },
  { id: 'east-consortium', kind: 'consortium', name: '河东医联体' },
  { id: 'west-consortium', kind: 'consortium', name: '河西医联体' },
  { id: 'first-hospital', kind: 'hospital', name: '云河市第一人民医院', assigner: 'urn:oid:1.2.826.0.1.3680043.10.1451.1' },
  { id: 'county-hospital', kind: 'hospital', name: '河东县人民医院', assigner: 'urn:oid:1.2.826.0.1.3680043.10.1451.2' },
  { id: 'cancer-hospital', kind: 'hospital', name: '云河省肿瘤医院', assigner: 'urn:oid:1.2.826.0.1.3680043.10.1451.3' },
  { id: 'west-hospital', kind: 'hospital', name: '河西区中心医院', assigner: 'urn:oid:1.2.826.0.1.3680043.10.1451.4' },
];

export const memberships: readonly { consortium: string; member: string }[] = [
  { consortium: 'east-consortium', member: 'first-hospital' },
  { consortium: 'east-consortium', member: 'county-hospital' },
  { consortium: 'east-consortium', member: 'cancer-hospital' },
  { consortium: 'west-consortium', member: 'west-hospital' },
  { consortium: 'west-consortium', member: 'cancer-hospital' },
];

/** One restricted agreement: the first hospital shows its MRs of the last five years to the west hospital, for treatment. */
export const agreement = {
  id: 'first-to-west',
  custodian: 'first-hospital',
  recipient: 'west-hospital',
  modality: 'MR',
  years: 5,
} as const;

export const people: readonly DemoPerson[] = [
  { username: 'li.wei', name: '李伟', roles: ['physician'], organizationId: 'first-hospital' },
  { username: 'zhao.min', name: '赵敏', roles: ['physician'], organizationId: 'county-hospital' },
  { username: 'sun.yue', name: '孙悦', roles: ['physician'], organizationId: 'cancer-hospital' },
  { username: 'ma.chao', name: '马超', roles: ['physician'], organizationId: 'west-hospital' },
  { username: 'wu.gang', name: '吴刚', roles: ['hospital-administrator'], organizationId: 'first-hospital' },
  { username: 'zheng.jie', name: '郑洁', roles: ['hospital-administrator'], organizationId: 'county-hospital' },
  { username: 'qian.kun', name: '钱坤', roles: ['hospital-administrator'], organizationId: 'cancer-hospital' },
  { username: 'shen.qing', name: '沈青', roles: ['hospital-administrator'], organizationId: 'west-hospital' },
  { username: 'feng.lan', name: '冯兰', roles: ['identity-steward'], organizationId: 'first-hospital' },
  { username: 'tang.yu', name: '唐宇', roles: ['identity-steward'], organizationId: 'west-hospital' },
  { username: 'he.ping', name: '何平', roles: ['commission-officer'], organizationId: 'commission' },
  { username: 'lin.jing', name: '林静', roles: ['auditor'], organizationId: 'commission' },
  { username: 'admin', name: '周宁', roles: ['hub-administrator'], organizationId: 'commission' },
  { username: 'wang.xiaodong', name: '王小东', roles: ['patient'], patient: 'wang' },
  { username: 'zhang.li', name: '张丽', roles: ['patient'], patient: 'zhang' },
];

/** Every demonstration person signs in with it; a production start refuses the demonstration. */
export const DEMO_PASSWORD = 'demo';

export const patients: readonly DemoPatient[] = [
  {
    key: 'wang',
    dicomName: 'Wang^XiaoDong=王^小东',
    name: { text: '王小东', family: '王', given: '小东' },
    sex: 'M',
    birthDate: '1968-03-12',
    numbers: { 'first-hospital': '100231', 'county-hospital': 'HD-5521' },
    sequence: '003',
  },
  {
    key: 'zhang',
    dicomName: 'Zhang^Li=张^丽',
    name: { text: '张丽', family: '张', given: '丽' },
    sex: 'F',
    birthDate: '1975-08-30',
    numbers: { 'county-hospital': 'HD-6107', 'cancer-hospital': 'Z20418' },
    sequence: '018',
  },
  {
    key: 'liu',
    dicomName: 'Liu^Yang=刘^洋',
    name: { text: '刘洋', family: '刘', given: '洋' },
    sex: 'M',
    birthDate: '1981-11-02',
    numbers: { 'first-hospital': '100777' },
    sequence: '031',
  },
  {
    key: 'chen',
    dicomName: 'Chen^Jing=陈^静',
    name: { text: '陈静', family: '陈', given: '静' },
    sex: 'F',
    birthDate: '1990-05-21',
    numbers: { 'first-hospital': '100802', 'west-hospital': 'W-0093' },
  },
  {
    key: 'yang',
    dicomName: 'Yang^Fan=杨^帆',
    name: { text: '杨帆', family: '杨', given: '帆' },
    sex: 'M',
    birthDate: '1959-01-17',
    numbers: { 'cancer-hospital': 'Z20977' },
    sequence: '047',
  },
];

export const studies: readonly DemoStudy[] = [
  {
    hospital: 'first-hospital',
    patient: 'wang',
    kind: 'chest',
    started: '2026-06-02T09:20',
    description: '胸部CT平扫',
    transferSyntax: '1.2.840.10008.1.2.1',
    characterSet: 'GB18030',
    seed: 11,
  },
  {
    hospital: 'first-hospital',
    patient: 'liu',
    kind: 'head',
    started: '2026-07-15T22:41',
    description: '头颅CT平扫',
    transferSyntax: '1.2.840.10008.1.2.5',
    characterSet: 'ISO_IR 192',
    seed: 12,
  },
  {
    hospital: 'first-hospital',
    patient: 'chen',
    kind: 'chest',
    started: '2025-11-20T14:05',
    description: '胸部CT平扫',
    transferSyntax: '1.2.840.10008.1.2',
    characterSet: 'GB18030',
    seed: 13,
  },
  {
    hospital: 'county-hospital',
    patient: 'wang',
    kind: 'chest',
    started: '2024-02-29T10:12',
    description: '胸部CT平扫',
    transferSyntax: '1.2.840.10008.1.2.4.80',
    characterSet: 'GB18030',
    seed: 14,
  },
  {
    hospital: 'county-hospital',
    patient: 'zhang',
    kind: 'chest',
    started: '2026-03-08T08:30',
    description: '胸部CT平扫',
    transferSyntax: '1.2.840.10008.1.2.1.99',
    characterSet: 'ISO_IR 192',
    seed: 15,
  },
  {
    hospital: 'cancer-hospital',
    patient: 'zhang',
    kind: 'chest',
    started: '2026-04-11T11:48',
    description: '胸部CT增强',
    transferSyntax: '1.2.840.10008.1.2.1',
    characterSet: 'GB18030',
    seed: 16,
  },
  {
    hospital: 'cancer-hospital',
    patient: 'yang',
    kind: 'chest',
    started: '2026-09-01T15:00',
    description: '胸部CT平扫',
    transferSyntax: '1.2.840.10008.1.2.5',
    characterSet: 'GB18030',
    seed: 17,
  },
  {
    hospital: 'west-hospital',
    patient: 'chen',
    kind: 'chest',
    started: '2026-08-19T09:55',
    description: '胸部CT平扫',
    transferSyntax: '1.2.840.10008.1.2.4.80',
    characterSet: 'GB18030',
    seed: 18,
  },
];
