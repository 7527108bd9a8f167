import type { Report } from './report.js';

/** One row of the audit is one access to one patient's data; what was refused counts as well, under its outcome. */
const statement = `
select a.custodian_id as custodian, c.name as custodian_name, a.organization_id as recipient, o.name as recipient_name, a.purpose,
  case a.outcome when 0 then 'allowed' when 4 then 'refused' else 'failed' end as outcome, a.basis,
  to_char(a.recorded at time zone $3::interval, 'YYYY-MM') as month, count(*)::int as accesses
from audit_event a
left join organization c on c.id = a.custodian_id
left join organization o on o.id = a.organization_id
where a.recorded >= $1::timestamptz and a.recorded < $2::timestamptz
  and a.organization_id <> a.custodian_id and a.organization_id <> '' and a.custodian_id <> ''
group by 1, 2, 3, 4, 5, 6, 7, 8
order by 1, 3, 8, 5, 6, 7`;

export const crossHospitalAccess: Report = {
  name: 'cross-hospital-access',
  title: { zh: '跨机构访问', en: 'Cross-hospital access' },
  description: {
    zh: '按数据所属机构、访问机构、目的、结果、依据和月份统计访问次数，包括被拒绝的访问。',
    en: 'Accesses by custodian, recipient, purpose, outcome, basis and month, those refused included.',
  },
  columns: [
    { name: 'custodian', title: { zh: '数据所属机构代码', en: 'Custodian' }, type: 'text' },
    { name: 'custodian_name', title: { zh: '数据所属机构', en: 'Custodian name' }, type: 'text' },
    { name: 'recipient', title: { zh: '访问机构代码', en: 'Recipient' }, type: 'text' },
    { name: 'recipient_name', title: { zh: '访问机构', en: 'Recipient name' }, type: 'text' },
    { name: 'purpose', title: { zh: '访问目的', en: 'Purpose of use' }, type: 'text' },
    { name: 'outcome', title: { zh: '结果', en: 'Outcome' }, type: 'text' },
    { name: 'basis', title: { zh: '依据', en: 'Basis' }, type: 'text' },
    { name: 'month', title: { zh: '月份', en: 'Month' }, type: 'text' },
    { name: 'accesses', title: { zh: '访问次数', en: 'Accesses' }, type: 'integer' },
  ],
  statement,
};
