import type { Narrative } from '@medplum/fhirtypes';
import { evidenceOf } from './pattern.js';
import type { AuditRow } from './rows.js';

/** English and Chinese, for the people of the region. */
type Words = readonly [en: string, zh: string];
type Table = Readonly<Record<string, Words>>;

const ROLES: Table = {
  physician: ['physician', '医师'],
  'hospital-administrator': ['administrator of the hospital', '医院管理员'],
  'identity-steward': ['identity steward', '身份管理员'],
  'commission-officer': ['officer of the health commission', '卫生健康委工作人员'],
  auditor: ['auditor', '审计员'],
  patient: ['the patient', '患者本人'],
  guardian: ['guardian of the patient', '患者监护人'],
  'hospital-system': ['system of the hospital', '医院信息系统'],
  'hub-administrator': ['administrator of the hub', '平台管理员'],
};

const PURPOSES: Table = {
  TREAT: ['for treatment', '用于诊疗'],
  ETREAT: ['for emergency treatment', '用于急诊诊疗'],
  BTG: ['in an emergency, without leave given before (break-glass)', '紧急情况下破例访问'],
  HRESCH: ['for research', '用于科研'],
  HOPERAT: ['to run the hospital', '用于医院管理'],
  PUBHLTH: ['for public health', '用于公共卫生'],
  PATRQT: ['at the patient’s own request', '应患者本人要求'],
  HCOMPL: ['to check that rules are kept', '用于合规审计'],
};

const BASES: Table = {
  own: ['the organization holds the record', '该机构保管此记录'],
  consortium: ['the hospitals are one consortium and the patient is registered there', '同属医联体且患者已在该机构登记'],
  agreement: ['a sharing agreement between the hospitals covers it', '机构间共享协议允许'],
  grant: ['it was given for a consultation or on request', '因会诊或申请获得授权'],
  patient: ['it is the patient’s own record', '患者本人的记录'],
  'break-glass': ['an emergency session was open for this patient', '已为该患者开启紧急访问'],
  oversight: ['the health commission opened the case', '卫生健康委已立案'],
  audit: ['auditors read the audit', '审计职责'],
  party: ['the organization takes part in the referral', '该机构参与此会诊或申请'],
  registered: ['the patient is registered there', '患者已在该机构登记'],
};

const REASONS: Table = {
  consent: ['the patient’s consent does not allow it', '患者的知情同意不允许'],
  'no-basis': ['nothing allows it', '没有允许的依据'],
  purpose: ['not for this purpose', '目的不符'],
  label: ['the record is marked as sensitive', '记录被标记为敏感'],
  suspended: ['the organization is suspended', '机构已被暂停'],
  quarantine: ['the record is held until a conflict is resolved', '记录因冲突被隔离'],
  withheld: ['only that it exists was told', '仅告知其存在'],
  'not-found': ['nothing was shown', '未显示任何内容'],
  forbidden: ['nothing was shown', '未显示任何内容'],
};

/** What somebody did, or tried to do. */
const DEEDS: Table = {
  read: ['read', '查看'],
  vread: ['read a version of', '查看某一版本'],
  'history-instance': ['read the history of', '查看历史'],
  retrieve: ['retrieve the images of', '调取影像'],
  'search-type': ['find in a search', '检索'],
  create: ['record', '新建'],
  update: ['change', '修改'],
  'meta-add': ['label', '标注敏感性'],
  'meta-delete': ['take a label from', '取消敏感性标注'],
  explain: ['ask who may see', '询问谁可以查看'],
  'audit-inclusion': ['check the audit of', '核验审计记录'],
  'break-glass': ['begin an emergency session', '开启紧急访问'],
};

const UNKNOWN: Words = ['', ''];

/** The event as a sentence for the person it is about: who did or tried what, what for, and what allowed or stopped it. @param names of organizations by id */
export function inWords(row: AuditRow, names: ReadonlyMap<string, string>): Narrative {
  const sentences = ([0, 1] as const).map((language) => sentence(row, names, language));
  const [en, zh] = sentences.map(escaped);
  return {
    status: 'generated',
    div: `<div xmlns="http://www.w3.org/1999/xhtml"><p lang="en">${en}</p><p lang="zh">${zh}</p></div>`,
  };
}

function sentence(row: AuditRow, names: ReadonlyMap<string, string>, language: 0 | 1): string {
  const say = (table: Table, key: string | null): string =>
    ((key && Object.hasOwn(table, key) && table[key]) || UNKNOWN)[language];
  const organization = row.organization_id ? (names.get(row.organization_id) ?? row.organization_id) : '';
  const isGuardian = row.agent.startsWith('RelatedPerson/') || evidenceOf(row).some((e) => e.kind === 'guardian');
  const about = [say(ROLES, isGuardian ? 'guardian' : row.role), organization].filter(Boolean).join(', ');
  const who = `${row.agent_name ?? row.agent}${about ? ` (${about})` : ''}`;
  const deed = say(DEEDS, row.subtype) || `${row.type}/${row.subtype}`;
  const what = row.entity.slice(0, 5).join(', ') + (row.entity.length > 5 ? ', ...' : '');
  const isRefused = row.outcome !== 0;
  const purpose = say(PURPOSES, row.purpose);
  // of a search, what stopped it stands in the rule
  const stopped = row.rule === 'consent-denied' || row.rule === 'consent-missing' ? 'consent' : row.detail;
  const why = isRefused ? say(REASONS, stopped) || (row.detail ?? '') : say(BASES, row.basis);
  const parts =
    language === 0
      ? [who, isRefused ? 'tried to' : 'did', deed, what, purpose]
      : [who, isRefused ? '试图' : '', deed, what, purpose];
  const verdict = language === 0 ? (isRefused ? 'Refused' : 'Allowed') : isRefused ? '已拒绝' : '已允许';
  return `${parts.filter(Boolean).join(' ')}. ${verdict}${why ? `: ${why}` : ''}.`;
}

/** Text of an XHTML element: no markup, and no character that XML has not. */
const escaped = (text: string): string =>
  text
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|\p{Cs}/gu, '\ufffd')
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;');
