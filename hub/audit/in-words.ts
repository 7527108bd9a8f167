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
  'agreement-score': ['an agreement between the hospitals lets it be scored, unseen', '机构间协议允许评估但不允许查看'],
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

/** What somebody did, what he tried to do, and both in Chinese. */
const DEEDS: Readonly<Record<string, readonly [did: string, toDo: string, zh: string]>> = {
  read: ['read', 'read', '查看'],
  vread: ['read an earlier version of', 'read an earlier version of', '查看历史版本：'],
  'history-instance': ['read the history of', 'read the history of', '查看变更历史：'],
  retrieve: ['retrieved the images of', 'retrieve the images of', '调取影像：'],
  store: ['stored images of', 'store images of', '存入影像：'],
  'search-type': ['found in a search', 'find in a search', '检索'],
  create: ['recorded', 'record', '新建'],
  update: ['changed', 'change', '修改'],
  'study-corrected': ['followed a correction in the archive of', 'follow a correction in the archive of', '按归档更正：'],
  'study-moved': ['filed under another patient, as the archive does,', 'file under another patient', '按归档改归其他患者：'],
  'study-removed': ['noted that the archive no longer has', 'note that the archive no longer has', '归档中已删除：'],
  'meta-add': ['labelled', 'label', '标注敏感性：'],
  'meta-delete': ['took a label from', 'take a label from', '取消敏感性标注：'],
  explain: ['asked who may see', 'ask who may see', '询问谁可以查看'],
  'audit-inclusion': ['checked the audit of', 'check the audit of', '核验审计记录：'],
  backup: ['made a backup', 'make a backup', '备份数据'],
  restore: ['was restored from a backup', 'be restored from a backup', '从备份恢复'],
  deliver: [
    'had sent to the archive of that hospital a copy of',
    'have sent to the archive of that hospital a copy of',
    '将副本发送至本院影像归档：',
  ],
  'delivery-request': ['asked for a copy of', 'ask for a copy of', '申请影像副本：'],
  'delivery-cancel': ['stopped the sending of', 'stop the sending of', '取消影像发送：'],
  delivered: ['received the copy of', 'receive the copy of', '已收到副本：'],
  'copy-to-be-removed': ['was told to remove its copy of', 'be told to remove its copy of', '已通知删除副本：'],
  'review-accept': ['accepted what a model found:', 'accept what a model found:', '采纳人工智能结果：'],
  'review-correct': ['corrected what a model found:', 'correct what a model found:', '更正人工智能结果：'],
  'review-reject': ['rejected what a model found:', 'reject what a model found:', '否定人工智能结果：'],
  'break-glass': ['began an emergency session for', 'begin an emergency session for', '开启紧急访问：'],
};

/** Other events by their class. */
const CLASSES: typeof DEEDS = {
  scoring: ['had a study scored by a model:', 'have a study scored by a model:', '人工智能评估：'],
  referral: ['took a step of a referral:', 'take a step of a referral:', '会诊或申请步骤：'],
  identity: ['worked on who is who:', 'work on who is who:', '核对患者身份：'],
  ingest: ['took in from the archive', 'take in from the archive', '从影像归档接收'],
  access: ['dealt with access to', 'deal with access to', '处理访问权限：'],
  policy: ['dealt with the rules of access', 'deal with the rules of access', '处理访问规则'],
  authentication: ['signed in', 'sign in', '登录'],
  export: ['took an export', 'take an export', '导出'],
  rest: ['worked with', 'work with', '处理'],
  query: ['searched', 'search', '检索'],
};

const KINDS: Table = {
  Patient: ['personal data', '个人信息'],
  ImagingStudy: ['an imaging study', '影像检查'],
  DiagnosticReport: ['a report', '诊断报告'],
  Observation: ['a finding', '检查所见'],
  ServiceRequest: ['a request', '申请单'],
  Task: ['a task', '任务'],
  Consent: ['a consent', '知情同意'],
  AuditEvent: ['the audit', '审计记录'],
  RelatedPerson: ['a guardian’s record', '监护人登记'],
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
  const about = [say(ROLES, isGuardian ? 'guardian' : row.role), organization].filter(Boolean);
  const name = row.agent === 'Device/hub' ? ['The hub', '平台'][language] : (row.agent_name ?? row.agent);
  const who = about.length === 0 ? name : language === 0 ? `${name} (${about.join(', ')})` : `${name}（${about.join('，')}）`;
  const isRefused = row.outcome !== 0;
  const purpose = say(PURPOSES, row.purpose);
  // of a search, what stopped it stands in the rule
  const stopped = row.rule === 'consent-denied' || row.rule === 'consent-missing' ? 'consent' : row.detail;
  const why = isRefused ? say(REASONS, stopped) || (row.detail ?? '') : say(BASES, row.basis);
  const deed = (Object.hasOwn(DEEDS, row.subtype) ? DEEDS[row.subtype] : CLASSES[row.type]) ?? CLASSES['rest']!;
  const what = kindsOf(row.entity, language);
  // a question about who may see is answered either way: nothing was shown by it
  const verdict = row.subtype === 'explain' && !isRefused ? undefined : isRefused;
  if (language === 0) {
    const did = isRefused ? `tried to ${deed[1]}` : deed[0];
    const answer = verdict === undefined ? '' : ` ${verdict ? 'Refused' : 'Allowed'}${why ? `: ${why}` : ''}.`;
    return `${[who, did, what, purpose].filter(Boolean).join(' ')}.${answer}`;
  }
  const answer = verdict === undefined ? '' : `${verdict ? '已拒绝' : '已允许'}${why ? `：${why}` : ''}。`;
  return `${who}${isRefused ? '试图' : ''}${deed[2]}${what}${purpose ? `，${purpose}` : ''}。${answer}`;
}

/** What kinds of record, each once with its number. */
function kindsOf(entities: readonly string[], language: 0 | 1): string {
  const counts = new Map<string, number>();
  for (const entity of entities) {
    const [kind = ''] = entity.split('/');
    if (Object.hasOwn(KINDS, kind)) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  const named = [...counts].map(([kind, count]) => `${KINDS[kind]![language]}${count > 1 ? ` (${count})` : ''}`);
  return named.join(language === 0 ? ', ' : '、');
}

/** Text of an XHTML element: no markup, and no character that XML has not. */
const escaped = (text: string): string =>
  text
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|\p{Cs}/gu, '\ufffd')
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;');
