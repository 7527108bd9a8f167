import type { Server } from '@hapi/hapi';
import type { Config } from '../config.js';
import type { Models } from '../scoring/models.js';
import type { Database } from '../store/database.js';
import { sql } from '../store/sql.js';
import { isLaunch, launchPage, registerLaunchScript } from './launch-page.js';

interface Holdings {
  hospitals: number;
  consortia: number;
  studies: number;
  series: number;
  instances: number;
  reports: number;
}

/** `GET /`: what the region holds, in numbers, and how to go on. No patient data, no names of patients; zh-CN or English by Accept-Language. */
export function registerFrontPage(server: Server, deps: { db: Database; config: Config; models: Models }): void {
  const holdings = keptHoldings(deps.db);
  registerLaunchScript(server);
  const courses = [...deps.models.values()].filter(({ task }) => task === 'severity').map(({ name }) => name);
  server.route({
    method: 'GET',
    path: '/',
    options: { auth: false },
    handler: async (request, h) => {
      const chinese = !/^en\b/i.test(String(request.headers['accept-language'] ?? 'zh'));
      if (isLaunch(request)) return launchPage(deps.config, courses, chinese, h);
      const page = render(await holdings(), deps.config, chinese ? zh : en);
      return h
        .response(page)
        .type('text/html; charset=utf-8')
        .header('content-security-policy', "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
        .header('vary', 'accept-language')
        .header('cache-control', 'no-store');
    },
  });
}

/** Milliseconds that the numbers stand: anyone may ask for the page, and counting a large region is work. */
const STANDS_FOR = 60_000;

function keptHoldings(db: Database): () => Promise<Holdings> {
  let kept: { at: number; value: Promise<Holdings> } | undefined;
  return () => {
    if (!kept || Date.now() - kept.at > STANDS_FOR) kept = { at: Date.now(), value: countHoldings(db) };
    kept.value.catch(() => {
      kept = undefined;
    });
    return kept.value;
  };
}

async function countHoldings(db: Database): Promise<Holdings> {
  const [row] = await db.query<Holdings>(sql`
    select (select count(*) from organization where kind = 'hospital' and active) as hospitals,
      (select count(*) from organization where kind = 'consortium' and active) as consortia,
      (select count(*) from study_claim where removed is null) as studies,
      (select count(*) from imaging_series) as series,
      (select count(*) from imaging_instance) as instances,
      (select count(*) from resource where type = 'DiagnosticReport' and not deleted) as reports`);
  if (!row) throw new Error('no holdings');
  return row;
}

const zh = {
  lang: 'zh-CN',
  title: '区域影像数据共享联邦中心',
  intro: '跨医联体的影像检查索引：按归属、协议与患者知情同意授权访问，集中AI评分，远程会诊，全程可审计。',
  holds: '本区域目前收录',
  hospitals: '家医院',
  consortia: '个医联体',
  studies: '项检查',
  series: '个序列',
  instances: '幅影像',
  reports: '份报告',
  next: '下一步',
  links: { metadata: 'FHIR R4 能力声明', smart: 'SMART 配置', health: '运行状态' },
  demo: '这是演示区域：所有机构、人员和患者均为虚构。登录并调用接口：',
  clinical: '未经批准不得用于临床。',
};

const en: typeof zh = {
  lang: 'en',
  title: 'Regional imaging federation hub',
  intro:
    'An index of imaging studies across consortia: access by ownership, agreement and consent, central AI scoring, remote consultation, all of it audited.',
  holds: 'The region holds',
  hospitals: 'hospitals',
  consortia: 'consortia',
  studies: 'studies',
  series: 'series',
  instances: 'instances',
  reports: 'reports',
  next: 'How to go on',
  links: { metadata: 'FHIR R4 CapabilityStatement', smart: 'SMART configuration', health: 'Health' },
  demo: 'This is the demonstration region: every organization, person and patient is invented. Sign in and call the API:',
  clinical: 'Not for clinical use without approval.',
};

function render(held: Holdings, config: Config, t: typeof zh): string {
  const count = (value: number, label: string): string => `<li><strong>${value}</strong><span>${label}</span></li>`;
  const demo = config.demo
    ? `<p>${t.demo}</p><pre>TOKEN=$(node dist/hub/main.js token --as li.wei)\ncurl -H "Authorization: Bearer $TOKEN" ${config.publicUrl}/fhir/ImagingStudy</pre>`
    : '';
  return `<!doctype html>
<html lang="${t.lang}">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${t.title}</title>
<style>
body{font:16px/1.6 system-ui,"Noto Sans CJK SC","PingFang SC","Microsoft YaHei",sans-serif;color:#1b2a33;background:#f4f7f8;margin:0}
main{max-width:46rem;margin:0 auto;padding:2.5rem 1.25rem}
h1{font-size:1.6rem;margin:0 0 .5rem}h2{font-size:1.05rem;margin:2rem 0 .5rem;color:#34515e}
ul.holds{display:grid;grid-template-columns:repeat(auto-fit,minmax(6.5rem,1fr));gap:.75rem;list-style:none;padding:0;margin:0}
ul.holds li{background:#fff;border:1px solid #dbe4e8;border-radius:.5rem;padding:.75rem 1rem}
ul.holds strong{display:block;font-size:1.5rem;line-height:1.2}ul.holds span{color:#546e7a;font-size:.9rem}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#102027;color:#e8f1f5;padding:1rem;border-radius:.5rem;overflow:auto}a{color:#00658a}footer{margin-top:2.5rem;color:#607d8b;font-size:.9rem}
</style>
</head>
<body><main>
<h1>${t.title}</h1>
<p>${t.intro}</p>
<h2>${t.holds}</h2>
<ul class="holds">${count(held.hospitals, t.hospitals)}${count(held.consortia, t.consortia)}${count(held.studies, t.studies)}${count(held.series, t.series)}${count(held.instances, t.instances)}${count(held.reports, t.reports)}</ul>
<h2>${t.next}</h2>
<p><a href="/fhir/metadata">${t.links.metadata}</a> · <a href="/.well-known/smart-configuration">${t.links.smart}</a> · <a href="/readyz">${t.links.health}</a></p>
${demo}
<footer>${t.clinical}</footer>
</main></body></html>`;
}
